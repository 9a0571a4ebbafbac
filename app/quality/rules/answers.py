"""The answer to every task by Dawid and Skene's model, how sure it is, and what else would be said.

A ranking is its implied pairs, as everywhere: the answer to a task is their Copeland order, its
posterior the mean over them of the likeliest class's. What a reviewer settled is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.quality.rules import em
from app.quality.rules.dawid_skene import FEW, FIRST, SECOND, TIE, Fitted, dawid_skene, pair_votes
from app.quality.rules.intervals import Figure, Floats, Ints, share_figure
from app.quality.rules.judgements import Judgements
from app.quality.rules.pairs import (
    Pairs,
    copeland,
    implied_pairs,
    known_classes,
    known_ranks,
    preferred_by_majority,
    preferred_by_posterior,
    undecided,
    vote_counts,
)

MOST_UNCERTAIN = 1_000
BINS = 20  # of the histogram of posteriors, between 0 and 1
_DIGITS = 6  # of a posterior: an even draw is even but for rounding


@dataclass(frozen=True, slots=True)
class KnownVote:
    """What somebody said of a pair whose truth is known; `is_mirrored` is None if nobody saw it."""

    annotator: int
    truth: int
    said: int
    is_mirrored: bool | None


@dataclass(frozen=True, slots=True)
class Person:
    """matrix (3, 3): P(says left, tie, right | left, tie, right is better); rows add up to 1.

    two_sided: the sides may differ; else one coin for both, because she judged too little or nobody
    knows the sides. accuracy: how much of what she said is the answer, as the model has it.
    """

    annotator: int
    n_annotations: int
    n_known: int
    two_sided: bool
    matrix: Floats
    accuracy: Figure


@dataclass(frozen=True, slots=True)
class Answer:
    """`ranks`, and those of the `majority`, None where as many say the one as the other."""

    task: int
    posterior: float
    n_annotations: int
    ranks: Sequence[int]
    majority: Sequence[int] | None


@dataclass(frozen=True, slots=True)
class Methods:
    """Tasks by what the majority says: the same answer as the model, another, or nothing.

    `resolved`: of those that are even, the model decides. These are tasks that no reviewer settled;
    of the `adjudicated` ones, those in which majority and model say what the reviewer said.
    """

    same: int
    differ: int
    unresolved: int
    resolved: int
    adjudicated: int
    adjudicated_as_majority: int
    adjudicated_as_model: int


@dataclass(frozen=True, slots=True)
class Answers:
    """histogram (BINS,): tasks that no reviewer settled, by posterior; uncertain: least first."""

    n_open: int
    n_confident: int
    histogram: Ints
    methods: Methods
    share_of_ties: float
    uncertain: Sequence[Answer]
    people: Sequence[Person]


@dataclass(frozen=True, slots=True)
class _Orders:
    """Per task: the model's order, the majority's, the reviewer's (0 where there is none)."""

    model: Ints
    majority: Ints
    reviewer: Ints
    is_doubtful: NDArray[np.bool_]  # the model cannot say
    is_even: NDArray[np.bool_]  # the majority cannot say


def answers(
    judgements: Judgements,
    *,
    n_annotators: int,
    adjudicated: Mapping[int, Sequence[int]],
    known: Sequence[KnownVote],
    ties: bool,
    confidence: float,
) -> Answers:
    """Everything at once. adjudicated: ranks by task code; known: answers to gold questions."""
    judgements = judgements.once()
    pairs = implied_pairs(judgements)
    two_sided = np.bincount(judgements.annotator, minlength=n_annotators) >= FEW
    truth = known_classes(pairs, adjudicated)
    fitted, posterior = _fitted(pairs, truth, known, two_sided, ties=ties)
    orders = _orders(pairs, posterior, adjudicated)
    is_open = orders.reviewer[:, 0] == 0
    certainty = np.bincount(pairs.task, posterior.max(axis=1)) / np.bincount(pairs.task)
    opened = certainty[is_open]
    bins = np.minimum((opened * BINS).astype(np.int64), BINS - 1)
    return Answers(
        n_open=len(opened),
        n_confident=int((opened >= confidence).sum()),
        histogram=np.bincount(bins, minlength=BINS).astype(np.int64),
        methods=_methods(orders, is_open),
        share_of_ties=fitted.share_of_ties,
        uncertain=_uncertain(pairs, judgements, orders, certainty, is_open),
        people=_people(fitted, judgements, known, two_sided),
    )


def posteriors(
    judgements: Judgements,
    *,
    n_annotators: int,
    adjudicated: Mapping[int, Sequence[int]],
    known: Sequence[KnownVote],
    ties: bool,
) -> tuple[Pairs, Floats]:
    """All pairs and P(first, tie, second) of each, as `answers` has them."""
    judgements = judgements.once()
    pairs = implied_pairs(judgements)
    two_sided = np.bincount(judgements.annotator, minlength=n_annotators) >= FEW
    truth = known_classes(pairs, adjudicated)
    return pairs, _fitted(pairs, truth, known, two_sided, ties=ties)[1]


def _fitted(
    pairs: Pairs,
    truth: Ints,
    known: Sequence[KnownVote],
    two_sided: NDArray[np.bool_],
    *,
    ties: bool,
) -> tuple[Fitted, Floats]:
    """The model fitted to pairs in doubt, with what people said of known ones; every posterior.

    A person is two to the model, where sides are known and where not: the latter is one-sided.
    """
    n = 2 * len(two_sided)
    person = pairs.annotator + np.where(pairs.seen, 0, len(two_sided))
    in_doubt = truth < 0
    place = np.cumsum(in_doubt) - 1
    votes_in_doubt = in_doubt[pairs.pair]

    def votes(rows: NDArray[np.bool_], item: Ints, n_items: int) -> em.Votes:
        said, mirrored = pairs.said[rows], pairs.mirrored[rows]
        return pair_votes(item, person[rows], said, n_items=n_items, n_annotators=n, sides=mirrored)

    about_known = votes(~votes_in_doubt, pairs.pair[~votes_in_doubt], len(truth))
    fitted = dawid_skene(
        place[pairs.pair[votes_in_doubt]],
        person[votes_in_doubt],
        pairs.said[votes_in_doubt],
        n_items=int(in_doubt.sum()),
        n_annotators=n,
        mirrored=pairs.mirrored[votes_in_doubt],
        two_sided=np.concatenate([two_sided, np.zeros_like(two_sided)]),
        known=em.counts_of(about_known, truth) + _known_counts(known, len(two_sided)),
        ties=ties,
    )
    posterior = np.zeros((len(truth), 3))
    posterior[in_doubt] = fitted.posterior
    if not in_doubt.all():  # what people say of settled tasks, to be held against the reviewer
        posterior[~in_doubt] = em.posterior_of(about_known, fitted.estimate)[~in_doubt]
    return fitted, posterior.round(_DIGITS)


def _known_counts(known: Sequence[KnownVote], n_annotators: int) -> Floats:
    """(2 · annotators, 3, 3): answers to gold questions, as seen from each one's side."""
    votes = pair_votes(
        np.arange(len(known)),
        np.array(
            [v.annotator + (n_annotators if v.is_mirrored is None else 0) for v in known], np.int64
        ),
        np.array([v.said for v in known], np.int64),
        n_items=len(known),
        n_annotators=2 * n_annotators,
        sides=np.array([bool(v.is_mirrored) for v in known], np.bool_),
    )
    return em.counts_of(votes, np.array([v.truth for v in known], np.int64))


def _orders(pairs: Pairs, posterior: Floats, known: Mapping[int, Sequence[int]]) -> _Orders:
    counts = vote_counts(pairs)
    of_model, of_majority = preferred_by_posterior(posterior), preferred_by_majority(counts)
    draw = posterior[:, TIE] < posterior[:, [FIRST, SECOND]].max(axis=1)
    return _Orders(
        model=copeland(pairs, of_model),
        majority=copeland(pairs, of_majority),
        reviewer=known_ranks(pairs, known),
        is_doubtful=undecided(pairs, of_model, even=(of_model == 0) & draw),
        is_even=undecided(pairs, of_majority, even=counts[:, FIRST] + counts[:, SECOND] > 0),
    )


def _methods(orders: _Orders, is_open: NDArray[np.bool_]) -> Methods:
    same = (orders.model == orders.majority).all(axis=1) & ~orders.is_even
    as_majority = (orders.majority == orders.reviewer).all(axis=1) & ~orders.is_even
    as_model = (orders.model == orders.reviewer).all(axis=1) & ~orders.is_doubtful
    return Methods(
        same=int((same & is_open).sum()),
        differ=int((~same & ~orders.is_even & is_open).sum()),
        unresolved=int((orders.is_even & is_open).sum()),
        resolved=int((orders.is_even & ~orders.is_doubtful & is_open).sum()),
        adjudicated=int((~is_open).sum()),
        adjudicated_as_majority=int((as_majority & ~is_open).sum()),
        adjudicated_as_model=int((as_model & ~is_open).sum()),
    )


def _uncertain(
    pairs: Pairs,
    judgements: Judgements,
    orders: _Orders,
    certainty: Floats,
    is_open: NDArray[np.bool_],
) -> list[Answer]:
    """Those with the lowest posteriors; of equals, those with most judgements."""
    number = np.bincount(np.searchsorted(pairs.names, judgements.task), minlength=len(certainty))
    order = np.lexsort((pairs.names, -number, certainty.round(9)))
    return [
        Answer(
            task=int(pairs.names[place]),
            posterior=float(certainty[place]),
            n_annotations=int(number[place]),
            ranks=orders.model[place, : pairs.sizes[place]].tolist(),
            majority=None
            if orders.is_even[place]
            else orders.majority[place, : pairs.sizes[place]].tolist(),
        )
        for place in order[is_open[order]][:MOST_UNCERTAIN]
    ]


def _people(
    fitted: Fitted,
    judgements: Judgements,
    known: Sequence[KnownVote],
    two_sided: NDArray[np.bool_],
) -> list[Person]:
    """Everybody who has judged or answered gold."""
    n = len(two_sided)
    number = np.bincount(judgements.annotator, minlength=n)
    of_known = np.bincount(np.array([vote.annotator for vote in known], np.int64), minlength=n)
    votes = fitted.counts.sum(axis=(1, 2))
    seen = votes[:n] >= votes[n:]  # most of hers, on a screen of ours
    return [
        Person(
            annotator=int(place),
            n_annotations=int(number[place]),
            n_known=int(of_known[place]),
            two_sided=bool(two_sided[place] and seen[place]),
            matrix=fitted.matrices[place if seen[place] else n + place],
            accuracy=_accuracy(fitted.counts[place] + fitted.counts[n + place]),
        )
        for place in np.flatnonzero(number + of_known)
    ]


def _accuracy(counts: Floats) -> Figure:
    return share_figure(
        float(np.trace(counts)), float(counts.sum()), none="She has judged nothing."
    )
