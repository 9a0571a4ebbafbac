"""What goes out about the work in progress, and about what a change of settings will do."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from app.tasks.models import SkipReason, TaskKind


class TasksOut(BaseModel):
    """Ordinary tasks by state; places are judgements that are asked for."""

    total: int
    complete: int
    held: int
    begun: int
    untouched: int
    places_wanted: int
    places_counted: int
    places_held: int
    places_free: int


class LeasesOut(BaseModel):
    """Open assignments; `expired`: their time is over and nobody has taken them yet."""

    running: int
    expired: int
    ages: list[tuple[str, int]]


class SkippedTaskOut(BaseModel):
    task_id: str
    prompt: str
    people: int
    reasons: list[SkipReason]


class HandedOut(BaseModel):
    """What was handed out beside the ordinary work, and what came too late or was skipped."""

    gold: int
    gold_tasks: int
    repeats: int
    surplus: int
    skipped: dict[SkipReason, int]
    most_skipped: list[SkippedTaskOut]


class HourOut(BaseModel):
    hour: datetime
    judgements: int


class HoldsOut(BaseModel):
    assignment_id: str
    task_id: str
    prompt: str
    kind: TaskKind
    is_repeat: bool
    since: datetime
    leased_until: datetime
    renewals: int
    held_for: str  # in words
    left: str | None  # in words; null: the time is over


class AtWorkOut(BaseModel):
    user_id: str
    name: str
    is_at_work: bool
    holds: list[HoldsOut]
    judgements: int  # of the last 24 hours
    active_minutes: float
    last_at: datetime | None
    last_ago: str | None


class DemandOut(BaseModel):
    """What is left to do. `judgements` by what is wanted now, `expected` with adaptive overlap.

    `saved_judgements`: those that tasks which were sure before the most did not take.
    """

    judgements: int
    expected: float
    settled_tasks: int | None
    counted_last_day: int
    active_hours_last_day: float
    judgements_per_hour: float | None
    people: int
    person_hours: float | None
    hours: float | None
    ready_at: datetime | None
    sentence: str
    how: str
    saved_judgements: int | None
    saving: str | None


class CheckOut(BaseModel):
    name: str
    rule: str
    holds: bool
    broken: list[str]
    more: bool


class InvariantsOut(BaseModel):
    hold: bool
    checked_at: datetime
    took_seconds: float
    checks: list[CheckOut]


class WorkOut(BaseModel):
    """`GET /projects/{id}/work`. `invariants` is null until a large project is asked to check."""

    as_of: datetime
    took_seconds: float
    tasks: TasksOut
    leases: LeasesOut
    handed: HandedOut
    hours: list[HourOut]
    people: list[AtWorkOut]
    demand: DemandOut
    invariants: InvariantsOut | None = None


class EffectOut(BaseModel):
    """What a change of one setting will do, in a sentence; the values as people read them."""

    setting: str
    from_: Any = Field(serialization_alias="from")
    to: Any
    sentence: str


class EffectsOut(BaseModel):
    """`POST /projects/{id}/effects`: nothing is changed by it. Empty: nothing would change."""

    effects: list[EffectOut]


class UndoForm(BaseModel):
    """The change to be taken back, which must still be the last one."""

    event: int
