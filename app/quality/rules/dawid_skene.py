"""Consensus on pairs that weighs people by how often they are right (Dawid & Skene 1979).

A pair has three classes: the first is better, tie, the second is better. Which response is "the
first" is an accident of storage, but which was shown on the left is not: where it is known, a
person's confusion matrix is over sides, so that who always takes the left one says nothing. Who has
judged less than `FEW` times, or where nobody knows the sides, has one coin for both: of pairs with
a better response she finds it at the same rate on either side. Dirichlet pseudo-counts keep people
with few judgements near the prior of the gold rule, Beta(4, 1.5); answers to gold and to settled
tasks, whose truth is known, are counted as they are.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.quality.rules import em
from app.quality.rules.intervals import Floats, Ints

FIRST, TIE, SECOND = range(3)
FEW = 50  # judgements, up to which one coin is all that can be told of a person
# True class by what is said. From both sides together: correct 4, tie and opposite 0.75 each.
_MATRIX = np.array([[2.0, 0.375, 0.375], [0.5, 2.0, 0.5], [0.375, 0.375, 2.0]])
_SHARES = np.array([0.5, 1.0, 0.5])
_NO_TIES = np.array([0.5, -np.inf, 0.5])


@dataclass(frozen=True, slots=True)
class Fitted:
    """posterior: (items, 3); matrices (annotators, 3, 3): P(said | true), left to right.

    counts: the votes behind the matrices, spread over the true classes, known ones included.
    """

    posterior: Floats
    matrices: Floats
    counts: Floats
    share_of_ties: float
    estimate: em.Estimate

    @property
    def correct(self) -> Floats:
        """(annotators, 3): P(correct, tie, opposite | there is a better one), sides alike."""
        both: Floats = (self.matrices[:, FIRST] + self.matrices[:, SECOND, ::-1]) / 2
        return both

    @property
    def sees_tie(self) -> Floats:
        return self.matrices[:, TIE, TIE]


def dawid_skene(
    item: Ints,
    annotator: Ints,
    vote: Ints,
    *,
    n_items: int,
    n_annotators: int,
    mirrored: NDArray[np.bool_] | None = None,
    two_sided: NDArray[np.bool_] | None = None,
    known: Floats | None = None,
    ties: bool = True,
    close: float = em.CLOSE,
    steps: int = em.STEPS,
) -> Fitted:
    """The posterior of every item's class, from votes (N,) by `annotator` (N,) on `item` (N,).

    Every item has a vote. mirrored (N,): the first was shown on the right; two_sided (annotators,):
    whose matrix may differ between the sides, nobody's where it is not given; known (annotators, 3,
    3): her votes where the truth is known. Without `ties` no item is one. The result does not
    depend on the order of votes but for rounding.
    """
    votes = pair_votes(
        item, annotator, vote, n_items=n_items, n_annotators=n_annotators, sides=mirrored
    )
    seen = np.zeros((n_annotators, 3, 3)) if known is None else known
    prior = em.Prior(
        matrices=_MATRIX + seen,
        shares=_SHARES if ties else _NO_TIES,
        even=np.ones(n_annotators, np.bool_) if two_sided is None else ~two_sided,
    )
    fitted = em.estimate(votes, prior, close=close, steps=steps)
    return Fitted(
        posterior=fitted.posterior,
        matrices=fitted.matrices,
        counts=fitted.counts + seen,
        share_of_ties=float(fitted.shares[TIE]),
        estimate=fitted,
    )


def pair_votes(
    item: Ints,
    annotator: Ints,
    vote: Ints,
    *,
    n_items: int,
    n_annotators: int,
    sides: NDArray[np.bool_] | None = None,
) -> em.Votes:
    """Votes on pairs; sides: where the first was shown on the right, nowhere if not given."""
    mirrored = np.zeros(len(item), np.bool_) if sides is None else sides
    return em.Votes(item, annotator, vote, mirrored, n_items, n_annotators, n_classes=3)
