"""Tests of one person's habits, and how many of them to believe (numpy and the normal only)."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import NormalDist

import numpy as np

from app.quality.rules.intervals import Floats, Ints
from app.tasks.rules import beta_cdf

FALSE_SHARE = 0.05  # of the marks of one test that may be false: q of Benjamini and Hochberg
LEAST_VARIANCE = 3.0  # of a sum over tasks, before the normal is near enough
_NORMAL = NormalDist()


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted p-values, the step-up procedure (Benjamini & Hochberg 1995, eq. 1).

    Where the adjusted value is at most q, no more than a share q of the marks is false on average.
    None (nothing to test) stays None and is no test.
    """
    known = [place for place, p_value in enumerate(p_values) if p_value is not None]
    adjusted: list[float | None] = [None] * len(p_values)
    smallest = 1.0
    by_size = sorted(known, key=lambda place: p_values[place] or 0.0, reverse=True)
    for rank, place in zip(range(len(known), 0, -1), by_size, strict=True):
        smallest = min(smallest, (p_values[place] or 0.0) * len(known) / rank)
        adjusted[place] = smallest
    return adjusted


def p_at_most(successes: float, n: int, share: float) -> float:
    """P(X ≤ successes) of a binomial share, exact; a fraction is rounded up, against a mark."""
    least = int(np.ceil(successes - 1e-9))
    if least >= n:
        return 1.0
    if n > 100_000:  # the exact sum has become long; with the correction the two agree to 2e-4
        return _NORMAL.cdf((least + 0.5 - n * share) / sqrt(n * share * (1 - share)))
    return float(beta_cdf(1 - share, n - least, least + 1))


@dataclass(frozen=True, slots=True)
class Excess:
    """Per annotator, on tasks that others have judged too: all arrays (annotators,).

    own, others: sums of her values and of the means of the others'; tasks: how many; p_value:
    of having so much more than the others by chance, NaN where there is too little.
    """

    own: Floats
    others: Floats
    tasks: Ints
    p_value: Floats


def excess(task: Ints, annotator: Ints, values: Floats, *, n_annotators: int) -> Excess:
    """Who has more of something than the others on the same tasks.

    One stratum per task, as Mantel & Haenszel 1959: were she like the others, her value would be
    one of the task's values at random, with their mean and variance. One-sided, normal with the
    continuity correction. NaN among the values: not defined for that judgement.
    """
    given = ~np.isnan(values)
    task, annotator, values = task[given], annotator[given], values[given]
    n_tasks = int(task.max(initial=-1)) + 1
    number = np.bincount(task, minlength=n_tasks)
    total = np.bincount(task, values, minlength=n_tasks)
    squares = np.bincount(task, values**2, minlength=n_tasks)
    shared = number[task] >= 2
    task, annotator, values = task[shared], annotator[shared], values[shared]
    mean = total[task] / number[task]
    variance = np.maximum(squares[task] / number[task] - mean**2, 0)

    def per_person(weights: Floats) -> Floats:
        return np.bincount(annotator, weights, minlength=n_annotators).astype(np.float64)

    own, spread = per_person(values), per_person(variance)
    enough = spread >= LEAST_VARIANCE
    z = (own - per_person(mean) - 0.5) / np.sqrt(np.where(enough, spread, 1))
    tails = np.array([_NORMAL.cdf(-value) for value in z])
    return Excess(
        own=own,
        others=per_person((total[task] - values) / (number[task] - 1)),
        tasks=np.bincount(annotator, minlength=n_annotators).astype(np.int64),
        p_value=np.where(enough, tails, np.nan),
    )


def run_p_value(longest: int, n: int) -> float:
    """P(some run of equal outcomes is so long) in n throws of a fair coin, to first order.

    Runs that begin at the first throw or after a change: 2^(1−L) + (n − L)·2^(−L) expected,
    nearly Poisson (Feller 1968, XIII.7). Near 1 it is only an upper neighbour of the truth.
    """
    if n < longest or longest < 1:
        return 1.0
    expected = 2.0 ** (1 - longest) + (n - longest) * 2.0**-longest
    return 1 - exp(-expected) if expected < 30 else 1.0


def scan_p_value(peak: float, share: float) -> float:
    """P(a Brownian bridge is above `peak` standard deviations between `share` and 1 − `share`).

    One-sided, as of a change of mean sought at all moments (Miller & Siegmund 1982); below
    0.1 it is right to about a third, most often on the safe side.
    """
    if peak <= 1:
        return 1.0
    moments = 2 * log((1 - share) / share)
    return _NORMAL.pdf(peak) * ((peak - 1 / peak) * moments + 4 / peak) / 2


def kuiper_p_value(reach: float) -> float:
    """P(highest minus lowest point of a Brownian bridge > `reach`) (Kuiper 1960, eq. 3)."""
    if reach < 0.4:
        return 1.0
    terms = (2 * (4 * j**2 * reach**2 - 1) * exp(-2 * j**2 * reach**2) for j in range(1, 101))
    return min(1.0, max(0.0, sum(terms)))
