"""What a reviewer sees: the tasks people disagree on, and one task with everything about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload

from app.accounts.models import User
from app.annotation.models import Annotation
from app.corpus.models import Prompt, Response
from app.db import JsonObject
from app.quality.models import Adjudication
from app.tasks.models import GoldKey, Task, TaskKind, TaskResponse


@dataclass(frozen=True, slots=True)
class TaskLine:
    """A task in a list."""

    task_id: UUID
    external_id: str | None
    opening: str
    n_responses: int
    adjudicated_at: datetime | None


def task_lines(session: Session, *, task_ids: Sequence[UUID]) -> dict[UUID, TaskLine]:
    """Ordinary tasks by id; one that has become gold meanwhile is left out."""
    adjudicated_at = (
        select(func.max(Adjudication.created_at))
        .where(Adjudication.task_id == Task.id)
        .scalar_subquery()
    )
    n_responses = select(func.count()).where(TaskResponse.task_id == Task.id).scalar_subquery()
    rows = session.execute(
        select(
            Task.id, Task.external_id, Prompt.messages[-1]["content"], n_responses, adjudicated_at
        )
        .join(Prompt, Prompt.id == Task.prompt_id)
        .where(Task.id.in_(task_ids), Task.kind == TaskKind.ORDINARY)
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
    """One current judgement of a task, by a person or a source."""

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
    submitted_at: datetime


def judgements_of(session: Session, *, task: Task) -> list[Judgement]:
    """Everything handed in on a task, what counts first, then by time."""
    rows = session.execute(
        select(Annotation, User.name)
        .outerjoin(User, User.id == Annotation.user_id)
        .where(Annotation.task_id == task.id, Annotation.is_current)
        .order_by(Annotation.counted.desc(), Annotation.submitted_at, Annotation.id)
    )
    return [
        Judgement(
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
            submitted_at=annotation.submitted_at,
        )
        for annotation, name in rows
    ]


def gold_key_of(session: Session, *, task: Task) -> GoldKey | None:
    return session.get(GoldKey, task.id)


def adjudications_of(session: Session, *, task: Task) -> list[tuple[Adjudication, str | None]]:
    """With the reviewer's name, newest first."""
    rows: Any = session.execute(
        select(Adjudication, User.name)
        .outerjoin(User, User.id == Adjudication.user_id)
        .where(Adjudication.task_id == task.id)
        .order_by(Adjudication.created_at.desc(), Adjudication.id)
    )
    return [(adjudication, name) for adjudication, name in rows]
