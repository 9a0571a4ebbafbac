"""Straight-lining: the same side on and on, or in turn; the same words again and again."""

from dataclasses import dataclass
from math import log2
from typing import Any

import numpy as np

from app.quality.rules.intervals import Floats, Ints, binomial_p_value
from app.quality.rules.significance import run_p_value

FEWEST_SIDES = 20
TOO_FEW_SIDES = f"Fewer than {FEWEST_SIDES} decisive judgements whose order on screen is known."


@dataclass(frozen=True, slots=True)
class Streak:
    """Sides in the order of her answers.

    The order on screen is random, so a careful person's sides are throws of a fair coin, whatever
    she thinks of the responses.

    longest: run of one side; switch_share: of answers on the other side than the one before;
    entropy: of two answers in a row, 1 = no pattern, 0 = always the same; p_value: of the more
    surprising of run and switches, doubled because there are two.
    """

    n: int
    longest: int | None = None
    switch_share: float | None = None
    entropy: float | None = None
    p_value: float | None = None
    reason: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "n": self.n,
            "longest": self.longest,
            "switch_share": None if self.switch_share is None else round(self.switch_share, 6),
            "entropy": None if self.entropy is None else round(self.entropy, 6),
            "p_value": None if self.p_value is None else float(f"{self.p_value:.4g}"),
        } | ({} if self.reason is None else {"reason": self.reason})


def streak(sides: Floats) -> Streak:
    """Of sides 0 or 1 by time, NaN = neither."""
    known = sides[~np.isnan(sides)]
    n = len(known)
    if n < FEWEST_SIDES:
        return Streak(n, reason=TOO_FEW_SIDES)
    changes = known[1:] != known[:-1]
    bounds = np.concatenate([[0], np.flatnonzero(changes) + 1, [n]])
    longest, switches = int(np.diff(bounds).max()), int(changes.sum())
    pairs = np.bincount((2 * known[:-1] + known[1:]).astype(np.int64), minlength=4) / (n - 1)
    return Streak(
        n=n,
        longest=longest,
        switch_share=switches / (n - 1),
        entropy=-sum(float(share) * log2(share) for share in pairs if share) / 2,
        p_value=min(1.0, 2 * min(run_p_value(longest, n), binomial_p_value(switches, n - 1))),
    )


def most_repeated(rationales: Ints) -> tuple[int, int]:
    """(how often the commonest rationale was given, how many were given at all), of hashes."""
    given = rationales[rationales != 0]
    if not len(given):
        return 0, 0
    return int(np.unique(given, return_counts=True)[1].max()), len(given)
