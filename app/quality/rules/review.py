"""A reviewer's order of the responses, and when gold itself is in doubt."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from app.errors import Invalid

FEWEST_ANSWERS = 5  # of good annotators, before gold can be in doubt
DISPUTED_SHARE = 0.4  # of them who fail it (statistics.md §6)


class Withdrawable(Protocol):
    @property
    def withdrawn_at(self) -> datetime | None: ...


W = TypeVar("W", bound=Withdrawable)


def holding(adjudications: Iterable[W]) -> W | None:
    """The one that holds of those of a task, newest first: the newest that was not withdrawn."""
    return next((each for each in adjudications if each.withdrawn_at is None), None)


def label(position: int) -> str:
    """A, B, C… in canonical order."""
    return chr(ord("A") + position)


def ranks_of(ranking: Sequence[Sequence[str]], *, names: Mapping[str, int]) -> list[int]:
    """Groups of names, best first → rank by position: 1 = best, equal = tie (1, 2, 2, 4).

    `names` leads from every name of a response (label or id) to its position. Raises `Invalid`
    unless each response is named exactly once.
    """
    size = len(set(names.values()))
    ranks = [0] * size
    better = 0
    for group in ranking:
        for name in group:
            position = names.get(name)
            if position is None:
                raise Invalid(f"“{name}” is not a response of this task.")
            if ranks[position]:
                raise Invalid(f"“{name}” is ranked twice. Name each response once.")
            ranks[position] = better + 1
        better += len(group)
    missing = [label(position) for position, rank in enumerate(ranks) if not rank]
    if missing:
        raise Invalid(f"The ranking leaves out {', '.join(missing)}. Name each response once.")
    return ranks


def standard_ranks(places: Sequence[int], *, size: int) -> list[int]:
    """Places as chosen, with gaps or without → 1 = best, equal = tie (1, 2, 2, 4)."""
    if len(places) != size:
        raise Invalid(f"This task has {size} responses. Give each of them a place.")
    return [1 + sum(other < place for other in places) for place in places]


def is_disputed(*, judged: int, failed: int) -> bool:
    """Whether so many good annotators fail a gold task that the key must be looked at."""
    return judged >= FEWEST_ANSWERS and failed / judged >= DISPUTED_SHARE


def in_words(ranks: Sequence[int]) -> str:
    """Ranks as people write them: `B > A = C`."""
    groups = [
        [label(position) for position, rank in enumerate(ranks) if rank == wanted]
        for wanted in sorted(set(ranks))
    ]
    return " > ".join(" = ".join(group) for group in groups)
