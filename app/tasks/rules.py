"""Rules of tasks: what gold answers say of a person (design §5)."""

from dataclasses import dataclass
from math import exp, lgamma, log, log1p
from typing import Literal

PRIOR = (4.0, 1.5)  # Beta prior of an annotator's accuracy
WARN_AT, PAUSE_AT = 0.80, 0.95  # of P(accuracy < threshold)
FEWEST_GOLD = 5  # before anybody is paused


@dataclass(frozen=True, slots=True)
class GoldStanding:
    """Whether a person is in good standing, and how likely she is below the threshold."""

    standing: Literal["good", "warned", "failed"]
    p_below: float


def gold_standing(*, seen: int, passed: int, threshold: float) -> GoldStanding:
    """Good, warned or failed from `passed` of `seen` gold questions (statistics.md §6)."""
    p_below = beta_cdf(threshold, PRIOR[0] + passed, PRIOR[1] + seen - passed)
    if p_below > PAUSE_AT and seen >= FEWEST_GOLD:
        return GoldStanding("failed", p_below)
    return GoldStanding("warned" if p_below > WARN_AT else "good", p_below)


def beta_cdf(x: float, a: float, b: float) -> float:
    """I_x(a, b), the regularised incomplete beta function; a, b > 0.

    Lentz's continued fraction (Press et al., Numerical Recipes, §6.4).
    """
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast on the other side
        return 1 - beta_cdf(1 - x, b, a)
    front = exp(a * log(x) + b * log1p(-x) + lgamma(a + b) - lgamma(a) - lgamma(b)) / a
    return front * _beta_fraction(x, a, b)


def _beta_fraction(x: float, a: float, b: float) -> float:
    tiny = 1e-300
    c, d = 1.0, 1 / ((1 - (a + b) * x / (a + 1)) or tiny)
    fraction = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            d = 1 / ((1 + step * d) or tiny)
            c = (1 + step / c) or tiny
            fraction *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return fraction
