"""What other domains hand in to open tasks, and get back."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from app.db import JsonObject
from app.tasks.models import QualificationAttempt
from app.tasks.rules import Pair, satisfies

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Gold:
    """A gold key; pairs are places in the sequence of responses it comes with."""

    prefers: Sequence[Pair]
    equal: Sequence[Pair] = ()
    ties_allowed: bool = False
    explanation: str = ""
    qualification: bool = False  # asked openly before real work, instead of mixed in unseen
    suspended: str | None = None  # why it is not in force

    def is_satisfied_by(self, ranks: Sequence[int]) -> bool:
        return satisfies(
            ranks, prefers=self.prefers, equal=self.equal, ties_allowed=self.ties_allowed
        )


@dataclass(frozen=True, slots=True)
class NewTask:
    """A prompt with its responses, in any order, none twice.

    `judges`: names of people whose judgements the caller records in this very transaction.
    `may_ask`: False where the caller knows that the prompt asks nothing of its judges.
    """

    prompt_id: UUID
    response_ids: Sequence[UUID]
    priority: int = 0
    external_id: str | None = None
    gold: Gold | None = None
    judges: Collection[str] = ()
    may_ask: bool = True
    meta: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpenedTask:
    """Where a `NewTask` ended: its row, and the canonical position of each response given.

    `counted`, of an ordinary task that did not exist before: the judgements that it was opened
    with, one of each of its `judges`. None: its row must be asked.
    """

    task_id: UUID
    positions: Sequence[int]
    is_new: bool
    is_gold: bool
    counted: int | None = None

    def canonical(self, given: Sequence[T]) -> list[T]:
        """Values per response as given, e.g. ranks, in canonical order."""
        values = list(given)
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
    is_qualification: bool = False


class Stage(StrEnum):
    """Where a person stands with the qualification of a project."""

    NOT_ASKED = "not_asked"
    QUALIFIED = "qualified"
    READY = "ready"  # she may begin an attempt
    UNDER_WAY = "under_way"
    WAITING = "waiting"  # until `retry_at`
    USED_UP = "used_up"
    NO_QUESTIONS = "no_questions"  # fewer than an attempt takes, and she has had none
    NONE_LEFT = "none_left"  # … and she has had the others


@dataclass(frozen=True, slots=True)
class Qualification:
    """Where she stands, and the numbers that go with it; `attempt` is her last one."""

    stage: Stage
    attempt: QualificationAttempt | None = None
    size: int = 0  # questions of the attempt under way, else of the next one
    needed: int = 0
    attempts_left: int = 0
    retry_at: datetime | None = None


class Nothing(StrEnum):
    """Why somebody gets no task."""

    PROJECT_PAUSED = "project_paused"
    PAUSED = "paused"
    DAILY_LIMIT = "daily_limit"
    TOTAL_LIMIT = "total_limit"
    LARGEST_SHARE = "largest_share"
    NO_TASKS = "no_tasks"
    FINISHED = "finished"
    NEEDS_OTHER_SKILLS = "needs_other_skills"
    NONE_FOR_YOU = "none_for_you"
