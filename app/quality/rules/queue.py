"""Which tasks a reviewer looks at first, and how she goes through them: pure rules."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import combinations
from uuid import UUID

from app.annotation import rules as annotation
from app.errors import Invalid
from app.quality.rules.consensus import pair_votes

Ranks = Sequence[int]


class Order(StrEnum):
    DISAGREEMENT = "disagreement"
    POSTERIOR = "posterior"


class State(StrEnum):
    """Of a task in the queue; `sent_back`: it waits for judgements that a reviewer asked for."""

    OPEN = "open"
    SETTLED = "settled"
    SENT_BACK = "sent_back"
    GOLD = "gold"


@dataclass(frozen=True, slots=True)
class Given:
    """What one person said of a task; accuracy: how often she is right, by her gold answers."""

    user_id: UUID
    ranks: Ranks
    accuracy: float


def disagreement(rankings: Sequence[Ranks]) -> float | None:
    """Share of pairs of people and implied pairs of responses that differ; None of one person."""
    if len(rankings) < 2:
        return None
    return _disagreement(tuple(sorted(map(tuple, rankings))))


@lru_cache(maxsize=20_000)  # of thousands of pairs, most are judged alike
def _disagreement(rankings: tuple[tuple[int, ...], ...]) -> float:
    m = len(rankings)
    votes = pair_votes(rankings).values()
    same = [
        sum(number * (number - 1) for number in (each.first, each.tie, each.second))
        for each in votes
    ]
    return round(1 - sum(same) / (len(same) * m * (m - 1)), 6)


def difference(hers: Ranks, others: Sequence[Ranks]) -> float | None:
    """Share of the other people and implied pairs that say another thing than she does."""
    if not others:
        return None
    pairs = list(combinations(range(len(hers)), 2))
    apart = sum(_sign(hers, pair) != _sign(ranks, pair) for ranks in others for pair in pairs)
    return round(apart / (len(pairs) * len(others)), 6)


def _sign(ranks: Ranks, pair: tuple[int, int]) -> int:
    i, j = pair
    return (ranks[i] < ranks[j]) - (ranks[i] > ranks[j])


def posterior(given: Sequence[Given], *, allow_ties: bool) -> float | None:
    """How sure the leading answer is, as adaptive overlap tells it; None where nobody judged."""
    if not given:
        return None
    votes = [(annotation.leading_answer(each.ranks), each.accuracy) for each in given]
    ties = allow_ties or any(answer < 0 for answer, _ in votes)  # imported ones may have some
    answers = len(given[0].ranks) + ties
    return round(annotation.leading_posterior(votes, answers=answers), 6)


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the queue: the value it is ordered by, then the task."""

    value: float
    task_id: UUID

    @property
    def key(self) -> tuple[float, str]:
        return self.value, str(self.task_id)

    def __str__(self) -> str:
        return f"{self.value:.6f}~{self.task_id}"


def read_mark(text: str) -> Mark:
    """What `str` made of a mark."""
    value, _, task_id = text.partition("~")
    try:
        return Mark(float(value), UUID(task_id))
    except ValueError:
        raise Invalid("This is no place in the queue. Begin with its first page.") from None


def after(marks: Iterable[Mark], start: Mark | None) -> list[Mark]:
    """In order, those behind `start`, which itself may have left the queue by now."""
    ordered = sorted(marks, key=lambda mark: mark.key)
    return ordered if start is None else [mark for mark in ordered if mark.key > start.key]
