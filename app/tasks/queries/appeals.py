"""What people object to: the key of a question, or their own pause."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.projects.models import Project
from app.tasks.models import Appeal


class AppealLine(NamedTuple):
    """An appeal and the name of its author."""

    appeal: Appeal
    name: str


def open_appeals(
    session: Session, *, project: Project, task_id: UUID | None = None, user_id: UUID | None = None
) -> Sequence[AppealLine]:
    """Those nobody has answered yet, oldest first; of one task, or of one person, where named."""
    found = (
        select(Appeal, User.name)
        .join(User, User.id == Appeal.user_id)
        .where(Appeal.project_id == project.id, Appeal.settled_at.is_(None))
        .order_by(Appeal.created_at, Appeal.id)
    )
    if task_id is not None:
        found = found.where(Appeal.task_id == task_id)
    if user_id is not None:
        found = found.where(Appeal.user_id == user_id)
    return [AppealLine(appeal, name) for appeal, name in session.execute(found)]


def number_of_open_appeals(session: Session, *, project: Project) -> int:
    return session.scalars(
        select(func.count())
        .select_from(Appeal)
        .where(Appeal.project_id == project.id, Appeal.settled_at.is_(None))
    ).one()


def settled_appeals(session: Session, *, project: Project, limit: int) -> Sequence[AppealLine]:
    """The last ones that were answered, newest first."""
    rows = session.execute(
        select(Appeal, User.name)
        .join(User, User.id == Appeal.user_id)
        .where(Appeal.project_id == project.id, Appeal.settled_at.is_not(None))
        .order_by(Appeal.settled_at.desc(), Appeal.id)
        .limit(limit)
    )
    return [AppealLine(appeal, name) for appeal, name in rows]


def appeal_of(
    session: Session, *, project: Project, user: User, task_id: UUID | None
) -> Appeal | None:
    """Her last appeal about this question, or about her pause (`task_id` None)."""
    about = Appeal.task_id.is_(None) if task_id is None else Appeal.task_id == task_id
    return session.scalar(
        select(Appeal)
        .where(Appeal.project_id == project.id, Appeal.user_id == user.id, about)
        .order_by(Appeal.created_at.desc())
        .limit(1)
    )


def appeal_in(session: Session, *, project: Project, appeal_id: UUID) -> Appeal | None:
    appeal = session.get(Appeal, appeal_id)
    return appeal if appeal is not None and appeal.project_id == project.id else None
