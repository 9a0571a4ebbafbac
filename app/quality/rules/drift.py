"""Whether somebody has become worse, or is worse at some hours: agreement with peers over time.

Both tests look at what is left of her agreement once that of the others at the time is taken
away: when everybody falls, it is the guidelines or the tasks.
"""

from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any

import numpy as np

from app.quality.rules.intervals import Floats, Ints
from app.quality.rules.significance import kuiper_p_value, scan_p_value

FEWEST_OUTCOMES, FEWEST_ASIDE = 40, 10
FEWEST_ON_A_SIDE, LEAST_SHARE = 20, 0.05  # on either side of a fall: fewer are not nearly normal
DAY, WEEK = 86_400, 7 * 86_400
FIRST_MONDAY = 4 * DAY  # 1970-01-05
TOO_FEW = f"Fewer than {FEWEST_OUTCOMES} tasks of hers have a clear majority of others."
ALWAYS = "She agrees with the others always, or never."
AT_ONCE = "All of hers were handed in at the same time."
ONE_SIDED = "At no moment are enough of them before it and after it."


@dataclass(frozen=True, slots=True)
class Change:
    """Agreement with peers inside and outside the stretch of time where it was worst.

    since, until: seconds since 1970, or of the day (UTC) where the stretch is one of each day;
    p_value: of so deep a fall by chance.
    """

    n: int
    inside: float | None = None
    outside: float | None = None
    n_inside: int = 0
    since: float | None = None
    until: float | None = None
    p_value: float | None = None
    reason: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "n": self.n,
            "n_inside": self.n_inside,
            "inside": None if self.inside is None else round(self.inside, 6),
            "outside": None if self.outside is None else round(self.outside, 6),
            "since": self.since,
            "until": self.until,
            "p_value": None if self.p_value is None else float(f"{self.p_value:.4g}"),
        } | ({} if self.reason is None else {"reason": self.reason})


@dataclass(frozen=True, slots=True)
class Pool:
    """Everybody's outcomes by stretch of time: sums and numbers by bucket."""

    sums: Floats
    number: Ints
    first: int

    def without(self, bucket: Ints, outcomes: Floats) -> Floats:
        """The mean of the others at the time of each of her outcomes."""
        place = bucket - self.first
        sums = self.sums - np.bincount(place, outcomes, minlength=len(self.sums))
        number = self.number - np.bincount(place, minlength=len(self.number))
        everywhere = sums.sum() / max(1, number.sum())
        means = np.where(number > 0, sums / np.maximum(number, 1), everywhere)
        return np.asarray(means[place], np.float64)


def pool_of(bucket: Ints, outcomes: Floats) -> Pool:
    first = int(bucket.min(initial=0)) if len(bucket) else 0
    place = bucket - first
    return Pool(
        np.bincount(place, outcomes).astype(np.float64),
        np.bincount(place).astype(np.int64),
        first,
    )


def weeks_of(moments: Floats) -> Ints:
    return np.floor((moments - FIRST_MONDAY) / WEEK).astype(np.int64)


def hours_of(moments: Floats) -> Ints:
    return (moments % DAY // 3600).astype(np.int64)


def fall(moments: Floats, outcomes: Floats, pool: Pool) -> Change:
    """Worse after some moment than before: the two sides of every moment are compared.

    Under no change the cumulative sum, over its standard deviation, is a Brownian bridge (Page
    1955; Brown, Durbin & Evans 1975). Its highest point over its own deviation there finds a fall
    of last week as well as one in the middle, which its highest point alone does not; one-sided,
    because somebody who learns is nobody's worry.
    """
    order = np.argsort(moments, kind="stable")
    moments, outcomes = moments[order], outcomes[order]
    found = _bridge(moments, outcomes, pool, weeks_of(moments))
    if isinstance(found, str):
        return Change(len(outcomes), reason=found)
    bridge, ends = found
    n = len(outcomes)
    aside = max(FEWEST_ON_A_SIDE, ceil(n * LEAST_SHARE))
    inner = ends[(ends >= aside - 1) & (ends < n - aside)]
    if not len(inner):
        return Change(n, reason=AT_ONCE if len(ends) < 2 else ONE_SIDED)
    share = (inner + 1) / n
    peaks = bridge[inner] / np.sqrt(share * (1 - share))
    last = int(inner[np.argmax(peaks)])
    return Change(
        n=n,
        n_inside=n - last - 1,
        inside=float(outcomes[last + 1 :].mean()),
        outside=float(outcomes[: last + 1].mean()),
        since=float(moments[last + 1]),
        until=float(moments[-1]),
        p_value=scan_p_value(float(peaks.max()), aside / n),
    )


def hours(moments: Floats, outcomes: Floats, pool: Pool) -> Change:
    """Worse at some time of the day: the steepest fall of the sum round the clock.

    Kuiper's statistic does not ask where the day begins, so that her time zone does not matter.
    """
    clock = moments % DAY
    order = np.argsort(clock, kind="stable")
    clock, outcomes, moments = clock[order], outcomes[order], moments[order]
    found = _bridge(clock, outcomes, pool, hours_of(moments))
    if isinstance(found, str):
        return Change(len(outcomes), reason=found)
    bridge, ends = found
    if len(ends) < 2:
        return Change(len(outcomes), reason=AT_ONCE)
    high, low = int(ends[np.argmax(bridge[ends])]), int(ends[np.argmin(bridge[ends])])
    places = np.arange(len(outcomes))
    worse = (places > high) & (places <= low) if high < low else (places > high) | (places <= low)
    aside = min(int(worse.sum()), int((~worse).sum()))
    if aside < FEWEST_ASIDE:
        return Change(len(outcomes), reason=AT_ONCE if not aside else TOO_FEW, p_value=None)
    return Change(
        n=len(outcomes),
        n_inside=int(worse.sum()),
        inside=float(outcomes[worse].mean()),
        outside=float(outcomes[~worse].mean()),
        since=float(clock[(high + 1) % len(clock)]),
        until=float(clock[low]),
        p_value=kuiper_p_value(float(bridge[high] - bridge[low])),
    )


def _bridge(order: Floats, outcomes: Floats, pool: Pool, bucket: Ints) -> tuple[Floats, Ints] | str:
    """(standardised cumulative sum, where it may be read: after the last of equal times)."""
    n = len(outcomes)
    if n < FEWEST_OUTCOMES:
        return TOO_FEW
    if outcomes.std() == 0:
        return ALWAYS
    left = outcomes - pool.without(bucket, outcomes)
    left -= left.mean()
    deviation = float(left.std())
    if deviation < 1e-9:
        return ALWAYS
    ends = np.flatnonzero(np.append(order[1:] != order[:-1], True))
    return np.cumsum(left) / (deviation * sqrt(n)), ends
