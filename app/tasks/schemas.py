"""What other domains hand in to open tasks, and get back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from app.db import JsonObject
from app.tasks.rules import Pair


@dataclass(frozen=True, slots=True)
class Gold:
    """A gold key; pairs are places in the sequence of responses it comes with."""

    prefers: Sequence[Pair]
    equal: Sequence[Pair] = ()
    ties_allowed: bool = False
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class NewTask:
    """A prompt with its responses, in any order, none twice."""

    prompt_id: UUID
    response_ids: Sequence[UUID]
    priority: int = 0
    external_id: str | None = None
    gold: Gold | None = None
    meta: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpenedTask:
    """Where a `NewTask` ended: its row, and the canonical position of each response given."""

    task_id: UUID
    positions: Sequence[int]
    is_new: bool
    is_gold: bool

    def canonical(self, given: Sequence[int]) -> list[int]:
        """Values per response as given, e.g. ranks, in canonical order."""
        values = [0] * len(self.positions)
        for place, value in zip(self.positions, given, strict=True):
            values[place] = value
        return values


@dataclass(frozen=True, slots=True)
class Completion:
    """What handing in an assignment did: whether it counts, and the gold key it answers.

    `holds` are the open assignments that its person has still, where they were told on the way.
    """

    counts: bool
    is_late: bool
    gold: Gold | None = None
    is_gold: bool = False
    holds: Sequence[UUID] | None = None
