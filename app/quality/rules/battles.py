"""Comparisons of the sources of responses, made of people's judgements."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.quality.rules.davidson import FIRST, SECOND, TIE, Comparisons
from app.quality.rules.intervals import Ints
from app.quality.rules.judgements import Judgements
from app.quality.rules.length import tempered

ENOUGH_PEOPLE = 20  # clusters of a sandwich, below which it says too little


@dataclass(frozen=True, slots=True)
class Battles:
    """Comparisons of sources, with whose they are: task, annotator, judgement (N,).

    usual_difference: of the lengths of two responses, in characters; None where it is not known.
    """

    comparisons: Comparisons
    task: Ints
    annotator: Ints
    judgement: Ints
    usual_difference: float | None = None

    def where(self, rows: NDArray[np.bool_]) -> "Battles":
        return Battles(
            self.comparisons.where(rows),
            self.task[rows],
            self.annotator[rows],
            self.judgement[rows],
            self.usual_difference,
        )


def battles_of(
    judgements: Judgements, sources: Ints, *, n_sources: int, characters: Ints | None = None
) -> Battles:
    """Every implied pair of two sources. sources (N, W): by canonical position, −1 = none.

    characters (N, W): of the responses. A pair out of a ranking of K weighs 2 / K, so that the
    ranking weighs what it decides: K − 1.
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
            longer = np.zeros(len(rows))
            if characters is not None:
                longer = (characters[rows, i] - characters[rows, j]).astype(np.float64)
            parts.append((rows, one[rows], other[rows], outcome, 2 / sizes[rows], side, longer))
    rows, one, other, outcome, weight, side, longer = (
        np.concatenate(part) for part in zip(*parts, strict=True)
    )
    swap = one > other
    usual = float(np.sqrt(np.mean(longer**2))) if len(longer) else 0.0  # whichever is named first
    return Battles(
        Comparisons(
            first=np.where(swap, other, one),
            second=np.where(swap, one, other),
            outcome=np.where(swap, SECOND - outcome, outcome),
            weight=weight,
            side=np.where(swap, -side, side).astype(np.int64),
            n_items=n_sources,
            longer=tempered(np.where(swap, -longer, longer), usual) if usual else None,
        ),
        task=judgements.task[rows],
        annotator=judgements.annotator[rows],
        judgement=rows,
        usual_difference=usual or None,
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


def among(battles: Battles, members: Ints) -> Battles:
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
            longer=kept.longer,
        ),
        battles.task[rows],
        battles.annotator[rows],
        battles.judgement[rows],
        battles.usual_difference,
    )


def clusters(battles: Battles) -> list[Ints]:
    """What comparisons may depend within: the task and, where there are enough, the person."""
    if len(np.unique(battles.annotator)) < ENOUGH_PEOPLE:
        return [battles.task]
    return [battles.task, battles.annotator, battles.judgement]
