"""What somebody saw when she opened a task, and what is new since then: pure rules."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that a decision may rest on: what tells it apart from all others, and in words."""

    what: tuple[Any, ...]
    sentence: str

    @property
    def mark(self) -> str:
        return sha256(repr(self.what).encode()).hexdigest()[:10]


def stamp(facts: Iterable[Fact]) -> str:
    """Stands for all facts together, so that it can be said later which are new."""
    return ".".join(sorted(fact.mark for fact in facts))


def news(facts: Sequence[Fact], seen: str) -> list[str]:
    """What is there now and was not when `seen` was made."""
    marks = set(seen.split("."))
    return [fact.sentence for fact in facts if fact.mark not in marks]


def is_unchanged(facts: Sequence[Fact], seen: str) -> bool:
    return stamp(facts) == seen
