"""One answer per task from several judgements: majority of a pair, Copeland order of a ranking."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True, slots=True)
class Votes:
    """What people said of an implied pair (i, j), i < j in canonical order."""

    first: int
    tie: int
    second: int

    @property
    def number(self) -> int:
        return self.first + self.tie + self.second

    @property
    def preferred(self) -> int:
        """Majority of decisive votes: +1 first, −1 second, 0 unresolved (even, or ties only)."""
        return (self.first > self.second) - (self.first < self.second)

    @property
    def p_first(self) -> float:
        """(wins of the first + half the ties) / votes."""
        return (self.first + self.tie / 2) / self.number

    @property
    def agreement(self) -> float:
        """Share of all votes for what the majority prefers; of ties where nothing is preferred."""
        agreeing = {1: self.first, -1: self.second, 0: self.tie}[self.preferred]
        return agreeing / self.number


@dataclass(frozen=True, slots=True)
class Consensus:
    """ranks: 1 = best, equal = tie (1, 2, 2, 4); is_cyclic: majorities contradict each other."""

    ranks: tuple[int, ...]
    is_cyclic: bool
    votes: dict[tuple[int, int], Votes]

    @property
    def is_decided(self) -> bool:
        """Whether the judgements say which response is better anywhere."""
        return any(votes.preferred for votes in self.votes.values())

    @property
    def agreement(self) -> float:
        """Mean over implied pairs of the share of votes that agree with the majority."""
        return sum(votes.agreement for votes in self.votes.values()) / len(self.votes)


def pair_votes(rankings: Sequence[Sequence[int]]) -> dict[tuple[int, int], Votes]:
    """Votes on every implied pair of one task; `rankings` holds one `ranks` per judgement."""
    votes = {}
    for i, j in combinations(range(len(rankings[0])), 2):
        first = sum(ranks[i] < ranks[j] for ranks in rankings)
        second = sum(ranks[i] > ranks[j] for ranks in rankings)
        votes[i, j] = Votes(first, len(rankings) - first - second, second)
    return votes


def majority(rankings: Sequence[Sequence[int]]) -> Consensus:
    """Copeland's order: a response scores the pairs it wins less those it loses; equal scores tie.

    At least one judgement of at least two responses. No tie is ever broken.
    """
    votes = pair_votes(rankings)
    size = len(rankings[0])
    score = [0] * size
    for (i, j), pair in votes.items():
        score[i] += pair.preferred
        score[j] -= pair.preferred
    ranks = tuple(1 + sum(other > mine for other in score) for mine in score)
    return Consensus(ranks=ranks, is_cyclic=_has_cycle(votes, size), votes=votes)


def _has_cycle(votes: dict[tuple[int, int], Votes], size: int) -> bool:
    """Whether strict majorities run in a circle: what nothing left beats is taken away in turn."""
    beats = {
        (i, j) if pair.preferred > 0 else (j, i) for (i, j), pair in votes.items() if pair.preferred
    }
    left = set(range(size))
    while left:
        unbeaten = {y for y in left if not any((x, y) in beats for x in left)}
        if not unbeaten:
            return True
        left -= unbeaten
    return False
