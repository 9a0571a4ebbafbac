"""Responses from a policy, and their scores from a reward model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from app.trainer.batches import Example, Forward, pieces
from app.trainer.chat import ChatFormat
from app.trainer.dataset import Row
from app.trainer.lm import Familiarity, Scorer, autocast, can_pack, limits_of, pooled


@dataclass(frozen=True)
class Sampling:
    """How to choose the next token; temperature 0 takes the likeliest."""

    max_new_tokens: int
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


def noise_seed(seed: int, *numbers: int) -> int:
    """A seed of its own for every response: results do not depend on how they are batched."""
    for number in numbers:
        seed = (seed * 6_364_136_223_846_793_005 + number + 1_442_695_040_888_963_407) % 2**63
    return seed


@torch.no_grad()
def generate(
    lm: Any,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    stop_ids: frozenset[int],
    seeds: Sequence[int],
    batch_size: int,
    bf16: bool = False,
    check: Callable[[], None] = lambda: None,
    compact: bool = True,
) -> list[list[int]]:
    """Token ids of one response per prompt, the stop token included where one was reached.

    Prompts of like length go together; a key-value cache holds what was read, and rows that have
    ended leave it, unless `compact` is off. A prompt that is asked several times is read once in
    each batch. `check` is called between batches and may raise.
    """
    was_training = lm.training
    lm.eval()
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    responses: list[list[int]] = [[] for _ in prompts]
    try:
        for start in range(0, len(order), batch_size):
            check()
            rows = order[start : start + batch_size]
            noise = torch.stack([uniform(seeds[i], sampling.max_new_tokens) for i in rows])
            with autocast(lm.device, bf16=bf16):
                batch = [prompts[i] for i in rows]
                found = _generate_batch(lm, batch, sampling, stop_ids, noise, compact=compact)
            for i, response in zip(rows, found, strict=True):
                responses[i] = response
    finally:
        lm.train(was_training)
    return responses


def uniform(seed: int, count: int) -> Tensor:
    """The noise of one response, a number for each of its tokens: `(count,)`."""
    return torch.rand(count, generator=torch.Generator().manual_seed(seed))


def _generate_batch(
    lm: Any,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    stop_ids: frozenset[int],
    noise: Tensor,
    *,
    compact: bool,
) -> list[list[int]]:
    device = lm.device
    each = list(dict.fromkeys(tuple(p) for p in prompts))  # a repeated prompt is read once
    ids, mask = (x.to(device) for x in _left_padded(each))
    noise = noise.to(device)
    stops = torch.tensor(sorted(stop_ids), device=device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache(config=lm.config)
    responses: list[list[int]] = [[] for _ in prompts]
    rows = torch.arange(len(prompts), device=device)  # which response each line of the cache is
    done = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    for t in range(sampling.max_new_tokens):
        out = lm(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits = out.logits[:, -1].float()
        if t == 0 and len(each) < len(prompts):  # from here on each response has a line of its own
            line = torch.tensor([each.index(tuple(p)) for p in prompts], device=device)
            cache.batch_select_indices(line)
            logits, mask, positions = logits[line], mask[line], positions[line]
        token = choose(logits, noise[rows, t], sampling)
        for row, value, over in zip(rows.tolist(), token.tolist(), done.tolist(), strict=True):
            if not over:
                responses[row].append(value)
        done = done | torch.isin(token, stops)
        left = int((~done).sum())
        if not left:
            break
        ids, positions = token[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        if compact and left <= 0.75 * len(rows):  # copying the cache pays once a quarter has ended
            keep = (~done).nonzero().squeeze(1)
            cache.batch_select_indices(keep)
            rows, ids, mask, positions = rows[keep], ids[keep], mask[keep], positions[keep]
            done = done[keep]
    return responses


def _left_padded(prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Tokens and their mask, filled up on the left, so that all go on at the same place."""
    width = max(len(prompt) for prompt in prompts)
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    mask = torch.zeros(len(prompts), width, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    return ids, mask


def choose(logits: Tensor, uniform: Tensor, sampling: Sampling) -> Tensor:
    """The next token of each row by inverse transform: `(n, vocabulary)`, `(n,)` → `(n,)`."""
    if sampling.temperature == 0:
        return logits.argmax(-1)
    logits = logits / sampling.temperature
    if 0 < sampling.top_k < logits.shape[-1]:
        lowest = logits.topk(sampling.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < lowest, -torch.inf)
    probs = logits.softmax(-1)
    if sampling.top_p < 1:  # the smallest set of likeliest tokens that reaches top_p
        ordered, index = probs.sort(descending=True, stable=True)
        outside = ordered.cumsum(-1) - ordered >= sampling.top_p
        probs = probs.scatter(-1, index, ordered.masked_fill(outside, 0.0))
    cumulative = probs.cumsum(-1)
    points = uniform[:, None].to(cumulative) * cumulative[:, -1:]
    token = torch.searchsorted(cumulative, points, right=True).squeeze(1)
    return token.clamp(max=logits.shape[-1] - 1)


class RewardModel:
    """Scores responses; reads the policy's tokens where both share a vocabulary, else the words."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        max_tokens: int,
        bf16: bool = False,
        familiarity: Familiarity | None = None,
    ) -> None:
        """Freeze the model; `max_tokens` are those of one forward pass."""
        self.model, self.tokenizer = model.eval().requires_grad_(False), tokenizer
        self.scorer = Scorer(self.model)
        self.chat = ChatFormat(tokenizer)
        packed = can_pack(self.model, longest=limits_of(self.model).context)
        self.forward = Forward(packed=packed, max_tokens=max_tokens, bf16=bf16)
        self.familiarity = familiarity

    def shares_tokens(self, chat: ChatFormat) -> bool:
        """Whether the policy's ids and template mean the same here."""
        other = self.tokenizer.get_vocab()
        same = all(other.get(t) == i for t, i in chat.tokenizer.get_vocab().items())
        return same and chat.tokenizer.chat_template == self.tokenizer.chat_template

    def score(self, examples: Sequence[Example]) -> Tensor:
        """Scores of all responses, in order over the examples: `(responses,)`, on the CPU."""
        return self.read(examples)[0]

    @torch.no_grad()
    def read(self, examples: Sequence[Example]) -> tuple[Tensor, Tensor | None]:
        """The same, and how far each response is from what the model was trained on.

        The distance is None where the model was stored without statistics of its training data.
        """
        starts, total = [], 0
        for example in examples:
            starts.append(total)
            total += len(example.responses)
        scores = torch.zeros(total)
        distances = torch.zeros(total) if self.familiarity else None
        for group in pieces(examples, self.forward):
            layout = self.forward.lay_out([examples[i] for i in group])
            layout = layout.to(self.model.device)
            read_at = torch.cat([layout.ends, layout.sources]) if self.familiarity else layout.ends
            with autocast(self.model.device, bf16=self.forward.bf16):
                states = self.scorer.states(layout, read_at)
            places = [starts[i] + r for i in group for r in range(len(examples[i].responses))]
            scores[places] = self.scorer.scores_at(states, layout.ends).cpu()
            if self.familiarity and distances is not None:
                distances[places] = self.familiarity.distance(pooled(states, layout).cpu())
        return scores, distances

    def encode(self, row: Row) -> Example:
        """A row in this model's own tokens."""
        return Example(
            row,
            tuple(self.chat.prompt_ids(row.prompt)),
            tuple(tuple(self.chat.reply_ids(row.prompt, reply)) for reply in row.replies),
        )


def readable(row: Row) -> str:
    """A prompt as people read it: the bare text, or the turns with their roles."""
    if len(row.prompt) == 1:
        return row.prompt[0]["content"]
    return "\n\n".join(f"{m['role']}: {m['content']}" for m in row.prompt)
