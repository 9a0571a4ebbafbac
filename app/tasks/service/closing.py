"""Tasks whose answer nobody waits for any more."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.projects.models import Project
from app.tasks.models import Task, TaskKind


def close_tasks(session: Session, *, task_ids: Sequence[UUID]) -> int:
    """Let these ordinary tasks want no more than they have; the number of those that did.

    Who holds one keeps it, and her judgement counts: nobody loses work.
    """
    held = (
        select(Task.id)
        .where(
            Task.id.in_(task_ids),
            Task.kind == TaskKind.ORDINARY,
            Task.leased + Task.counted < Task.wanted,
        )
        .order_by(Task.id)
        .with_for_update(key_share=True)
    )
    wanting = session.scalars(held).all()
    session.execute(
        update(Task)
        .where(Task.id.in_(task_ids), Task.kind == TaskKind.ORDINARY, Task.closed_at.is_(None))
        .values(closed_at=func.now())
    )
    session.execute(
        update(Task).where(Task.id.in_(wanting)).values(wanted=Task.leased + Task.counted)
    )
    return len(wanting)


def reopen_tasks(session: Session, *, project: Project, task_ids: Sequence[UUID]) -> int:
    """Let closed ones want again what was asked for; the number of those that do."""
    reopened = session.scalars(
        update(Task)
        .where(Task.id.in_(task_ids), Task.kind == TaskKind.ORDINARY, Task.closed_at.is_not(None))
        .values(
            closed_at=None,
            wanted=func.greatest(project.overlap_min, Task.at_least, Task.leased + Task.counted),
        )
        .returning(Task.leased + Task.counted < Task.wanted)
    ).all()
    return sum(reopened)
