"""Reads for tracing: a prompt with everything said of it, then and now."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.annotation.models import Annotation
from app.corpus.models import Import, Prompt, Response
from app.db import among
from app.projects.models import Membership, Project
from app.quality.models import Adjudication
from app.tasks.models import Task, TaskKind, TaskResponse


@dataclass(frozen=True, slots=True)
class StoredPrompt:
    """A prompt of the corpus, the import that brought it, and its tasks."""

    prompt: Prompt
    brought_by: Import | None
    tasks: Sequence[Task]


def stored_prompt(session: Session, *, project: Project, prompt_id: str) -> StoredPrompt | None:
    """By the id that datasets give it: the hash of its content."""
    row = session.execute(
        select(Prompt, Import)
        .outerjoin(Import, Import.id == Prompt.import_id)
        .where(Prompt.project_id == project.id, Prompt.content_hash == bytes.fromhex(prompt_id))
    ).one_or_none()
    if row is None:
        return None
    tasks = session.scalars(
        select(Task)
        .where(Task.prompt_id == row[0].id, Task.kind == TaskKind.ORDINARY)
        .order_by(Task.created_at, Task.id)
    ).all()
    return StoredPrompt(row[0], row[1], tasks)


def responses_by_task(
    session: Session, *, task_ids: Collection[UUID]
) -> dict[UUID, list[Response]]:
    """In canonical order, which is that of the ranks of judgements."""
    found: dict[UUID, list[Response]] = {task_id: [] for task_id in task_ids}
    for task_id, response in session.execute(
        select(TaskResponse.task_id, Response)
        .join(Response, Response.id == TaskResponse.response_id)
        .where(TaskResponse.task_id.in_(task_ids))
        .order_by(TaskResponse.task_id, TaskResponse.position)
    ):
        found[task_id].append(response)
    return found


def annotations_called(
    session: Session, *, project: Project, ids: Collection[str]
) -> dict[str, tuple[Annotation, str | None]]:
    """Judgements with the names of those who made them, by id; those erased are not there."""
    rows = session.execute(
        select(Annotation, User.name)
        .outerjoin(User, User.id == Annotation.user_id)
        .where(
            among(Annotation.id, [UUID(its) for its in ids]),
            Annotation.project_id == project.id,
        )
    )
    return {str(annotation.id): (annotation, name) for annotation, name in rows}


def current_instead(
    session: Session, *, assignment_ids: Collection[UUID]
) -> dict[UUID, Annotation]:
    """What stands now of assignments whose judgement was revised, by assignment."""
    rows = session.scalars(
        select(Annotation).where(
            among(Annotation.assignment_id, list(assignment_ids)), Annotation.is_current
        )
    )
    return {row.assignment_id: row for row in rows if row.assignment_id is not None}


def gold_until(
    session: Session, *, project: Project, people: Collection[UUID], moment: datetime
) -> dict[UUID, tuple[int, int]]:
    """(gold questions answered right, answered) by person, as it was then."""
    rows: Any = session.execute(
        select(
            Annotation.user_id,
            func.count().filter(Annotation.gold_passed.is_(True)),
            func.count(),
        )
        .where(
            Annotation.project_id == project.id,
            among(Annotation.user_id, list(people)),
            Annotation.gold_passed.is_not(None),
            Annotation.is_current,
            Annotation.submitted_at <= moment,
        )
        .group_by(Annotation.user_id)
    )
    return {user_id: (passed, seen) for user_id, passed, seen in rows}


def memberships_of(
    session: Session, *, project: Project, people: Collection[UUID]
) -> Mapping[UUID, Membership]:
    rows = session.scalars(
        select(Membership).where(
            Membership.project_id == project.id, among(Membership.user_id, list(people))
        )
    )
    return {row.user_id: row for row in rows}


def names_of(session: Session, *, people: Collection[UUID]) -> dict[UUID, str]:
    rows: Any = session.execute(select(User.id, User.name).where(among(User.id, list(people))))
    return dict(rows.all())


def adjudications_of(
    session: Session, *, task_ids: Collection[UUID]
) -> Sequence[tuple[Adjudication, str | None]]:
    """All that were ever made of these tasks, with who made them, oldest first."""
    rows = session.execute(
        select(Adjudication, User.name)
        .outerjoin(User, User.id == Adjudication.user_id)
        .where(Adjudication.task_id.in_(task_ids))
        .order_by(Adjudication.created_at, Adjudication.id)
    )
    return [(adjudication, name) for adjudication, name in rows]
