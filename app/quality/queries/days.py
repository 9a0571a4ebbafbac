"""What one day consisted of: its tasks, their tags, and what was changed around it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from app.accounts.models import AuditEvent, User
from app.annotation.models import Annotation
from app.corpus.models import Prompt
from app.db import JsonObject
from app.projects.models import Guidelines, Membership, Project
from app.quality.queries.crowd import Crowd, crowd_by_prompt, source_hash
from app.quality.rules.intervals import Ints
from app.tasks.models import GoldKey

MOST_EVENTS = 50
# Of the audit log what may move the figures; `gold.set` of an import would be a thousand.
TOLD = ("project.update", "gold.suspend", "import", "import.undo", "task.adjudicate")
TOLD_OF_MEMBERS = "project.member"


def tasks_of_day(project: Project, *, start: datetime, end: datetime) -> Select[UUID]:
    """Ids of the tasks judged between two moments; by the index of (project, time)."""
    return (
        select(Annotation.task_id)
        .where(
            Annotation.project_id == project.id,
            Annotation.submitted_at >= start,
            Annotation.submitted_at < end,
            Annotation.counted.is_(True),
            Annotation.is_current.is_(True),
            Annotation.user_id.is_not(None),
        )
        .distinct()
    )


@dataclass(frozen=True, slots=True)
class Lot:
    """Judged tasks (codes) whose prompts are alike; source_hash: as in the kept figures."""

    source: str | None
    source_hash: int
    tags: Sequence[str]
    tasks: Ints


def crowd_of_day(
    session: Session, *, project: Project, start: datetime, end: datetime
) -> tuple[Crowd, list[Lot]]:
    """All judgements of the tasks judged between two moments, and what these tasks are."""
    crowd, lots = crowd_by_prompt(
        session,
        project=project,
        tasks=tasks_of_day(project, start=start, end=end),
        by=[Prompt.source, source_hash(), Prompt.tags],
    )
    return crowd, [Lot(source, key, tags, tasks) for (source, key, tags), tasks in lots]


@dataclass(frozen=True, slots=True)
class Event:
    """Something an admin or reviewer did, or the platform (`by` None)."""

    at: datetime
    action: str
    target: str
    by: str | None
    details: JsonObject


def events_between(
    session: Session, *, project: Project, start: datetime, end: datetime, settings: bool = False
) -> list[Event]:
    """What was changed in the project between two moments, newest first.

    `settings`: only changes of settings and guidelines, which concern everybody.
    """
    told = or_(
        AuditEvent.action.in_(TOLD),
        AuditEvent.action.startswith(TOLD_OF_MEMBERS, autoescape=True),
    )
    rows = session.execute(
        select(AuditEvent.at, AuditEvent.action, AuditEvent.target, User.name, AuditEvent.details)
        .outerjoin(User, User.id == AuditEvent.user_id)
        .where(
            AuditEvent.project_id == project.id,
            AuditEvent.at >= start,
            AuditEvent.at < end,
            AuditEvent.action == "project.update" if settings else told,
        )
        .order_by(AuditEvent.id.desc())
        .limit(MOST_EVENTS)
    )
    return [Event(*row) for row in rows]


def names_of(
    session: Session, *, project: Project, user_ids: Collection[UUID]
) -> dict[UUID, tuple[str, datetime | None]]:
    """Name and pause of people who have judged here, members or not any more."""
    rows = session.execute(
        select(User.id, User.name, Membership.paused_at)
        .outerjoin(
            Membership,
            (Membership.user_id == User.id) & (Membership.project_id == project.id),
        )
        .where(User.id.in_(user_ids))
    )
    return {user_id: (name, paused_at) for user_id, name, paused_at in rows}


def versions_until(session: Session, *, project: Project, end: datetime) -> Sequence[Guidelines]:
    """Versions of the guidelines published before a moment, newest first."""
    return session.scalars(
        select(Guidelines)
        .where(Guidelines.project_id == project.id, Guidelines.created_at < end)
        .order_by(Guidelines.version.desc())
    ).all()


@dataclass(frozen=True, slots=True)
class GoldAnswers:
    """Gold answers in force of one person: how many before some moment, and each one since."""

    seen_before: int
    passed_before: int
    since: Sequence[tuple[datetime, bool]]  # when, and whether it was right; in order


def gold_answers(
    session: Session, *, project: Project, since: datetime, end: datetime
) -> dict[UUID, GoldAnswers]:
    """Of those who answered gold questions between two moments."""
    in_force = (
        Annotation.project_id == project.id,
        Annotation.gold_passed.is_not(None),
        Annotation.is_current.is_(True),
        Annotation.is_repeat.is_(False),
        GoldKey.suspended_at.is_(None),
    )
    rows = session.execute(
        select(Annotation.user_id, Annotation.submitted_at, Annotation.gold_passed)
        .join(GoldKey, GoldKey.task_id == Annotation.task_id)
        .where(*in_force, Annotation.submitted_at >= since, Annotation.submitted_at < end)
        .order_by(Annotation.submitted_at, Annotation.id)
    )
    answers: dict[UUID, list[tuple[datetime, bool]]] = {}
    for user_id, at, passed in rows:
        if user_id is not None:
            answers.setdefault(user_id, []).append((at, bool(passed)))
    number = func.count()
    before = session.execute(
        select(Annotation.user_id, number, number.filter(Annotation.gold_passed.is_(True)))
        .join(GoldKey, GoldKey.task_id == Annotation.task_id)
        .where(*in_force, Annotation.submitted_at < since, Annotation.user_id.in_(answers))
        .group_by(Annotation.user_id)
    )
    counts = {user_id: (seen, passed) for user_id, seen, passed in before}
    return {
        user_id: GoldAnswers(*counts.get(user_id, (0, 0)), hers)
        for user_id, hers in answers.items()
    }
