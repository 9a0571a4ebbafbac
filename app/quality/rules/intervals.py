"""A figure with its interval, and the small numerics behind intervals (no scipy at run time)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.tasks.rules import beta_cdf

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FEWEST_TASKS = 10  # below this a bootstrap interval says nothing
LEVEL = 0.95
_Z = NormalDist().inv_cdf(0.5 + LEVEL / 2)


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its 95 % interval; where not defined, `value` is None and `reason` says why.

    A defined value may carry a reason as well: why it has no interval.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None

    @property
    def is_defined(self) -> bool:
        return self.value is not None

    def as_json(self) -> dict[str, Any]:
        """The wire form (contract §3): `{value, low, high, reason?}`, six decimals."""
        rounded: dict[str, Any] = {
            name: None if number is None else round(number, 6)
            for name, number in (("value", self.value), ("low", self.low), ("high", self.high))
        }
        return rounded if self.reason is None else {**rounded, "reason": self.reason}


def undefined(reason: str) -> Figure:
    return Figure(None, reason=reason)


def wilson(successes: float, n: float, *, z: float = _Z) -> tuple[float, float]:
    """Wilson's interval of a share (Wilson 1927), of 95 % unless `z` says otherwise.

    `successes` may be fractional; n > 0.
    """
    share = successes / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * sqrt(max(0.0, share * (1 - share) / n + z**2 / (4 * n**2)))
    return max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))


def newcombe(
    p: float, about_p: tuple[float, float], q: float, about_q: tuple[float, float]
) -> tuple[float, float]:
    """Interval of p − q from Wilson's intervals about both (Newcombe 1998, method 10)."""
    (low_p, high_p), (low_q, high_q) = about_p, about_q
    return (
        p - q - sqrt((p - low_p) ** 2 + (high_q - q) ** 2),
        p - q + sqrt((high_p - p) ** 2 + (q - low_q) ** 2),
    )


def share_figure(successes: float, n: float, *, none: str) -> Figure:
    """`successes / n` with Wilson's interval; with n = 0 not defined, because of `none`."""
    if n <= 0:
        return undefined(none)
    return Figure(successes / n, *wilson(successes, n))


def beta_quantile(p: float, a: float, b: float) -> float:
    """The x with I_x(a, b) = p, by bisection of the distribution function; 0 < p < 1."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if beta_cdf(middle, a, b) < p:
            low = middle
        else:
            high = middle
    return (low + high) / 2


@lru_cache(maxsize=4096)  # many people have passed and failed the same numbers of questions
def beta_figure(a: float, b: float) -> Figure:
    """Mean and equal-tailed 95 % interval of a Beta(a, b) posterior."""
    tail = (1 - LEVEL) / 2
    return Figure(a / (a + b), beta_quantile(tail, a, b), beta_quantile(1 - tail, a, b))


def binomial_p_value(successes: int, n: int) -> float:
    """Exact two-sided test of a share against one half. 1.0 when there is nothing to test."""
    fewer = min(successes, n - successes)
    if 2 * fewer >= n:
        return 1.0
    if n > 10_000:  # the exact sum has become long; with the correction the two agree to 1e-4
        return 2 * NormalDist().cdf((2 * fewer + 1 - n) / sqrt(n))
    return min(1.0, 2 * float(beta_cdf(0.5, n - fewer, fewer + 1)))


def bootstrap_figure(value: float, resampled: Floats, *, n_tasks: int) -> Figure:
    """The value with the percentile interval of its resamples (NaN: not defined in that one)."""
    return bootstrap_figures({"": value}, {"": resampled}, n_tasks=n_tasks)[""]


def bootstrap_figures(
    values: Mapping[str, float], resampled: Mapping[str, Floats], *, n_tasks: int
) -> dict[str, Figure]:
    """Several at once, which is faster where there are many parts; names as in `values`."""
    if n_tasks < FEWEST_TASKS:
        few = f"No interval: fewer than {FEWEST_TASKS} tasks."
        return {name: Figure(value, reason=few) for name, value in values.items()}
    if not values:
        return {}
    drawn = np.sort(np.stack([resampled[name] for name in values]), axis=1)  # NaN comes last
    usable = drawn.shape[1] - np.isnan(drawn).sum(axis=1)
    return {
        name: _interval(value, drawn[row], int(usable[row]))
        for row, (name, value) in enumerate(values.items())
    }


def _interval(value: float, ordered: Floats, usable: int) -> Figure:
    number = len(ordered)
    if usable < number / 2:
        return Figure(value, reason="No interval: not defined in most resamples.")
    tail = (1 - LEVEL) / 2
    low, high = _quantile(ordered, usable, tail), _quantile(ordered, usable, 1 - tail)
    left_out = number - usable
    reason = f"{left_out} of {number} resamples left out: not defined." if left_out else None
    return Figure(value, low, high, reason)


def _quantile(ordered: Floats, usable: int, p: float) -> float:
    """Of the first `usable` values, linear between two of them as numpy has it."""
    place = p * (usable - 1)
    below = int(place)
    above = min(below + 1, usable - 1)
    part = place - below
    return float(ordered[below] * (1 - part) + ordered[above] * part)


def median_figure(values: Floats) -> Figure:
    """Median with the distribution-free 95 % interval from order statistics; at least one value."""
    ordered = np.sort(values)
    n = len(ordered)
    if n < FEWEST_TASKS:
        return Figure(
            float(np.median(ordered)), reason=f"No interval: fewer than {FEWEST_TASKS} tasks."
        )
    half = _Z * sqrt(n) / 2
    low, high = max(0, int(n / 2 - half)), min(n - 1, ceil(n / 2 + half))
    return Figure(float(np.median(ordered)), float(ordered[low]), float(ordered[high]))
