"""One response, token by token, with what the model thought of each of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from app.trainer.chat import BadConversation, ChatFormat, Messages
from app.trainer.lm import limits_of
from app.trainer.rollout import Sampling, choose, uniform

ALTERNATIVES = 5  # likeliest tokens that are told beside each one
NEXT_TURN = "\n\nHuman:"  # where a transcript without a chat template goes on to the next turn


@dataclass(frozen=True)
class Token:
    """A token as the model saw it: before temperature and top-p, which only choose."""

    text: str
    logp: float
    rank: int  # 1: no other token was likelier
    top: tuple[tuple[str, float], ...]  # the likeliest tokens and their log-probabilities
    is_end: bool = False  # it ends the turn and spells nothing
    is_control: bool = False  # people do not read it, as a role's mark amid the words

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "text": self.text,
            "logp": round(self.logp, 4),
            "rank": self.rank,
            "top": [[text, round(logp, 4)] for text, logp in self.top],
        }
        marks = {"end": self.is_end, "control": self.is_control}
        return found | {name: True for name, is_so in marks.items() if is_so}

    @property
    def readable(self) -> str:
        return "" if self.is_control else self.text


class Spelling:
    """The text that each token adds; one that holds half a character waits for the other half."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.controls = frozenset(getattr(tokenizer, "all_special_ids", ()))
        self.ids: list[int] = []
        self._from, self._upto = 0, 0  # the last tokens that were spelled, which give context

    def add(self, token: int) -> str:
        self.ids.append(token)
        before = self._decode(self.ids[self._from : self._upto])
        now = self._decode(self.ids[self._from :])
        if len(now) <= len(before) or now.endswith("\N{REPLACEMENT CHARACTER}"):
            return ""
        self._from, self._upto = self._upto, len(self.ids)
        return now[len(before) :]

    def other(self, token: int) -> str:
        """What another token would have added to those before the last one."""
        before = self.ids[:-1][-2:]
        return self._decode([*before, token])[len(self._decode(before)) :]

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False))


class Writing:
    """A response that is being written: with the same seed the one that `generate` writes."""

    def __init__(
        self, lm: Any, chat: ChatFormat, messages: Messages, sampling: Sampling, *, seed: int
    ) -> None:
        """Read the conversation's tokens; nothing is computed yet.

        Raises:
            BadConversation: where the model cannot take it, or has no room left for a reply.

        """
        self.lm, self.chat, self.sampling = lm.eval(), chat, sampling
        prompt = chat.prompt_ids(messages)
        self.most = min(sampling.max_new_tokens, limits_of(lm).context - len(prompt))
        if self.most < 1:
            raise BadConversation(
                f"the conversation is as long as all that the model reads ({len(prompt)} tokens)"
            )
        self.noise = uniform(seed, sampling.max_new_tokens).to(lm.device)
        self.cache = DynamicCache(config=lm.config)
        self.ids = torch.tensor([prompt], device=lm.device)
        self.read = 0  # tokens that the cache holds
        self.spelling = Spelling(chat.tokenizer)
        self.over: str | None = None  # why it ended: end, length

    @property
    def text(self) -> str:
        """All that was written, as people read it."""
        return self.chat.decode(self.spelling.ids)

    @torch.no_grad()
    def step(self) -> Token:
        """Write the next token."""
        width = self.ids.shape[1]
        places = torch.arange(self.read, self.read + width, device=self.ids.device)[None]
        out = self.lm(
            input_ids=self.ids,
            position_ids=places,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.read += width
        logits = out.logits[:, -1].float()
        at = len(self.spelling.ids)
        chosen = choose(logits, self.noise[at : at + 1], self.sampling)
        self.ids = chosen[:, None]
        token = told(self.spelling, self.chat, int(chosen), logits[0].log_softmax(-1))
        if token.is_end or (not self.chat.has_template and NEXT_TURN in self._tail()):
            self.over = "end"
        elif at + 1 >= self.most:
            self.over = "length"
        return token

    def _tail(self) -> str:
        return str(self.chat.tokenizer.decode(self.spelling.ids[-12:]))


def told(spelling: Spelling, chat: ChatFormat, token: int, logps: Tensor) -> Token:
    """The token beside those that the model found likeliest; it joins the spelling."""
    text = spelling.add(token)
    is_end = token in chat.stop_ids
    best = logps.topk(min(ALTERNATIVES, logps.numel()))
    return Token(
        text="" if is_end else text,
        logp=float(logps[token]),
        rank=1 + int((logps > logps[token]).sum()),
        top=tuple(
            (spelling.other(i), logp)
            for i, logp in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ),
        is_end=is_end,
        is_control=token in spelling.controls,
    )


@torch.no_grad()
def read_aloud(
    lm: Any, chat: ChatFormat, messages: Messages, text: str, *, is_whole: bool = True
) -> list[Token]:
    """The tokens of a reply that somebody else wrote, as this model sees them.

    Without `is_whole` the reply was cut off, and its end is no surprise to be counted.

    Raises:
        BadConversation: where the model cannot take it.

    """
    prompt = chat.prompt_ids(messages)
    reply = chat.reply_ids(messages, [{"role": "assistant", "content": text}])
    ends = [i for i, token in enumerate(reply) if token in chat.stop_ids]
    if ends:  # what a template writes behind the end was never asked of the model
        reply = reply[: ends[0] + is_whole]
    if len(prompt) + len(reply) > limits_of(lm).context:
        raise BadConversation(
            f"it is longer than all that the model reads ({limits_of(lm).context} tokens)"
        )
    ids = torch.tensor([prompt + reply], device=lm.device)
    out = lm.eval()(input_ids=ids, use_cache=False, logits_to_keep=len(reply) + 1)
    logps = out.logits[0, :-1].float().log_softmax(-1)
    spelling = Spelling(chat.tokenizer)
    return [told(spelling, chat, token, row) for token, row in zip(reply, logps, strict=True)]


def perplexity(tokens: Sequence[Token]) -> float | None:
    """Exp of the mean surprise over all tokens, the end included."""
    if not tokens:
        return None
    return math.exp(-sum(token.logp for token in tokens) / len(tokens))
