"""Which source of responses people prefer: scores with intervals from their judgements."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import NormalDist

import numpy as np

from app.quality.rules import davidson
from app.quality.rules.davidson import FIRST, SECOND, TIE, Comparisons
from app.quality.rules.intervals import FEWEST_TASKS, LEVEL, Figure, Floats, Ints, undefined
from app.quality.rules.judgements import Judgements

SCALE = 400 / log(10)  # of Elo: 400 points are odds of ten to one
MIDDLE = 1_000.0  # the mean score
PSEUDO = 0.5  # wins and losses against an imagined source, where it is asked for
ENOUGH_PEOPLE = 20  # clusters of a sandwich, below which it says too little
_Z = NormalDist().inv_cdf(0.5 + LEVEL / 2)


@dataclass(frozen=True, slots=True)
class Battles:
    """Comparisons of sources, with whose they are: task, annotator, judgement (N,)."""

    comparisons: Comparisons
    task: Ints
    annotator: Ints
    judgement: Ints


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


def battles_of(judgements: Judgements, sources: Ints, *, n_sources: int) -> Battles:
    """Every implied pair of two sources. sources (N, W): by canonical position, −1 = none.

    A pair out of a ranking of K weighs 2 / K, so that the ranking weighs what it decides: K − 1.
    """
    sizes = judgements.sizes
    parts = []
    for i in range(sources.shape[1]):
        for j in range(i + 1, sources.shape[1]):
            one, other = sources[:, i], sources[:, j]
            rows = np.flatnonzero((sizes > j) & (one >= 0) & (other >= 0) & (one != other))
            ranks, display = judgements.ranks[rows], judgements.display[rows]
            outcome = TIE - np.sign(ranks[:, j] - ranks[:, i]).astype(np.int64)
            seen = (display[:, i] >= 0) & (display[:, j] >= 0)
            side = np.where(seen, np.sign(display[:, j] - display[:, i]), 0)
            parts.append((rows, one[rows], other[rows], outcome, 2 / sizes[rows], side))
    rows, one, other, outcome, weight, side = (
        np.concatenate(part) for part in zip(*parts, strict=True)
    )
    swap = one > other
    return Battles(
        Comparisons(
            first=np.where(swap, other, one),
            second=np.where(swap, one, other),
            outcome=np.where(swap, SECOND - outcome, outcome),
            weight=weight,
            side=np.where(swap, -side, side).astype(np.int64),
            n_items=n_sources,
        ),
        task=judgements.task[rows],
        annotator=judgements.annotator[rows],
        judgement=rows,
    )


def tables(comparisons: Comparisons) -> tuple[Ints, Ints]:
    """(wins of the row over the column, ties) between every two sources, unweighted."""
    n = comparisons.n_items
    key = comparisons.first * n + comparisons.second
    of = [
        np.bincount(key[comparisons.outcome == outcome], minlength=n * n).reshape(n, n)
        for outcome in (FIRST, TIE, SECOND)
    ]
    return of[0] + of[2].T, of[1] + of[1].T


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
    part = _among(battles, members)
    fitted = davidson.fit(part.comparisons, pseudo=pseudo)
    if not fitted.has_converged:
        reason = "The comparisons are too one-sided for a computer's numbers."
        return Standings((), apart, undefined(reason), undefined(reason), reason)
    n_tasks = len(np.unique(part.task))
    variance = davidson.covariance(fitted, part.comparisons, clusters(part))
    return Standings(
        _entries(fitted, variance, members, inner_wins, inner_ties, n_tasks=n_tasks),
        apart,
        _tie_figure(fitted, variance, n_tasks),
        _left_figure(part, pseudo=pseudo),
    )


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


def _among(battles: Battles, members: Ints) -> Battles:
    """Only the comparisons of two members, numbered anew."""
    place = np.full(battles.comparisons.n_items, -1)
    place[members] = np.arange(len(members))
    whole = battles.comparisons
    rows = (place[whole.first] >= 0) & (place[whole.second] >= 0)
    kept = whole.where(rows)
    return Battles(
        Comparisons(
            place[kept.first],
            place[kept.second],
            kept.outcome,
            kept.weight,
            kept.side,
            n_items=len(members),
        ),
        battles.task[rows],
        battles.annotator[rows],
        battles.judgement[rows],
    )


def clusters(battles: Battles) -> list[Ints]:
    """What comparisons may depend within: the task and, where there are enough, the person."""
    if len(np.unique(battles.annotator)) < ENOUGH_PEOPLE:
        return [battles.task]
    return [battles.task, battles.annotator, battles.judgement]


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
    spread = np.sqrt(np.maximum(np.diag(variance)[:n], 0)) * _Z
    order = np.argsort(-fitted.log_worth, kind="stable")
    scores = [
        _interval(MIDDLE + SCALE * fitted.log_worth[place], SCALE * spread[place], n_tasks)
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


def _interval(value: float, half: float, n_tasks: int) -> Figure:
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


def _logistic(figure: Figure) -> Figure:
    def share(number: float | None) -> float | None:
        return None if number is None else 1 / (1 + exp(-number))

    return Figure(share(figure.value), share(figure.low), share(figure.high), figure.reason)


def _against(fitted: davidson.Fit, variance: Floats, one: int, other: int, n_tasks: int) -> Figure:
    """P(one beats other | not a tie) = σ(λ₁ − λ₂)."""
    gap = fitted.log_worth[one] - fitted.log_worth[other]
    of_gap = variance[one, one] + variance[other, other] - 2 * variance[one, other]
    return _logistic(_interval(gap, _Z * sqrt(max(0.0, of_gap)), n_tasks))


def _tie_figure(fitted: davidson.Fit, variance: Floats, n_tasks: int) -> Figure:
    """Share of ties between equals: ν / (2 + ν) = σ(δ − log 2)."""
    if fitted.log_tie is None:
        return Figure(0.0, reason="No interval: nobody called a tie.")
    half = _Z * sqrt(max(0.0, variance[-1, -1]))
    return _logistic(_interval(fitted.log_tie - log(2), half, n_tasks))


def _left_figure(battles: Battles, *, pseudo: float) -> Figure:
    """How often the response on the left wins between equals, from what was seen on a screen."""
    seen = battles.comparisons.side != 0
    if not seen.any():
        return undefined("Nobody knows on which side these responses were shown.")
    part = Battles(
        battles.comparisons.where(seen),
        battles.task[seen],
        battles.annotator[seen],
        battles.judgement[seen],
    )
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
    if fitted.log_home is None or not fitted.has_converged:
        return undefined("Sides and sources cannot be told apart here.")
    variance = davidson.covariance(fitted, part.comparisons, clusters(part))
    place = part.comparisons.n_items
    half = _Z * sqrt(max(0.0, variance[place, place]))
    return _logistic(_interval(fitted.log_home, half, len(np.unique(part.task))))
