"""Consensus that weighs people by how often they are right (Dawid & Skene 1979), for pairs.

A pair has three classes: the first is better, tie, the second is better. Which response is "the
first" is an accident of storage, so a person's confusion matrix is the same from both sides: of
pairs with a better response she finds it with `correct`, calls a tie with `tie`, and the opposite
otherwise; a true tie she calls one with `sees_tie`. The model is fitted by EM; Dirichlet pseudo-
counts keep people with few judgements near the prior of the gold rule, Beta(4, 1.5).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FIRST, TIE, SECOND = range(3)
_DECISIVE_PRIOR = np.array([4.0, 0.75, 0.75])  # correct, tie, opposite
_TIE_PRIOR = np.array([2.0, 1.0])  # sees the tie, or not
_CLASS_PRIOR = np.array([1.0, 1.0])  # decisive, tie
_STEPS = 200
_CLOSE = 1e-7


@dataclass(frozen=True, slots=True)
class Fitted:
    """posterior: (items, 3); correct: (annotators, 3), P(correct, tie, opposite | decisive)."""

    posterior: Floats
    correct: Floats
    sees_tie: Floats
    share_of_ties: float


def dawid_skene(
    item: Ints, annotator: Ints, vote: Ints, *, n_items: int, n_annotators: int
) -> Fitted:
    """The posterior of every item's class, from votes (N,) by `annotator` (N,) on `item` (N,).

    Every item has a vote. The result does not depend on the order of votes but for rounding.
    """
    posterior = _shares(item, vote, n_items)
    for _ in range(_STEPS):
        decisive, sees_tie, tie_share = _maximise(item, annotator, vote, posterior, n_annotators)
        log_votes = _log_likelihoods(annotator, vote, decisive, sees_tie)
        prior = np.array([(1 - tie_share) / 2, tie_share, (1 - tie_share) / 2])
        said = [np.bincount(item, log_votes[:, k], minlength=n_items) for k in range(3)]
        log_joint: Floats = (np.log(prior) + np.array(said).T).astype(np.float64)
        log_joint -= log_joint.max(axis=1, keepdims=True)
        updated: Floats = np.exp(log_joint)
        updated /= updated.sum(axis=1, keepdims=True)
        change = float(np.abs(updated - posterior).max(initial=0.0))
        posterior = updated
        if change < _CLOSE:
            break
    return Fitted(posterior, decisive, sees_tie, float(tie_share))


def _shares(item: Ints, vote: Ints, n_items: int) -> Floats:
    """Where EM begins: the share of the votes for each class, a little smoothed."""
    counts = np.stack([np.bincount(item[vote == k], minlength=n_items) for k in range(3)], axis=1)
    smoothed = counts.astype(np.float64) + 0.1
    shares: Floats = smoothed / smoothed.sum(axis=1, keepdims=True)
    return shares


def _maximise(
    item: Ints, annotator: Ints, vote: Ints, posterior: Floats, n_annotators: int
) -> tuple[Floats, Floats, float]:
    """P(correct, tie, opposite | decisive) and P(tie | tie) per person, and the share of ties."""
    belief = posterior[item]
    is_tie = vote == TIE
    right = np.where(vote == FIRST, belief[:, FIRST], belief[:, SECOND]) * ~is_tie
    wrong = np.where(vote == FIRST, belief[:, SECOND], belief[:, FIRST]) * ~is_tie
    called_tie = (belief[:, FIRST] + belief[:, SECOND]) * is_tie
    decisive = _DECISIVE_PRIOR + np.stack(
        [
            np.bincount(annotator, weight, minlength=n_annotators)
            for weight in (right, called_tie, wrong)
        ],
        axis=1,
    )
    tie = _TIE_PRIOR + np.stack(
        [
            np.bincount(annotator, belief[:, TIE] * mask, minlength=n_annotators)
            for mask in (is_tie, ~is_tie)
        ],
        axis=1,
    )
    of_ties = posterior[:, TIE].sum() + _CLASS_PRIOR[1]
    return (
        decisive / decisive.sum(axis=1, keepdims=True),
        tie[:, 0] / tie.sum(axis=1),
        float(of_ties / (len(posterior) + _CLASS_PRIOR.sum())),
    )


def _log_likelihoods(annotator: Ints, vote: Ints, decisive: Floats, sees_tie: Floats) -> Floats:
    """Log P(vote | class) of every vote: (N, 3)."""
    correct, tie, opposite = np.log(decisive[annotator]).T
    seen = np.log(sees_tie[annotator])
    unseen = np.log((1 - sees_tie[annotator]) / 2)
    is_tie = vote == TIE
    of_first = np.where(is_tie, tie, np.where(vote == FIRST, correct, opposite))
    of_second = np.where(is_tie, tie, np.where(vote == SECOND, correct, opposite))
    return np.stack([of_first, np.where(is_tie, seen, unseen), of_second], axis=1)
