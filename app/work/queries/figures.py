"""The work of a project in numbers: tasks, leases, skips, judgements of the last hours."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Float, cast, func, select
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.annotation.models import Annotation
from app.corpus.models import Prompt
from app.projects.models import Project
from app.quality.queries.people import n_gold
from app.tasks.models import Assignment, AssignmentState, SkipReason, Task, TaskKind
from app.tasks.queries import IS_GOLD, IS_OPEN, IS_ORDINARY
from app.work.rules.census import Census, census

LONGEST_LOOK = 30 * 60 * 1000  # ms of one judgement that pass for work, where no browser measured
MOST_SKIPPED = 5


def census_of(session: Session, *, project: Project) -> Census:
    is_closed = Task.closed_at.is_not(None)
    rows = session.execute(
        select(Task.wanted, Task.counted, Task.leased, func.count(), Task.at_least, is_closed)
        .where(Task.project_id == project.id, IS_ORDINARY)
        .group_by(Task.wanted, Task.counted, Task.leased, Task.at_least, is_closed)
    )
    return census((wanted or 0, *others) for wanted, *others in rows)


@dataclass(frozen=True, slots=True)
class Held:
    """An open assignment, whether its time is over or not."""

    assignment_id: UUID
    task_id: UUID
    user_id: UUID
    name: str
    opening: str
    kind: TaskKind
    is_repeat: bool
    created_at: datetime
    leased_until: datetime
    renewals: int


def held(session: Session, *, project: Project) -> list[Held]:
    """Everything that people hold, oldest first: a few rows, by the index of open assignments."""
    rows = session.execute(
        select(
            Assignment.id,
            Assignment.task_id,
            Assignment.user_id,
            User.name,
            Prompt.messages[-1]["content"],
            Task.kind,
            Assignment.is_repeat,
            Assignment.created_at,
            Assignment.leased_until,
            Assignment.renewals,
        )
        .join(User, User.id == Assignment.user_id)
        .join(Task, Task.id == Assignment.task_id)
        .join(Prompt, Prompt.id == Task.prompt_id)
        .where(Assignment.project_id == project.id, IS_OPEN)
        .order_by(Assignment.created_at, Assignment.id)
    )
    return [Held(row[0], row[1], row[2], row[3], str(row[4] or "")[:160], *row[5:]) for row in rows]


@dataclass(frozen=True, slots=True)
class Handed:
    """Assignments that ever were, but for those of imported data."""

    gold: int
    gold_tasks: int
    repeats: int
    surplus: int  # judgements that came too late to count
    skipped: dict[SkipReason, int]


def handed(session: Session, *, project: Project) -> Handed:
    gold = session.scalars(
        select(func.count())
        .select_from(Task)
        .join(Assignment, Assignment.task_id == Task.id)
        .where(Task.project_id == project.id, IS_GOLD, Assignment.display_order.is_not(None))
    ).one()
    surplus = session.scalars(
        select(func.count())
        .select_from(Annotation)
        .join(Task, Task.id == Annotation.task_id)
        .where(
            Annotation.project_id == project.id,
            Annotation.is_current.is_(True),
            Annotation.counted.is_(False),
            Annotation.is_repeat.is_(False),
            Annotation.user_id.is_not(None),
            IS_ORDINARY,
        )
    ).one()
    rows = session.execute(
        select(Assignment.skip_reason, Assignment.is_repeat, func.count())
        .where(
            Assignment.project_id == project.id,
            Assignment.is_repeat | (Assignment.state == AssignmentState.SKIPPED),
            Assignment.display_order.is_not(None),
        )
        .group_by(Assignment.skip_reason, Assignment.is_repeat)
    ).all()
    skipped: dict[SkipReason, int] = {}
    for reason, _, number in rows:
        if reason is not None:
            skipped[reason] = skipped.get(reason, 0) + number
    return Handed(
        gold=gold,
        gold_tasks=n_gold(session, project=project),
        repeats=sum(number for _, is_repeat, number in rows if is_repeat),
        surplus=surplus,
        skipped=dict(sorted(skipped.items(), key=lambda item: -item[1])),
    )


@dataclass(frozen=True, slots=True)
class Skipped:
    task_id: UUID
    opening: str
    people: int
    reasons: Sequence[SkipReason]


def most_skipped(session: Session, *, project: Project) -> list[Skipped]:
    """The tasks that most people passed on: two at least."""
    number = func.count()
    tasks = (
        select(
            Assignment.task_id,
            number.label("people"),
            func.array_agg(Assignment.skip_reason.distinct()).label("reasons"),
        )
        .where(Assignment.project_id == project.id, Assignment.state == AssignmentState.SKIPPED)
        .group_by(Assignment.task_id)
        .having(number > 1)
        .order_by(number.desc(), Assignment.task_id)
        .limit(MOST_SKIPPED)
        .subquery()
    )
    rows = session.execute(
        select(tasks.c.task_id, Prompt.messages[-1]["content"], tasks.c.people, tasks.c.reasons)
        .join(Task, Task.id == tasks.c.task_id)
        .join(Prompt, Prompt.id == Task.prompt_id)
        .order_by(tasks.c.people.desc(), tasks.c.task_id)
    )
    return [
        Skipped(task_id, str(content or "")[:160], people, reasons)
        for task_id, content, people, reasons in rows
    ]


@dataclass(frozen=True, slots=True)
class Hour:
    """What one person handed in within one hour."""

    user_id: UUID
    name: str
    hour: datetime
    judgements: int
    counted: int
    active_ms: float
    last_at: datetime


def hours_since(session: Session, *, project: Project, since: datetime) -> list[Hour]:
    """Judgements made here (not imported) from a moment on, by person and hour.

    Their time is the active one where a browser measured it; a correction takes none. Questions
    of the qualification are no work: they say nothing of how long the rest will take.
    """
    hour = func.date_trunc("hour", Annotation.submitted_at)
    spent = func.coalesce(
        Annotation.active_ms, Annotation.visible_ms, func.least(Annotation.wall_ms, LONGEST_LOOK)
    )
    rows = session.execute(
        select(
            Annotation.user_id,
            User.name,
            hour,
            func.count(),
            func.count().filter(Annotation.counted.is_(True)),
            cast(func.sum(spent), Float),
            func.max(Annotation.submitted_at),
        )
        .join(User, User.id == Annotation.user_id)
        .join(Assignment, Assignment.id == Annotation.assignment_id)
        .where(
            Annotation.project_id == project.id,
            Annotation.submitted_at >= since,
            Annotation.revision == 1,
            Annotation.wall_ms.is_not(None),
            Assignment.attempt_id.is_(None),
        )
        .group_by(Annotation.user_id, User.name, hour)
    )
    return [
        Hour(user_id, name, at, judgements, counted, spent or 0.0, last_at)
        for user_id, name, at, judgements, counted, spent, last_at in rows
        if user_id is not None
    ]
