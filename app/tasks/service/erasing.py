"""Ending what an erased person held, and what she wrote beside her judgements."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import null, select, update
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.tasks import queries
from app.tasks.models import Appeal, Assignment
from app.tasks.service.finishing import give_back

GONE = "(This text has been erased.)"


def give_all_back(session: Session, *, user: User, now: datetime) -> list[UUID]:
    """Others get the tasks that she holds, which is answered; her drafts go."""
    held = session.execute(
        select(Assignment.id, Assignment.task_id)
        .where(Assignment.user_id == user.id, queries.IS_OPEN)
        .order_by(Assignment.id)
    ).all()
    for assignment_id, _ in held:
        give_back(session, assignment_id=assignment_id, now=now)
    session.execute(
        update(Assignment)
        .where(Assignment.user_id == user.id, Assignment.draft.is_not(None))
        .values(draft=null())
    )
    return [task_id for _, task_id in held]


def forget_texts(session: Session, *, user: User, project_ids: Collection[UUID]) -> None:
    """Her notes to skipped tasks, her drafts and her appeals; that she made them stays."""
    session.execute(
        update(Assignment)
        .where(Assignment.user_id == user.id, Assignment.project_id.in_(project_ids))
        .where(Assignment.skip_note.is_not(None) | Assignment.draft.is_not(None))
        .values(skip_note=None, draft=null())
    )
    session.execute(
        update(Appeal)
        .where(Appeal.user_id == user.id, Appeal.project_id.in_(project_ids))
        .values(body=GONE)
    )
