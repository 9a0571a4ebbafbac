"""Prompts read into a cache, of which responses go on."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache

from app.trainer.batches import Example, Forward, pieces
from app.trainer.dataset import Row
from app.trainer.lm import Line, mask_for, name_of_cache, roomy_cache, settle, take_rows

Read = tuple[Tensor, Cache, Tensor]  # logits, cache and mask of a line for each prompt


def read_prompts(lm: Any, prompts: Sequence[Sequence[int]], pack: int, *, room: int) -> Read:
    """Read each prompt once, packed where wanted; their lines are filled up on the left."""
    each, line = _each(prompts)
    cache = roomy_cache(lm) if room else None
    if cache is None:
        usual = DynamicCache(config=lm.config)
        logits = _read_padded(lm, each, usual)
        if len(each) < len(prompts):
            take_rows(usual, torch.tensor(line, device=lm.device))
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
        use_cache=True,
        logits_to_keep=1,
        **{name_of_cache(lm): cache},
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
