"""FlashAttention over segments of any length, in 16 bit; nothing is compiled for it.

A pack is a row of segments: a prompt with its first response, then each further response. Every
segment asks with its own tokens, and sees them and those of the prompt it belongs to; for that a
prompt's keys and values are copied before each further response. FlashAttention 2 puts the ends of
queries and keys together (Dao 2023), so that all of it is plainly causal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

TYPES = (torch.bfloat16, torch.float16)
Segment = tuple[int, int, int, int]  # the prompt before it, and its own tokens: both from, to


@dataclass(frozen=True)
class Segments:
    """Where the segments of a pack begin and end (cu_seqlens), for queries and for keys."""

    queries: Tensor  # (segments + 1,) int32, first query of each, and the end
    keys: Tensor  # (segments + 1,) int32
    most_queries: int
    most_keys: int
    seen: Tensor | None  # (keys,) the token of each key; None: just as they come
    copies: Tensor | None  # (tokens, most) the keys each token has become, else one behind them


def segments_of(segments: Sequence[Segment], device: torch.device) -> Segments:
    own = [end - begin for _, _, begin, end in segments]
    whole = [end - begin + after - first for first, after, begin, end in segments]
    seen = copies = None
    if whole != own:
        parts = [
            torch.arange(*x)
            for first, after, *segment in segments
            for x in ((first, after), segment)
        ]
        seen = torch.cat(parts)
        copies = _copies(seen, sum(own)).to(device)
        seen = seen.to(device)

    def ends(lengths: list[int]) -> Tensor:
        return torch.tensor([0, *lengths]).cumsum(0).to(device, torch.int32)

    return Segments(ends(own), ends(whole), max(own), max(whole), seen, copies)


def _copies(seen: Tensor, tokens: int) -> Tensor:
    """Where each token stands in `seen`: `(tokens, most)`, filled up with the place behind it."""
    order = seen.argsort(stable=True)
    counts = seen.bincount(minlength=tokens)
    token = seen[order]
    table = torch.full((tokens, int(counts.max())), len(seen))
    table[token, torch.arange(len(seen)) - (counts.cumsum(0) - counts)[token]] = order
    return table


class Copied(torch.autograd.Function):
    """Tokens of `(tokens, heads, size)` at given places; gradients add up in the same order always.

    The gradient of an index adds up in any order, or sorts.
    """

    @staticmethod
    def forward(ctx: Any, given: Tensor, places: Tensor, copies: Tensor) -> Tensor:
        ctx.save_for_backward(copies)
        return given[places]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (copies,) = ctx.saved_tensors
        behind = torch.cat([grad, grad.new_zeros(1, *grad.shape[1:])])
        return behind[copies].sum(1), None, None


def by_segments(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    segments: Segments,
    window: int | None = None,
    scaling: float | None = None,
) -> Tensor:
    """Attention of `(1, heads, width, size)` thrice; there may be fewer heads of keys."""
    query, key, value = (x[0].transpose(0, 1) for x in (query, key, value))
    if segments.seen is not None and segments.copies is not None:
        copied: Any = Copied.apply
        key, value = (copied(x, segments.seen, segments.copies) for x in (key, value))
    return flash(query, key, value, segments, window, scaling).transpose(0, 1)[None]


def flash(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    segments: Segments,
    window: int | None,
    scaling: float | None,
) -> Tensor:
    """`(queries, heads, size)`, `(keys, heads, size)` twice → `(queries, heads, size)`.

    The public `torch.nn.attention.varlen` asks for causal attention in another way in each version.
    """
    out: Tensor = torch.ops.aten._flash_attention_forward(  # noqa: SLF001 - see above
        query, key, value,
        segments.queries, segments.keys, segments.most_queries, segments.most_keys,
        0.0, True, False, scale=scaling,
        window_size_left=None if window is None else window - 1,
        window_size_right=None if window is None else 0,
    )[0]  # fmt: skip
    return out
