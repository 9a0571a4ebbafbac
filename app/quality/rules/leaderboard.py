"""Which source of responses people prefer: scores with intervals from their judgements."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import NormalDist

import numpy as np

from app.quality.rules import davidson
from app.quality.rules.battles import Battles, among, clusters, tables
from app.quality.rules.davidson import FIRST, SECOND, TIE
from app.quality.rules.intervals import FEWEST_TASKS, LEVEL, Figure, Floats, Ints, undefined

SCALE = 400 / log(10)  # of Elo: 400 points are odds of ten to one
MIDDLE = 1_000.0  # the mean score
PSEUDO = 0.5  # wins and losses against an imagined source, where it is asked for
Z = NormalDist().inv_cdf(0.5 + LEVEL / 2)


@dataclass(frozen=True, slots=True)
class Entry:
    """One source. rank: from the best to the worst place that its interval allows.

    better_than_next: of decisive comparisons, as the model says; None for the last one.
    """

    source: int
    score: Figure
    rank: tuple[int, int]
    wins: int
    ties: int
    losses: int
    better_than_next: Figure | None


@dataclass(frozen=True, slots=True)
class Standings:
    """The sources that can be compared, best first; apart: (source, why it cannot)."""

    entries: Sequence[Entry]
    apart: Sequence[tuple[int, str]]
    tie: Figure  # share of ties between equals
    left: Figure  # share of decisive comparisons of equals that the left one wins
    reason: str | None = None


def standings(battles: Battles, *, pseudo: float = 0.0) -> Standings:
    """Scores of the largest set of sources that the comparisons connect; of all, with `pseudo`."""
    wins, ties = tables(battles.comparisons)
    met = np.flatnonzero((wins + wins.T + ties).any(axis=1))
    connected = davidson.components(wins[np.ix_(met, met)], ties[np.ix_(met, met)])
    members = met if pseudo else (met[connected[0]] if connected else met)
    apart = [
        (int(source), _why_apart(int(source), members, wins, ties))
        for source in range(len(wins))
        if source not in set(members.tolist())
    ]
    inner_wins, inner_ties = wins[np.ix_(members, members)], ties[np.ix_(members, members)]
    reason = _why_undefined(inner_wins, inner_ties, pseudo=pseudo)
    if reason is not None:
        return Standings((), apart, undefined(reason), undefined(reason), reason)
    part = among(battles, members)
    fitted = davidson.fit(part.comparisons, pseudo=pseudo)
    if not fitted.has_converged:
        reason = "The comparisons are too one-sided for a computer's numbers."
        return Standings((), apart, undefined(reason), undefined(reason), reason)
    return fitted_standings(fitted, part, members, apart, left=_left_figure(part, pseudo=pseudo))[0]


def fitted_standings(
    fitted: davidson.Fit,
    part: Battles,
    members: Ints,
    apart: Sequence[tuple[int, str]],
    *,
    left: Figure,
) -> tuple[Standings, Floats]:
    """With the covariance that its intervals come from."""
    wins, ties = tables(part.comparisons)
    n_tasks = len(np.unique(part.task))
    variance = davidson.covariance(fitted, part.comparisons, clusters(part))
    entries = _entries(fitted, variance, members, wins, ties, n_tasks=n_tasks)
    return Standings(entries, apart, _tie_figure(fitted, variance, n_tasks), left), variance


def _why_undefined(wins: Ints, ties: Ints, *, pseudo: float) -> str | None:
    """Why a likelihood of these sources has no maximum, None where it has."""
    if len(wins) < 2:
        return (
            "No two sources can be placed on one scale: each pair that met has one that never "
            "lost to the other, not even by way of others."
        )
    if not pseudo and ties.any() and not davidson.has_tie_parameter(wins, ties):
        return (
            "Everything was called a tie."
            if not wins.any()
            else "Too few comparisons are decisive to tell how far apart the sources are."
        )
    return None


def _why_apart(source: int, members: Ints, wins: Ints, ties: Ints) -> str:
    """Why a source cannot be placed on the scale of `members`, as people would say it."""
    if not (wins[source] + wins[:, source] + ties[source]).any():
        return "was never compared with another source"
    won, lost = wins[source, members].sum(), wins[members, source].sum()
    if won + lost + ties[source, members].sum() == 0:
        return "never met them"
    if lost == 0:
        return "never lost to them"
    return "never won against them"


def _entries(
    fitted: davidson.Fit,
    variance: Floats,
    members: Ints,
    wins: Ints,
    ties: Ints,
    *,
    n_tasks: int,
) -> list[Entry]:
    n = len(members)
    spread = np.sqrt(np.maximum(np.diag(variance)[:n], 0)) * Z
    order = np.argsort(-fitted.log_worth, kind="stable")
    scores = [
        interval(MIDDLE + SCALE * fitted.log_worth[place], SCALE * spread[place], n_tasks)
        for place in range(n)
    ]
    return [
        Entry(
            source=int(members[place]),
            score=scores[place],
            rank=_rank(place, scores),
            wins=int(wins[place].sum()),
            ties=int(ties[place].sum()),
            losses=int(wins[:, place].sum()),
            better_than_next=_against(fitted, variance, place, after[0], n_tasks)
            if after
            else None,
        )
        for at, place in enumerate(order)
        for after in [order[at + 1 : at + 2].tolist()]
    ]


def interval(value: float, half: float, n_tasks: int) -> Figure:
    if n_tasks < FEWEST_TASKS:
        return Figure(float(value), reason=f"No interval: fewer than {FEWEST_TASKS} tasks.")
    return Figure(float(value), float(value - half), float(value + half))


def _rank(place: int, scores: Sequence[Figure]) -> tuple[int, int]:
    """1 + those surely better, and that with everybody who may be better."""
    low, high = _bounds(scores[place])
    others = [_bounds(score) for at, score in enumerate(scores) if at != place]
    surely_better = sum(other_low > high for other_low, _ in others)
    surely_worse = sum(other_high < low for _, other_high in others)
    return 1 + surely_better, len(scores) - surely_worse


def _bounds(score: Figure) -> tuple[float, float]:
    """Without an interval, the score itself."""
    value = score.value or 0.0
    return (
        value if score.low is None else score.low,
        value if score.high is None else score.high,
    )


def logistic(figure: Figure) -> Figure:
    def share(number: float | None) -> float | None:
        return None if number is None else 1 / (1 + exp(-number))

    return Figure(share(figure.value), share(figure.low), share(figure.high), figure.reason)


def _against(fitted: davidson.Fit, variance: Floats, one: int, other: int, n_tasks: int) -> Figure:
    """P(one beats other | not a tie) = σ(λ₁ − λ₂)."""
    gap = fitted.log_worth[one] - fitted.log_worth[other]
    of_gap = variance[one, one] + variance[other, other] - 2 * variance[one, other]
    return logistic(interval(gap, Z * sqrt(max(0.0, of_gap)), n_tasks))


def _tie_figure(fitted: davidson.Fit, variance: Floats, n_tasks: int) -> Figure:
    """Share of ties between equals: ν / (2 + ν) = σ(δ − log 2)."""
    if fitted.log_tie is None:
        return Figure(0.0, reason="No interval: nobody called a tie.")
    half = Z * sqrt(max(0.0, variance[-1, -1]))
    return logistic(interval(fitted.log_tie - log(2), half, n_tasks))


def _left_figure(battles: Battles, *, pseudo: float) -> Figure:
    """How often the response on the left wins between equals, from what was seen on a screen."""
    seen = battles.comparisons.side != 0
    if not seen.any():
        return undefined("Nobody knows on which side these responses were shown.")
    part = battles.where(seen)
    wins, ties = tables(part.comparisons)
    whole = len(davidson.components(wins, ties)) == 1
    bounded = not ties.any() or davidson.has_tie_parameter(wins, ties)
    if not pseudo and not (whole and bounded):
        return undefined("Too few comparisons were made on a screen.")
    sides = np.where(part.comparisons.side > 0, FIRST, SECOND) == part.comparisons.outcome
    decisive = part.comparisons.outcome != TIE
    if sides[decisive].all() or not sides[decisive].any():
        return undefined("One side won every comparison, or too few were decisive.")
    fitted = davidson.fit(part.comparisons, home=True, pseudo=pseudo)
    if not fitted.has_converged:
        return undefined("Sides and sources cannot be told apart here.")
    variance = davidson.covariance(fitted, part.comparisons, clusters(part))
    place = part.comparisons.n_items
    half = Z * sqrt(max(0.0, variance[place, place]))
    return logistic(interval(fitted.effects[0], half, len(np.unique(part.task))))
