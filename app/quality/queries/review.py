"""What a reviewer sees: the tasks people disagree on, and one task with everything about it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload

from app.accounts.models import AuditEvent, User
from app.annotation.models import Annotation
from app.corpus.models import Prompt, Response
from app.db import JsonObject
from app.projects.models import Guidelines
from app.quality.models import Adjudication, SendBack
from app.tasks.models import Assignment, GoldKey, Task, TaskKind, TaskResponse

MOST_EVENTS = 50  # of a task's history


@dataclass(frozen=True, slots=True)
class TaskLine:
    """A task in a list."""

    task_id: UUID
    external_id: str | None
    opening: str
    n_responses: int
    adjudicated_at: datetime | None


def task_lines(
    session: Session, *, task_ids: Sequence[UUID], with_gold: bool = False
) -> dict[UUID, TaskLine]:
    """Ordinary tasks by id; one that has become gold meanwhile is left out unless `with_gold`."""
    adjudicated_at = (
        select(func.max(Adjudication.created_at))
        .where(Adjudication.task_id == Task.id, Adjudication.withdrawn_at.is_(None))
        .scalar_subquery()
    )
    n_responses = select(func.count()).where(TaskResponse.task_id == Task.id).scalar_subquery()
    rows = session.execute(
        select(
            Task.id, Task.external_id, Prompt.messages[-1]["content"], n_responses, adjudicated_at
        )
        .join(Prompt, Prompt.id == Task.prompt_id)
        .where(Task.id.in_(task_ids), *([] if with_gold else [Task.kind == TaskKind.ORDINARY]))
    )
    return {
        task_id: TaskLine(task_id, external_id, str(content or "")[:200], number, settled_at)
        for task_id, external_id, content, number, settled_at in rows
    }


def task_with_prompt(session: Session, *, task_id: UUID) -> Task | None:
    return session.scalar(select(Task).where(Task.id == task_id).options(joinedload(Task.prompt)))


def responses_of(session: Session, *, task: Task) -> Sequence[Response]:
    """In canonical order."""
    return session.scalars(
        select(Response)
        .join(TaskResponse, TaskResponse.response_id == Response.id)
        .where(TaskResponse.task_id == task.id)
        .order_by(TaskResponse.position)
    ).all()


@dataclass(frozen=True, slots=True)
class Judgement:
    """One current judgement of a task, by a person or a source.

    `display_order`: the canonical positions from left to right on her screen.
    """

    id: UUID
    user_id: UUID | None
    name: str
    is_source: bool
    counted: bool
    is_repeat: bool
    ranks: Sequence[int]
    strength: int | None
    ratings: JsonObject
    rationale: str | None
    flags: JsonObject
    gold_passed: bool | None
    guidelines_version: int
    revision: int
    display_order: Sequence[int] | None
    seconds: float | None
    submitted_at: datetime


def judgements_of(session: Session, *, task: Task) -> list[Judgement]:
    """Everything handed in on a task, what counts first, then by time."""
    rows = session.execute(
        select(Annotation, User.name, Assignment.display_order)
        .outerjoin(User, User.id == Annotation.user_id)
        .outerjoin(Assignment, Assignment.id == Annotation.assignment_id)
        .where(Annotation.task_id == task.id, Annotation.is_current)
        .order_by(Annotation.counted.desc(), Annotation.submitted_at, Annotation.id)
    )
    return [
        Judgement(
            id=annotation.id,
            user_id=annotation.user_id,
            name=name or annotation.source or "",
            is_source=annotation.source is not None,
            counted=annotation.counted,
            is_repeat=annotation.is_repeat,
            ranks=annotation.ranks,
            strength=annotation.strength,
            ratings=annotation.ratings,
            rationale=annotation.rationale,
            flags=annotation.flags,
            gold_passed=annotation.gold_passed,
            guidelines_version=annotation.guidelines_version,
            revision=annotation.revision,
            display_order=display_order,
            seconds=_seconds(annotation),
            submitted_at=annotation.submitted_at,
        )
        for annotation, name, display_order in rows
    ]


def _seconds(annotation: Annotation) -> float | None:
    """Of work, where it was measured; else until it was handed in."""
    spent = annotation.active_ms or annotation.visible_ms or annotation.wall_ms
    return None if spent is None else spent / 1000


def gold_key_of(session: Session, *, task: Task) -> GoldKey | None:
    return session.get(GoldKey, task.id)


def adjudications_of(session: Session, *, task: Task) -> list[tuple[Adjudication, str | None]]:
    """With the reviewer's name, newest first, withdrawn ones among them."""
    rows: Any = session.execute(
        select(Adjudication, User.name)
        .outerjoin(User, User.id == Adjudication.user_id)
        .where(Adjudication.task_id == task.id)
        .order_by(Adjudication.created_at.desc(), Adjudication.id)
    )
    return [(adjudication, name) for adjudication, name in rows]


def send_backs_of(session: Session, *, task: Task) -> list[tuple[SendBack, str | None]]:
    """With the reviewer's name, newest first, those that were taken back among them."""
    rows: Any = session.execute(
        select(SendBack, User.name)
        .outerjoin(User, User.id == SendBack.user_id)
        .where(SendBack.task_id == task.id)
        .order_by(SendBack.created_at.desc(), SendBack.id)
    )
    return [(send_back, name) for send_back, name in rows]


def guidelines_judged_under(
    session: Session, *, task: Task, versions: Collection[int]
) -> Sequence[Guidelines]:
    """The texts of these versions, newest first."""
    return session.scalars(
        select(Guidelines)
        .where(Guidelines.project_id == task.project_id, Guidelines.version.in_(versions))
        .order_by(Guidelines.version.desc())
    ).all()


def history_of(session: Session, *, task: Task) -> list[tuple[AuditEvent, str | None]]:
    """What was done to a task and by whom, newest first."""
    rows: Any = session.execute(
        select(AuditEvent, User.name)
        .outerjoin(User, User.id == AuditEvent.user_id)
        .where(AuditEvent.project_id == task.project_id, AuditEvent.target == str(task.id))
        .order_by(AuditEvent.id.desc())
        .limit(MOST_EVENTS)
    )
    return [(event, name) for event, name in rows]
