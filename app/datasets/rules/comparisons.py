"""From the judgements of one task to comparisons: who beats whom, by how much, how surely.

Responses are numbered in the order of their ids, so that nothing depends on how they were stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise, product
from math import fsum
from typing import NamedTuple

from app.quality.rules.consensus import Votes, majority, pair_votes

Ranks = tuple[int, ...]
Rankings = tuple[Ranks, ...]
Pair = tuple[int, int]


class Pairs(StrEnum):
    """Which pairs of a ranking become comparisons."""

    ALL = "all"
    ADJACENT = "adjacent"
    BEST_WORST = "best_worst"


class Outcome(StrEnum):
    """What the judgements of a task amount to."""

    DECIDED = "decided"
    TIE = "tie"  # everybody who judged calls every pair equal
    UNRESOLVED = "unresolved"  # as many say the one as the other


class Vote(NamedTuple):
    """One judgement of a task, its ranks in the order of response ids."""

    ranks: Ranks
    strength: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The consensus on an implied pair (i, j), i < j.

    preferred: +1 the first, −1 the second, 0 neither; p_first, p_second: how likely each is
    preferred, half of a tie on either side; agreement: share of the votes that say the same.
    """

    preferred: int
    p_first: float
    p_second: float
    agreement: float


@dataclass(frozen=True, slots=True)
class Settled:
    """The consensus of a task. agreement: mean over the implied pairs."""

    ranks: Ranks
    verdicts: Mapping[Pair, Verdict]
    outcome: Outcome
    is_cyclic: bool = False

    @property
    def agreement(self) -> float:
        return fsum(verdict.agreement for verdict in self.verdicts.values()) / len(self.verdicts)


class Comparison(NamedTuple):
    """`chosen` beats `rejected` (numbers of responses).

    p: how likely chosen is preferred; strength: mean signed strength towards chosen, None where
    nobody gave one; votes: judgements behind it.
    """

    chosen: int
    rejected: int
    p: float
    agreement: float
    strength: float | None
    votes: int


def said(votes: Sequence[Vote]) -> Rankings:
    """What was said, whoever said it: the same for tasks that were judged alike."""
    return tuple(sorted([vote.ranks for vote in votes]))


def by_majority(votes: Sequence[Vote]) -> Settled:
    """Majority of the decisive votes on each pair; Copeland's order over more responses."""
    return _majority(said(votes))


@lru_cache(maxsize=10_000)  # three votes on a pair can say ten different things
def _majority(rankings: Rankings) -> Settled:
    consensus = majority(rankings)
    verdicts = {
        pair: Verdict(
            preferred=counted.preferred,
            p_first=counted.p_first,
            p_second=(counted.second + counted.tie / 2) / counted.number,
            agreement=counted.agreement,
        )
        for pair, counted in consensus.votes.items()
    }
    return Settled(
        ranks=consensus.ranks,
        verdicts=verdicts,
        outcome=_outcome(verdicts, consensus.votes),
        is_cyclic=consensus.is_cyclic,
    )


def by_adjudication(ranks: Ranks, votes: Sequence[Vote]) -> Settled:
    """A reviewer's order holds as it is; agreement is the share of the votes that say the same."""
    counted = pair_votes([vote.ranks for vote in votes]) if votes else {}
    verdicts = {}
    for j in range(len(ranks)):
        for i in range(j):
            preferred = _sign(ranks[j] - ranks[i])
            verdicts[i, j] = Verdict(
                preferred=preferred,
                p_first=(1 + preferred) / 2,
                p_second=(1 - preferred) / 2,
                agreement=_share(counted[i, j], preferred) if votes else 1.0,
            )
    tied = all(verdict.preferred == 0 for verdict in verdicts.values())
    return Settled(ranks, verdicts, Outcome.TIE if tied else Outcome.DECIDED)


def by_posterior(
    p_classes: Mapping[Pair, tuple[float, float, float]], votes: Sequence[Vote]
) -> Settled:
    """The likeliest class of each pair, given P(first, tie, second) of each (Dawid & Skene 1979).

    An exact draw between first and second is unresolved, as it is for a majority. Where a tie is
    the likeliest it is one, also if somebody did prefer one of the two.
    """
    counted = pair_votes([vote.ranks for vote in votes])
    score = [0] * len(votes[0].ranks)
    verdicts = {}
    outcome = Outcome.TIE
    for (i, j), (first, tie, second) in p_classes.items():
        is_tie = tie >= max(first, second)
        preferred = 0 if is_tie else _sign(first - second)
        if preferred:
            outcome = Outcome.DECIDED
        elif not is_tie and outcome is Outcome.TIE:
            outcome = Outcome.UNRESOLVED
        verdicts[i, j] = Verdict(
            preferred=preferred,
            p_first=first + tie / 2,
            p_second=second + tie / 2,
            agreement=_share(counted[i, j], preferred),
        )
        score[i] += preferred
        score[j] -= preferred
    ranks = tuple(1 + sum(other > mine for other in score) for mine in score)
    return Settled(ranks, verdicts, outcome)


def _outcome(verdicts: Mapping[Pair, Verdict], votes: Mapping[Pair, Votes]) -> Outcome:
    if any(verdict.preferred for verdict in verdicts.values()):
        return Outcome.DECIDED
    decisive = any(counted.first or counted.second for counted in votes.values())
    return Outcome.UNRESOLVED if decisive else Outcome.TIE


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)


def _share(votes: Votes, preferred: int) -> float:
    agreeing = {1: votes.first, -1: votes.second, 0: votes.tie}[preferred]
    return agreeing / votes.number


def comparisons(
    settled: Settled, votes: Sequence[Vote], *, pairs: Pairs, levels: int = 0
) -> list[Comparison]:
    """The decisive pairs that `pairs` takes from a consensus, in the order of response numbers.

    A pair is taken where its own votes and the order of all agree: what a cycle or Copeland's
    order contradicts is nobody's preference. `levels`: of the scale of strength, 0 for none.
    """
    taken = []
    for chosen, rejected in _ordered_pairs(settled.ranks, pairs):
        first = chosen < rejected
        verdict = settled.verdicts[(chosen, rejected) if first else (rejected, chosen)]
        if verdict.preferred == (1 if first else -1):
            taken.append(
                Comparison(
                    chosen=chosen,
                    rejected=rejected,
                    p=verdict.p_first if first else verdict.p_second,
                    agreement=verdict.agreement,
                    strength=mean_strength(votes, chosen=chosen, rejected=rejected, levels=levels),
                    votes=len(votes),
                )
            )
    return taken


@lru_cache(maxsize=10_000)
def _ordered_pairs(ranks: Ranks, pairs: Pairs) -> tuple[Pair, ...]:
    """(better, worse) by rank; ties between equal ranks never make a pair."""
    groups = rank_groups(ranks)
    if len(groups) < 2:
        return ()
    if pairs is Pairs.BEST_WORST:
        found = set(product(groups[0], groups[-1]))
    elif pairs is Pairs.ADJACENT:
        found = {pair for better, worse in pairwise(groups) for pair in product(better, worse)}
    else:
        everyone = range(len(ranks))
        found = {(i, j) for i in everyone for j in everyone if ranks[i] < ranks[j]}
    return tuple(sorted(found))


def rank_groups(ranks: Ranks) -> list[list[int]]:
    """The numbers of the responses, best first, equals together."""
    levels = sorted(set(ranks))
    return [[number for number, rank in enumerate(ranks) if rank == level] for level in levels]


def mean_strength(
    votes: Sequence[Vote], *, chosen: int, rejected: int, levels: int = 0
) -> float | None:
    """Mean signed strength: towards chosen is positive, a tie is 0; None where nobody gave one.

    On a scale of `levels`, more than its strongest (an imported judgement may say so) is that.
    """
    signed = []
    given = False
    for ranks, strength in votes:
        towards = ranks[rejected] - ranks[chosen]
        if towards == 0:
            signed.append(0)
        elif strength is not None:
            given = True
            on_scale = min(strength, levels) if levels else strength
            signed.append(on_scale if towards > 0 else -on_scale)
    return sum(signed) / len(signed) if given else None


def strict_rankings(ranks: Ranks) -> list[tuple[int, ...]]:
    """A ranking with ties as rankings without: responses best first, as many as the largest tie.

    From each group of equals one response goes into each ranking, in turn, so that every response
    is used and none is called better than its equal. (1, 2, 2) → [0, 1] and [0, 2].
    """
    groups = rank_groups(ranks)
    if len(groups) < 2:
        return []
    return [
        tuple(group[turn % len(group)] for group in groups)
        for turn in range(max(len(group) for group in groups))
    ]
