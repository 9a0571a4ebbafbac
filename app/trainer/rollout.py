"""Responses from a policy, and their scores from a reward model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from accelerate import Accelerator
from torch import Tensor
from transformers import Cache, DynamicCache

from app.trainer.batches import Example, Forward, pieces
from app.trainer.chat import ChatFormat
from app.trainer.dataset import Row
from app.trainer.lm import (
    Familiarity,
    Line,
    Scorer,
    autocast,
    can_pack,
    can_record,
    halve_frozen,
    has_room,
    limits_of,
    mask_for,
    pooled,
    record,
    roomy_cache,
    settle,
    sharding_wanted,
    write_at,
)
from app.trainer.processes import put_together, shares


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
    pack: int = 0,
    compact: bool = True,
    roomy: bool = True,
    recorded: bool = True,
) -> list[list[int]]:
    """Token ids of one response per prompt, the stop token included where one was reached.

    A response ends where the model reads no further. Prompts of like length go together, and are
    read in packs of at most `pack` tokens where that is not 0; one that is asked several times is
    read once in each batch. A cache holds what was read: rows that have ended leave it, unless
    `compact` is off, and it has room for what is to come, unless `roomy` is off. On a CUDA device
    the step of a model that takes packs is recorded and played back, unless `recorded` is off.
    `check` is called between batches and may raise.
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
                begun = _read(lm, batch, pack, room=sampling.max_new_tokens if roomy else 0)
                found = _go_on(
                    lm, begun, sampling, stop_ids, noise,
                    compact=compact, recorded=recorded and bool(pack),
                )  # fmt: skip
            for i, response in zip(rows, found, strict=True):
                responses[i] = response
    finally:
        lm.train(was_training)
    return responses


def answers(
    lm: Any,
    chat: ChatFormat,
    asked: Sequence[Example],
    sampling: Sampling,
    accelerator: Accelerator,
    *,
    seed: int,
    bf16: bool,
) -> list[list[int]]:
    """One response to each of a few prompts, with the same noise whenever they are asked.

    Every process writes some of them; with sharded weights all write all, in step.
    """
    every = 1 if sharding_wanted() else accelerator.num_processes
    mine = shares([len(example.prompt) for example in asked], every)
    own = mine[accelerator.process_index % every]
    found = generate(
        lm,
        [asked[place].prompt for place in own],
        sampling,
        stop_ids=chat.stop_ids,
        seeds=[noise_seed(seed, place) for place in own],
        batch_size=max(1, len(own)),
        bf16=bf16,
    )
    return found if every == 1 else put_together(accelerator, own, found)


def uniform(seed: int, count: int) -> Tensor:
    """The noise of one response, a number for each of its tokens: `(count,)`."""
    return torch.rand(count, generator=torch.Generator().manual_seed(seed))


Read = tuple[Tensor, Cache, Tensor]  # logits, cache and mask of a line for each prompt


NOTHING = -1  # written behind the end of a line


class Lines:
    """The lines of one batch while they are written: tensors on the device, which nobody reads."""

    def __init__(
        self, lm: Any, read: Read, sampling: Sampling, stop_ids: frozenset[int], noise: Tensor
    ) -> None:
        logits, self.cache, self.mask = read
        self.lm, self.sampling, device = lm, sampling, lm.device
        count, most = noise.shape
        self.stops = torch.tensor(sorted(stop_ids), dtype=torch.long, device=device)
        self.last = limits_of(lm).context - 1  # place of a token
        self.rows = torch.arange(count, device=device)  # which response each line is
        self.noise = noise.to(device)
        self.written = torch.full((count, most), NOTHING, device=device)
        self.done = torch.zeros(count, dtype=torch.bool, device=device)
        self.positions = self.mask.sum(1, keepdim=True) - 1
        self.token = torch.zeros_like(self.positions)
        self.time = torch.zeros(1, dtype=torch.long, device=device)  # tokens written
        self.place = torch.full_like(self.time, self.mask.shape[1])  # column of the next token
        self.choose(logits)

    def choose(self, logits: Tensor) -> None:
        """Write the next token of each line that has not ended; all tensors stay where they are."""
        noise = self.noise.index_select(1, self.time).squeeze(1)
        token = choose(logits, noise, self.sampling)
        shown = token.masked_fill(self.done, NOTHING)
        self.written.index_copy_(1, self.time, shown[:, None])
        full = self.positions.squeeze(1) + 1 >= self.last
        self.done |= (token[:, None] == self.stops).any(1) | full
        self.positions.add_(1).clamp_(max=self.last)  # lines that have ended may go along
        self.token.copy_(token[:, None])
        self.time += 1

    def read_token(self, mask: Tensor) -> None:
        """Read the last token, and choose the next."""
        out = self.lm(
            input_ids=self.token,
            attention_mask=mask,
            position_ids=self.positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.choose(out.logits[:, -1].float())

    def step(self) -> None:
        """One token more behind what there is."""
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.mask), 1)], dim=1)
        self.read_token(self.mask)

    def step_in_place(self) -> None:
        """The same, in a cache and a mask that have all their columns from the start."""
        self.mask.index_fill_(3, self.place, True)
        self.read_token(self.mask)
        self.place += 1

    def all_columns(self) -> None:
        """From now on the lines go on by `step_in_place`."""
        behind = self.noise.shape[1]
        self.mask = F.pad(self.mask.bool(), (0, behind))[:, None, None]
        write_at(self.cache, self.place)

    def collect(self, responses: list[list[int]]) -> None:
        """Put down what is written of each response so far."""
        for row, line in zip(self.rows.tolist(), self.written.tolist(), strict=True):
            responses[row] = line[: line.index(NOTHING)] if NOTHING in line else line

    def leave(self, keep: Tensor) -> None:
        """Go on with these lines alone."""
        self.cache.batch_select_indices(keep)
        for name in ("rows", "noise", "written", "done", "positions", "token", "mask"):
            setattr(self, name, getattr(self, name)[keep])


def _go_on(
    lm: Any,
    read: Read,
    sampling: Sampling,
    stop_ids: frozenset[int],
    noise: Tensor,
    *,
    compact: bool,
    recorded: bool,
) -> list[list[int]]:
    """Write behind what was read, until each line has ended.

    A recorded step costs a GPU little more for many lines than for few, but recording it does.
    """
    lines = Lines(lm, read, sampling, stop_ids, noise)
    responses: list[list[int]] = [[] for _ in noise]
    recorded = recorded and can_record(lm.device) and has_room(lines.cache)
    every, share = (16, 0.5) if recorded else (1, 0.75)  # when to look, and copying pays
    if recorded:
        lines.all_columns()
    step: Callable[[], None] | None = None
    for t in range(sampling.max_new_tokens - 1):
        if t % every == 0:
            left = int((~lines.done).sum())
            if not left:
                break
            if compact and left <= share * len(lines.rows):
                lines.collect(responses)
                lines.leave((~lines.done).nonzero().squeeze(1))
                step = None
        if not recorded:
            lines.step()
        elif step is None:
            lines.step_in_place()
            step = record(lines.step_in_place)
        else:
            step()
    lines.collect(responses)
    return responses


def _read(lm: Any, prompts: Sequence[Sequence[int]], pack: int, *, room: int) -> Read:
    """Read each prompt once, packed where wanted; their lines are filled up on the left."""
    each, line = _each(prompts)
    cache = roomy_cache(lm) if room else None
    if cache is None:
        usual = DynamicCache(config=lm.config)
        logits = _read_padded(lm, each, usual)
        if len(each) < len(prompts):
            usual.batch_select_indices(torch.tensor(line, device=lm.device))
    elif pack:
        logits, lines = _read_packed(lm, each, cache, pack)
        settle(cache, [lines[i] for i in line], room)
    else:
        logits = _read_padded(lm, each, cache)
        width = max(map(len, each))
        settle(cache, [(0, i, width - len(each[i]), width) for i in line], room)
    _, mask = _left_padded(prompts)
    return logits[line].float(), usual if cache is None else cache, mask.to(lm.device)


def _read_packed(
    lm: Any, prompts: Sequence[tuple[int, ...]], cache: Cache, most: int
) -> tuple[Tensor, list[Line]]:
    """The logits behind each prompt, and where the cache has its keys and values."""
    examples = [Example(Row("", ()), prompt, ()) for prompt in prompts]
    forward = Forward(packed=True, max_tokens=most, bf16=False)
    found: dict[int, tuple[Tensor, Line]] = {}
    for number, group in enumerate(pieces(examples, forward)):
        layout = forward.lay_out([examples[i] for i in group]).to(lm.device)
        ends = torch.tensor([end - 1 for _, end, _ in layout.spans], device=lm.device)
        out = lm(
            input_ids=layout.input_ids,
            attention_mask=mask_for(lm, layout, ends),
            position_ids=layout.position_ids,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=ends,
        )
        for i, logits, (begin, end, _) in zip(group, out.logits[0], layout.spans, strict=True):
            found[i] = logits, (number, 0, begin, end)
    logits, lines = zip(*(found[i] for i in range(len(prompts))), strict=True)
    return torch.stack(logits), list(lines)


def _read_padded(lm: Any, prompts: Sequence[tuple[int, ...]], cache: Cache) -> Tensor:
    """The logits behind each prompt, every one in a row as long as the longest."""
    ids, mask = (x.to(lm.device) for x in _left_padded(prompts))
    out = lm(
        input_ids=ids,
        attention_mask=mask,
        position_ids=(mask.cumsum(1) - 1).clamp(min=0),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    logits: Tensor = out.logits[:, -1]
    return logits


def _each(prompts: Sequence[Sequence[int]]) -> tuple[list[tuple[int, ...]], list[int]]:
    """The different prompts, and which of them each is: a repeated one is read once."""
    places: dict[tuple[int, ...], int] = {}
    line = [places.setdefault(tuple(prompt), len(places)) for prompt in prompts]
    return list(places), line


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

    def settle(self, device: torch.device) -> None:
        """Go where it will read, once nothing else is made of its weights."""
        self.model.to(device)
        if self.forward.bf16:
            halve_frozen(self.model)

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
