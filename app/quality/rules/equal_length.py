"""Which source people prefer as if all wrote at the same length.

Davidson's model with one effect more: how much longer the one response is than the other, tempered
(`length`). What is left of the scores is what they would be at equal length. A model, not proof:
where a source is longer because it says more, that too is taken away.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from app.quality.rules import davidson
from app.quality.rules.battles import Battles, among
from app.quality.rules.intervals import Figure, Ints, undefined
from app.quality.rules.leaderboard import Standings, Z, fitted_standings, interval, logistic

SAME = "All responses are equally long."
APART = (
    "Length and source cannot be told apart here: it takes pairs in which the source that mostly "
    "writes more is the shorter one."
)


@dataclass(frozen=True, slots=True)
class AtEqualLength:
    """The sources as if all wrote at the same length.

    longer: share of decisive comparisons of equals that the one wins that is longer by
    `usual_difference` characters.
    """

    standings: Standings
    longer: Figure
    usual_difference: float | None


def at_equal_length(battles: Battles, plain: Standings) -> AtEqualLength:
    """Of the sources of `plain`."""
    members: Ints = np.array(sorted(entry.source for entry in plain.entries), np.int64)
    usual = battles.usual_difference
    if plain.reason is not None or usual is None:
        reason = plain.reason or SAME
        return _no_length(plain, reason, usual)
    part = among(battles, members)
    if part.comparisons.longer is None or not part.comparisons.longer.any():
        return _no_length(plain, SAME, usual)
    fitted = davidson.fit(part.comparisons, length=True)
    if not fitted.has_converged:
        return _no_length(plain, APART, usual)
    found, variance = fitted_standings(fitted, part, members, plain.apart, left=plain.left)
    place, by = len(members), float(np.tanh(1.0))
    half = Z * sqrt(max(0.0, variance[place, place]))
    n_tasks = len(np.unique(part.task))
    longer = logistic(interval(by * fitted.effects[0], by * half, n_tasks))
    return AtEqualLength(found, longer, usual)


def _no_length(plain: Standings, reason: str, usual: float | None) -> AtEqualLength:
    none = undefined(reason)
    return AtEqualLength(Standings((), plain.apart, none, none, reason), none, usual)
