"""When enough has been judged: a confidence sequence, true at every look at once.

An ordinary interval is true 19 times in 20 for somebody who looks once. Who looks after each
judgement and stops at the first good moment is wrong far more often. The hedged capital process of
Waudby-Smith & Ramdas (2024), "Estimating means of bounded random variables by betting", JRSS-B 86,
theorem 3, is true for all looks together: for every candidate m of the mean somebody bets against
it with a fortune that cannot grow in expectation where m is true. By Ville's inequality it reaches
1/α with probability α at most, ever. What is left are the m whose fortunes never did.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from app.quality.rules.intervals import Floats

ALPHA = 0.05
STEPS = 400  # of the grid of means; the interval is never narrower than the truth of it
MOST_OF_THE_FORTUNE = 0.5  # put at risk at once: `c` in the paper
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Sequence95:
    """low, high (n + 1,): the interval after 0, 1 … n scores. It only ever narrows."""

    low: Floats
    high: Floats

    @property
    def last(self) -> tuple[float, float]:
        return float(self.low[-1]), float(self.high[-1])


def bets(scores: Floats, *, alpha: float = ALPHA) -> Floats:
    """The predictable plug-in λ of eq. 26 of the paper: from what was seen before, for each score.

    σ² and μ begin at ¼ and ½ as if one score had been seen.
    """
    n = len(scores)
    if not n:
        return scores
    t = np.arange(1, n + 1)
    mean = (0.5 + np.cumsum(scores)) / (t + 1)
    variance = (0.25 + np.cumsum((scores - mean) ** 2)) / (t + 1)
    before = np.concatenate([[0.25], variance[:-1]])
    stakes: Floats = np.sqrt(2 * log(2 / alpha) / (before * t * np.log(t + 1)))
    return stakes


def confidence_sequence(scores: Sequence[float], *, alpha: float = ALPHA) -> Sequence95:
    """Of scores in [0, 1], in the order in which they came."""
    x = np.asarray(scores, np.float64)
    m = np.linspace(0.0, 1.0, STEPS + 1)
    stakes = bets(x, alpha=alpha)
    low, high = np.zeros(len(x) + 1), np.ones(len(x) + 1)
    up, down = np.zeros(len(m)), np.zeros(len(m))  # log of the two fortunes so far
    limit = log(2 / alpha)  # each of the two has half of what there is
    for begin in range(0, len(x), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        seen, stake = x[part, None] - m, stakes[part, None]
        with np.errstate(divide="ignore"):
            more = np.minimum(stake, MOST_OF_THE_FORTUNE / m)
            less = np.minimum(stake, MOST_OF_THE_FORTUNE / (1 - m))
        rising = up + np.cumsum(np.log1p(more * seen), axis=0)
        falling = down + np.cumsum(np.log1p(-less * seen), axis=0)
        up, down = rising[-1], falling[-1]
        # A fortune that rises against m says that m is too low; it rises less the higher m is. So
        # the highest m that is too low bounds the interval, and the lowest that is too high.
        too_low, too_high = rising >= limit, falling >= limit
        last = np.where(too_low.any(axis=1), STEPS - np.argmax(too_low[:, ::-1], axis=1), 0)
        first = np.where(too_high.any(axis=1), np.argmax(too_high, axis=1), STEPS)
        here = slice(begin + 1, begin + 1 + len(seen))
        low[here], high[here] = last / STEPS, first / STEPS
    return Sequence95(np.maximum.accumulate(low), np.minimum.accumulate(high))


@dataclass(frozen=True, slots=True)
class Decision:
    """What a sequence says against ½: `prefers` +1 the first, −1 the second, 0 neither.

    `at`: the number of scores after which it was first so; None: it is not decided.
    """

    prefers: int
    at: int | None

    @property
    def is_made(self) -> bool:
        return self.at is not None


def decision(sequence: Sequence95, *, margin: float = 0.0) -> Decision:
    """Decided once ½ is out of the interval, or all of it within `margin` of ½ (0: never)."""
    wins, loses = sequence.low >= 0.5, sequence.high <= 0.5
    near = (sequence.low > 0.5 - margin) & (sequence.high < 0.5 + margin)
    for prefers, where in ((1, wins), (-1, loses), (0, near)):
        if where.any():
            return Decision(prefers, int(np.argmax(where)))
    return Decision(0, None)
