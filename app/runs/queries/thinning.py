"""A long curve in few points: the lowest and the highest of each stretch of steps, and its mean.

Extremes are never lost, and the first and the last point are always there. (Min/max per bucket;
LTTB keeps the shape but may leave out a spike, which is what people look for in a loss.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Steps = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Stretches:
    """Stretches of one curve in order of steps; a single step is a stretch with n = 1."""

    n: Steps
    mean: Floats
    low_step: Steps
    low: Floats
    high_step: Steps
    high: Floats

    @classmethod
    def of(cls, rows: Sequence[tuple[int, float, int, float, int, float]]) -> "Stretches":
        """From (n, mean, low_step, low, high_step, high), whatever their order."""
        table = np.array(rows, dtype=np.float64).reshape(-1, 6)
        table = table[np.argsort(table[:, 2] + table[:, 4], kind="stable")]
        n, mean, low_step, low, high_step, high = table.T
        whole = (n.astype(np.int64), low_step.astype(np.int64), high_step.astype(np.int64))
        return cls(whole[0], mean, whole[1], low, whole[2], high)

    def __len__(self) -> int:
        return len(self.n)

    @property
    def middle(self) -> Steps:
        return (self.low_step + self.high_step) // 2


def thinned(curve: Stretches, *, points: int) -> dict[str, Any]:
    """`{step, value}` in about so many points, and `{mean_step, mean}` where some were left out."""
    if not len(curve):
        return {"step": [], "value": []}
    if len(curve) * 2 > points and len(curve) > 2:
        merged = _merged(curve, buckets=max(1, points // 2))
    else:
        merged = curve
    steps = np.concatenate([merged.low_step, merged.high_step])
    values = np.concatenate([merged.low, merged.high])
    if curve.n[0] == 1 or curve.n[-1] == 1:
        ends = [end for end in (0, -1) if curve.n[end] == 1]
        steps = np.concatenate([steps, curve.low_step[ends]])
        values = np.concatenate([values, curve.low[ends]])
    steps, places = np.unique(steps, return_index=True)  # in order; a step has one value
    found: dict[str, Any] = {"step": steps.tolist(), "value": values[places].tolist()}
    if int(merged.n.max()) > 1:
        found |= {"mean_step": merged.middle.tolist(), "mean": merged.mean.tolist()}
    return found


def _merged(curve: Stretches, *, buckets: int) -> Stretches:
    """Neighbours joined, so that every bucket spans as many steps as the others."""
    middle = curve.middle
    span = int(middle[-1] - middle[0]) + 1
    bucket = (middle - middle[0]) * buckets // span
    starts = np.flatnonzero(np.diff(bucket, prepend=-1))
    n = np.add.reduceat(curve.n, starts)
    mean = np.add.reduceat(
        curve.mean / np.repeat(n, np.diff([*starts, len(curve)])) * curve.n, starts
    )
    low = _place_of(curve.low, bucket, starts)
    high = _place_of(-curve.high, bucket, starts)
    return Stretches(
        n, mean, curve.low_step[low], curve.low[low], curve.high_step[high], curve.high[high]
    )


def _place_of(values: Floats, bucket: Steps, starts: Steps) -> Steps:
    """Where the lowest value of each bucket stands; the first of equal ones."""
    order = np.lexsort((np.arange(len(values)), values, bucket))
    found: Steps = order[starts]
    return found
