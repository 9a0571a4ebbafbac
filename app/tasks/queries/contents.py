"""What is shown of a task, and the keys that answers are scored by."""

from collections.abc import Collection, Sequence
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, Table, Text, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from app.corpus.models import Prompt, Response
from app.db import among
from app.projects.models import Project
from app.projects.queries import shown_anywhere
from app.tasks.models import Assignment, Contents, GoldKey, Task, TaskResponse
from app.tasks.queries.wanted import HAS_KEY, IS_GOLD, IS_QUALIFICATION
from app.tasks.schemas import Gold

# As tables: the ORM would take twice as long to read plain columns.
_prompts, _responses, _places, _tasks = (
    cast(Table, each.__table__) for each in (Prompt, Response, TaskResponse, Task)
)


def shown_of(task: FromClause, prompt: FromClause) -> list[ColumnElement[Any]]:
    """The columns of `Contents` for a row of `task`, with its row of `prompt`."""
    texts = (
        select(_responses.c.text)
        .join(_places, _places.c.response_id == _responses.c.id)
        .where(_places.c.task_id == task.c.id)
        .order_by(_places.c.position)
        .correlate(task)
        .scalar_subquery()
    )
    ordered: ColumnElement[Any] = func.array(texts, type_=ARRAY(Text))
    return [prompt.c.messages, prompt.c.system, prompt.c.language, ordered]


CONTENTS = (
    select(*shown_of(_tasks, _prompts))
    .join(_prompts, _prompts.c.id == _tasks.c.prompt_id)
    .where(_tasks.c.id == bindparam("task_id"))
)


def contents(session: Session, *, assignment: Assignment) -> Contents:
    """What its task shows; a claim has read it already."""
    if assignment.contents is not None:
        return assignment.contents
    return Contents(*session.execute(CONTENTS, {"task_id": assignment.task_id}).one())


def responses_of(session: Session, *, task_ids: Collection[UUID]) -> dict[UUID, list[UUID]]:
    """The response ids of each task in canonical order."""
    rows = session.execute(
        select(TaskResponse.task_id, TaskResponse.response_id)
        .where(among(TaskResponse.task_id, task_ids))
        .order_by(TaskResponse.task_id, TaskResponse.position)
    )
    found: dict[UUID, list[UUID]] = {}
    for task_id, response_id in rows:
        found.setdefault(task_id, []).append(response_id)
    return found


def gold_in_force(session: Session, *, task_id: UUID) -> Gold | None:
    """The gold key that judgements of the task are scored by, unseen; None if it is not gold."""
    return gold_keys(session, task_ids=[task_id], of=IS_GOLD).get(task_id)


def question_key(session: Session, *, task_id: UUID) -> Gold | None:
    """The key that a question of the qualification is answered by; None if it is none any more."""
    return gold_keys(session, task_ids=[task_id], of=IS_QUALIFICATION).get(task_id)


def gold_keys(
    session: Session, *, task_ids: Collection[UUID], of: ColumnElement[bool] = HAS_KEY
) -> dict[UUID, Gold]:
    """The keys in force of those tasks that have one, and are `of` that kind."""
    if not task_ids:
        return {}
    rows = session.execute(
        select(
            GoldKey.task_id,
            GoldKey.prefers,
            GoldKey.equal,
            GoldKey.ties_allowed,
            GoldKey.explanation,
        )
        .join(Task, Task.id == GoldKey.task_id)
        .where(GoldKey.task_id.in_(task_ids), GoldKey.suspended_at.is_(None), of)
    )
    return {
        row.task_id: Gold(row.prefers, row.equal, row.ties_allowed, row.explanation) for row in rows
    }


def project_and_task(session: Session, *, task_id: UUID) -> tuple[Project, Task] | None:
    row = session.execute(
        select(Project, Task).join(Task, Task.project_id == Project.id).where(Task.id == task_id)
    ).one_or_none()
    return None if row is None else (row[0], row[1])


def examples_asked(session: Session) -> Sequence[UUID]:
    """The projects whose guidelines show a task that people may still be handed."""
    asked = select(Task.project_id).where(
        among(Task.id, shown_anywhere(session)), Task.closed_at.is_(None)
    )
    return session.scalars(asked.distinct()).all()
