"""Texts that are almost alike, found without comparing each with each.

A text is the set of its triples of neighbouring words; two are near-copies where they share
`ALIKE` of all their triples (Jaccard), and are found by MinHash in bands (Broder 1997; Leskovec,
Rajaraman and Ullman, Mining of Massive Datasets, ch. 3): 98 % of those at the border, and more the
closer they are. Of a long text the triples with the smallest hashes stand for all.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from app.datasets.rules.identity import normalised

Words = NDArray[np.uint64]
Places = NDArray[np.int64]

ALIKE = 0.7
SKETCH = 64  # hashes kept of a text
BANDS, ROWS = 10, 3
NEIGHBOURS = 4  # in a band, that each text is compared with, besides the first one there
AT_ONCE = 2_000  # texts
PAIRS_AT_ONCE = 10_000
_PAD = np.uint32(0xFFFFFFFF)
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)
_SHUFFLES = np.random.default_rng(20260101).integers(
    1, 2**64, BANDS * ROWS, dtype=np.uint64
) | np.uint64(1)
_APART = bytes(code if chr(code).isalnum() else 32 for code in range(256))
# Scripts without blanks between words: each sign is one.
_SIGNS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_SIGNS}]|[^\W_{_SIGNS}]+")


def words(text: str) -> list[bytes]:
    """Words without case and punctuation; a text that has none is one word."""
    if text.isascii():
        found = text.lower().encode().translate(_APART).split()
    else:
        found = [each.encode("utf-8", "surrogatepass") for each in _WORD.findall(normalised(text))]
    return found or [text.encode("utf-8", "surrogatepass")]


class Sketches:
    """Takes texts one after another; afterwards knows which of them are near-copies."""

    def __init__(self) -> None:
        self._waiting: list[list[int]] = []
        self._kept: list[NDArray[np.uint32]] = []
        self._sizes: list[Places] = []
        self._keys: list[Words] = []
        self._table: tuple[NDArray[np.uint32], Places] | None = None
        self.number = 0

    def add(self, text: str) -> int:
        """Answers the number of the text, from 0."""
        # An end tells: it makes a triple as well.
        self._waiting.append([0, *map(crc32, words(text)), 0])
        if len(self._waiting) == AT_ONCE:
            self._take_in()
        self.number += 1
        return self.number - 1

    def _take_in(self) -> None:
        if not self._waiting:
            return
        lengths = np.array([len(each) for each in self._waiting])
        flat = np.fromiter(chain.from_iterable(self._waiting), np.uint64, int(lengths.sum()))
        self._waiting.clear()
        triples = np.zeros(len(flat), np.uint64)
        for place, factor in enumerate(_MIX):
            triples[: len(flat) - 2] ^= flat[place : len(flat) - 2 + place] * factor
        triples ^= triples >> np.uint64(29)
        hashes = np.minimum((triples * _MIX[0]) >> np.uint64(32), np.uint64(_PAD - 1))
        ends = np.cumsum(lengths)
        inside = np.ones(len(flat), bool)
        inside[ends - 1] = inside[ends - 2] = False  # there no triple begins
        whose = np.repeat(np.arange(len(lengths), dtype=np.uint64), lengths)
        found = _distinct((whose << np.uint64(32) | hashes)[inside])
        whose = (found >> np.uint64(32)).astype(np.int64)
        starts = np.searchsorted(whose, np.arange(len(lengths)))
        few = np.arange(len(found)) - starts[whose] < SKETCH
        kept = found[few] & np.uint64(_PAD)
        sizes = np.bincount(whose[few], minlength=len(lengths))
        self._keys.append(_band_keys(kept, np.cumsum(sizes) - sizes))
        self._kept.append(kept.astype(np.uint32))
        self._sizes.append(sizes)

    def pairs(self) -> list[tuple[int, int]]:
        """The near-copies among them, the smaller number first; of a crowd, not each with each."""
        self._take_in()
        if self.number < 2:
            return []
        candidates = _distinct(np.concatenate(list(_together(np.concatenate(self._keys)))))
        left, right = candidates >> np.uint64(32), candidates & np.uint64(_PAD)
        alike = self.alike(left.astype(np.int64), right.astype(np.int64))
        return list(zip(left[alike].tolist(), right[alike].tolist(), strict=True))

    def alike(self, left: Places, right: Places) -> NDArray[np.bool_]:
        """Whether the text of each number on the left is a near-copy of that on the right."""
        pieces = [
            self._likeness(left[at : at + PAIRS_AT_ONCE], right[at : at + PAIRS_AT_ONCE]) >= ALIKE
            for at in range(0, len(left), PAIRS_AT_ONCE)
        ]
        return np.concatenate(pieces) if pieces else np.zeros(0, bool)

    def _likeness(self, left: Places, right: Places) -> NDArray[np.float64]:
        """Jaccard of the sets, or of what their smallest hashes say of it."""
        kept, ends = self._all()
        both = np.sort(np.concatenate([_rows(kept, ends, left), _rows(kept, ends, right)], 1), 1)
        is_new = np.ones(both.shape, bool)
        is_new[:, 1:] = both[:, 1:] != both[:, :-1]
        sizes = np.diff(ends, prepend=0)
        is_cut = np.maximum(sizes[left], sizes[right]) == SKETCH
        most = np.where(is_cut, SKETCH, 2 * SKETCH)[:, None]
        taken = (np.cumsum(is_new, 1) <= most) & (both != _PAD)
        union = (taken & is_new).sum(1)
        shared: NDArray[np.float64] = (taken & ~is_new).sum(1) / np.maximum(union, 1)
        return shared

    def _all(self) -> tuple[NDArray[np.uint32], Places]:
        """All hashes one after another, and where each text's end."""
        if self._table is None:
            ends = np.cumsum(np.concatenate(self._sizes))
            self._table = np.concatenate(self._kept), ends
        return self._table


def _distinct(values: Words) -> Words:
    """In order; `np.unique` takes five times as long."""
    values = np.sort(values)
    is_new = np.ones(len(values), bool)
    is_new[1:] = values[1:] != values[:-1]
    return values[is_new]


def _band_keys(kept: Words, starts: Places) -> Words:
    """By text and band, one number for the smallest hashes under the shuffles of the band."""
    keys = np.zeros((len(starts), BANDS), np.uint64)
    for number, factor in enumerate(_SHUFFLES):
        smallest = np.minimum.reduceat((kept * factor) >> np.uint64(32), starts)
        keys[:, number // ROWS] ^= smallest * _MIX[number % ROWS]
    return keys


def _together(keys: Words) -> Iterator[Words]:
    """Pairs of texts with an equal key in a band, as one number each."""
    for band in range(BANDS):
        order = np.argsort(keys[:, band], kind="stable")
        its = keys[order, band]
        is_first = np.ones(len(its), bool)
        is_first[1:] = its[1:] != its[:-1]
        first = order[np.maximum.accumulate(np.where(is_first, np.arange(len(its)), 0))]
        yield _as_one(first[~is_first], order[~is_first])
        for distance in range(1, NEIGHBOURS + 1):
            same = its[distance:] == its[:-distance]
            yield _as_one(order[:-distance][same], order[distance:][same])


def _as_one(left: Places, right: Places) -> Words:
    """Numbers grow with their places, so that the left one is the smaller."""
    return left.astype(np.uint64) << np.uint64(32) | right.astype(np.uint64)


def _rows(kept: NDArray[np.uint32], ends: Places, texts: Places) -> NDArray[np.uint32]:
    starts = np.concatenate([[0], ends[:-1]])
    places = starts[texts][:, None] + np.arange(SKETCH)
    inside = places < ends[texts][:, None]
    return np.where(inside, kept[np.minimum(places, len(kept) - 1)], _PAD)


def groups(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """What hangs together by the pairs, each group in order."""
    parent: dict[int, int] = {}

    def root(each: int) -> int:
        while (above := parent.setdefault(each, each)) != each:
            parent[each] = each = parent[above]
        return each

    for left, right in pairs:
        low, high = sorted((root(left), root(right)))
        parent[high] = low
    found: dict[int, list[int]] = {}
    for each in sorted(parent):
        found.setdefault(root(each), []).append(each)
    return list(found.values())


def all_but_one(
    members: Sequence[int], sketches: Sketches, *, budget: int = 200_000
) -> tuple[list[int], int]:
    """Those that are near-copies of one that stays, and what is left of the budget.

    `members` hang together, the one to keep first. Who is no near-copy of any that stays, stays
    too; of a crowd beyond the budget of comparisons, only the first.
    """
    stays, gone = [members[0]], []
    for each in members[1:]:
        budget -= len(stays)
        others = np.array(stays)
        if budget < 0 or sketches.alike(np.full(len(stays), each), others).any():
            gone.append(each)
        else:
            stays.append(each)
    return gone, budget


def one_place(draws: Iterable[int]) -> int:
    """Which of the draws of a group is that of all: none is likelier for where it stands."""
    return min(draws, key=lambda draw: (draw * int(_MIX[0])) % 2**64)
