"""A day of a project on the wire."""

from datetime import date, datetime

from pydantic import BaseModel

from app.quality.schemas.agreement import FigureOut


class DifferenceOut(BaseModel):
    """One share less another, with a 95 % interval (Newcombe); `is_clear`: zero is outside."""

    value: float
    low: float
    high: float
    is_clear: bool


class DayPersonOut(BaseModel):
    """What one person judged on the day, held against everybody's judgements of the same tasks.

    `usual`: hers on all other days; `change`: from there, at a level for all people of the day at
    once, and with the judgements of those who have clearly fallen further left out; `without`:
    what the day's agreement would be without her judgements.
    """

    user_id: str
    name: str
    paused_at: datetime | None
    n_annotations: int
    n_shared: int
    agreement: FigureOut
    usual: float | None
    change: DifferenceOut | None
    without: float | None
    gold_seen: int
    gold_passed: int


class DayTaskOut(BaseModel):
    """A task judged on the day; `disagreement`: of its decisive comparisons, those that differ."""

    task_id: str
    opening: str
    disagreement: float
    n_annotations: int
    adjudicated_at: datetime | None


class DayPartOut(BaseModel):
    """The day's tasks of one source or tag; `usual` on all days, known of sources."""

    kind: str
    name: str
    n_tasks: int
    agreement: FigureOut
    usual: float | None


class DayVersionOut(BaseModel):
    """The day's judgements under one version of the guidelines."""

    version: int
    published_at: datetime | None
    n_annotations: int
    agreement: FigureOut


class EventOut(BaseModel):
    """What was changed; `version`: of the guidelines that it made; `user_id`: whom it is about."""

    at: datetime
    by: str | None
    what: str
    version: int | None = None
    user_id: str | None = None


class DayOut(BaseModel):
    """`GET /projects/{id}/days/{date}`: what happened on a day (UTC), and why agreement moved.

    `agreement`: of the day's judgements with all others of their tasks, ties left out, with a
    bootstrap interval over tasks; `usual`: the same on the other days.
    """

    day: date
    previous: date | None
    next: date | None
    n_annotations: int
    n_annotators: int
    n_shared_tasks: int
    agreement: FigureOut
    usual: float | None
    change: DifferenceOut | None
    sentences: list[str]
    people: list[DayPersonOut]
    tasks: list[DayTaskOut]
    parts: list[DayPartOut]
    versions: list[DayVersionOut]
    in_force: int | None
    events: list[EventOut]
