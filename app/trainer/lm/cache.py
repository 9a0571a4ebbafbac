"""Keys and values of what was read, with room for what will be written.

The cache of transformers grows by copying all of itself for every token. This one is laid out once
the prompts have been read: a line for each response, filled up on the left, with empty places
behind, in the type in which attention computes, which it would make of it every time otherwise.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from app.trainer.lm.attention import computed_in

Line = tuple[int, int, int, int]  # pass that read it, row, first column, and one behind the last


class RoomyLayer(DynamicLayer):
    """Keys and values of one layer: as passes over the prompts read them, then line by line."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.read: list[tuple[Tensor, Tensor]] = []
        self.filled = 0  # columns that hold something

    def update(
        self, key_states: Tensor, value_states: Tensor, *_given: Any, **_named: Any
    ) -> tuple[Tensor, Tensor]:
        if self.keys is None or self.values is None:
            self.read.append((key_states, value_states))
            return key_states, value_states
        begin, self.filled = self.filled, self.filled + key_states.shape[2]
        self.keys[:, :, begin : self.filled] = key_states
        self.values[:, :, begin : self.filled] = value_states
        return self.keys[:, :, : self.filled], self.values[:, :, : self.filled]

    def settle(self, lines: Sequence[Line], room: int) -> None:
        """Give each line a row of its own, with so many places behind."""
        self.filled = max(end - begin for _, _, begin, end in lines)
        keys, values = zip(*self.read, strict=True)
        self.keys, self.values = self._placed(keys, lines, room), self._placed(values, lines, room)
        self.read, self.is_initialized = [], True

    def _placed(self, read: Sequence[Tensor], lines: Sequence[Line], room: int) -> Tensor:
        _, heads, _, size = read[0].shape
        shape = (len(lines), heads, self.filled + room, size)
        held = read[0].new_zeros(shape, dtype=computed_in(read[0].device, read[0].dtype))
        for i, (number, row, begin, end) in enumerate(lines):
            held[i, :, self.filled - (end - begin) : self.filled] = read[number][row, :, begin:end]
        return held

    def get_seq_length(self) -> int:
        return self.filled


def roomy_cache(lm: Any) -> Cache | None:
    """An empty one, where each layer of the model keeps all keys and values and nothing else."""
    usual = DynamicCache(config=lm.config).layers
    if {type(layer) for layer in usual} != {DynamicLayer}:
        return None
    return Cache(layers=[RoomyLayer() for _ in usual])


def settle(cache: Cache, lines: Sequence[Line], room: int) -> None:
    """Lay the cache out for what will be written behind these lines of what was read."""
    for layer in cache.layers:
        assert isinstance(layer, RoomyLayer)
        layer.settle(lines, room)
