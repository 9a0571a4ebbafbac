"""Keys and values of what was read, with room for what will be written.

The cache of transformers grows by copying all of itself for every token. This one is laid out once
the prompts have been read: a line for each response, filled up on the left, with empty places
behind, in the type in which attention computes, which it would make of it every time otherwise.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from app.trainer.lm.attention import computed_in

Line = tuple[int, int, int, int]  # pass that read it, row, first column, and one behind the last


Group = tuple[int, Tensor, Tensor]  # pass, rows in the cache, and of each the (rows, width) cells


class RoomyLayer(DynamicLayer):
    """Keys and values of one layer: as passes over the prompts read them, then line by line."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.read: list[tuple[Tensor, Tensor]] = []
        self.filled = 0  # columns that hold something
        self.place: Tensor | None = None  # where all of it is attended to: the column to write

    def update(
        self, key_states: Tensor, value_states: Tensor, *_given: Any, **_named: Any
    ) -> tuple[Tensor, Tensor]:
        if self.keys is None or self.values is None:
            self.read.append((key_states, value_states))
            return key_states, value_states
        if self.place is not None:
            self.keys.index_copy_(2, self.place, key_states.to(self.keys.dtype))
            self.values.index_copy_(2, self.place, value_states.to(self.values.dtype))
            return self.keys, self.values
        begin, self.filled = self.filled, self.filled + key_states.shape[2]
        self.keys[:, :, begin : self.filled] = key_states
        self.values[:, :, begin : self.filled] = value_states
        return self.keys[:, :, : self.filled], self.values[:, :, : self.filled]

    def settle(self, groups: Sequence[Group], width: int, room: int) -> None:
        """Give each line a row of its own, with so many places behind."""
        keys, values = zip(*self.read, strict=True)
        self.filled = width
        self.keys, self.values = (_placed(read, groups, width + room) for read in (keys, values))
        self.read, self.is_initialized = [], True

    def get_seq_length(self) -> int:
        return self.filled


def roomy_cache(lm: Any) -> Cache | None:
    """An empty one, where each layer of the model keeps all keys and values and nothing else."""
    usual = DynamicCache(config=lm.config).layers
    if {type(layer) for layer in usual} != {DynamicLayer}:
        return None
    return Cache(layers=[RoomyLayer() for _ in usual])


def has_room(cache: Cache) -> bool:
    """Whether it is such a one."""
    return isinstance(cache.layers[0], RoomyLayer)


def name_of_cache(lm: Any) -> str:
    """The argument by which the model takes its cache; what it does not know it ignores (Mamba)."""
    whole = lm.get_base_model() if hasattr(lm, "peft_config") else lm
    taken = inspect.signature(whole.forward).parameters
    return "cache_params" if "cache_params" in taken else "past_key_values"


def take_rows(cache: Cache, rows: Any) -> None:
    """Go on with these rows, one of them several times where wanted.

    What transformers has for it, `batch_select_indices`, knows nothing of states.
    """
    cache.reorder_cache(rows)


def settle(cache: Cache, lines: Sequence[Line], room: int) -> None:
    """Lay the cache out for what will be written behind these lines of what was read."""
    first = cache.layers[0]
    assert isinstance(first, RoomyLayer)
    width = max(end - begin for _, _, begin, end in lines)
    groups = []
    for number, (keys, _) in enumerate(first.read):
        own = [i for i, line in enumerate(lines) if line[0] == number]
        _, rows, begins, ends = torch.tensor([lines[i] for i in own]).T[:, :, None]
        columns = (ends - width + torch.arange(width)).maximum(begins)  # filled up with the first
        cells = (rows * keys.shape[2] + columns).to(keys.device)
        groups.append((number, torch.tensor(own, device=keys.device), cells))
    for layer in cache.layers:
        assert isinstance(layer, RoomyLayer)
        layer.settle(groups, width, room)


def _placed(read: Sequence[Tensor], groups: Sequence[Group], places: int) -> Tensor:
    """What passes have read, `(rows, heads, width, size)` each, line by line."""
    _, heads, _, size = read[0].shape
    shape = (sum(len(rows) for _, rows, _ in groups), heads, places, size)
    held = read[0].new_zeros(shape, dtype=computed_in(read[0].device, read[0].dtype))
    for number, rows, cells in groups:
        flat = read[number].transpose(0, 1).flatten(1, 2)
        held[rows, :, : cells.shape[1]] = flat[:, cells].transpose(0, 1).to(held.dtype)
    return held


def write_at(cache: Cache, place: Tensor) -> None:
    """From now on write in the column that `place` says, and attend to all columns."""
    for layer in cache.layers:
        assert isinstance(layer, RoomyLayer)
        layer.place = place
