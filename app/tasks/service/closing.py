"""Tasks whose answer nobody waits for any more, or everybody knows."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import case, func, select, update
from sqlalchemy.orm import Session

from app.projects.models import Project
from app.projects.queries import shown_since
from app.tasks.models import Assignment, AssignmentState, Task, TaskKind
from app.tasks.service.finishing import give_back


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


def retire(session: Session, *, project: Project, task_ids: Collection[UUID]) -> Sequence[UUID]:
    """Ask nobody any more what everybody is told: the guidelines show these as examples.

    What people judged before they were told stays as it is. A gold question goes out as well.
    Answers those that are tasks of the project, whenever they were closed.
    """
    shown = session.scalars(
        select(Task.id)
        .where(Task.project_id == project.id, Task.id.in_(task_ids))
        .order_by(Task.id)
        .with_for_update(key_share=True)
    ).all()
    session.execute(
        update(Task)
        .where(Task.id.in_(shown), Task.closed_at.is_(None))
        .values(
            closed_at=func.now(),
            wanted=case((Task.kind == TaskKind.ORDINARY, Task.leased + Task.counted)),
        )
    )
    return shown


def call_back(session: Session, *, task_ids: Sequence[UUID], now: datetime) -> None:
    """End the leases of closed tasks; what is handed in all the same is kept and does not count."""
    lent = (
        select(Assignment.id)
        .join(Task, Task.id == Assignment.task_id)
        .where(
            Task.id.in_(task_ids),
            Task.closed_at.is_not(None),
            Assignment.attempt_id.is_(None),
            Assignment.state == AssignmentState.OPEN,
        )
        .order_by(Assignment.id)
    )
    for assignment_id in session.scalars(lent).all():
        give_back(session, assignment_id=assignment_id, now=now)


def reopen_tasks(session: Session, *, project: Project, task_ids: Sequence[UUID]) -> int:
    """Let closed ones want again what was asked for; the number of those that do.

    An example of the guidelines stays closed: everybody knows its answer.
    """
    asked = set(task_ids) - shown_since(session, project=project).keys()
    reopened = session.scalars(
        update(Task)
        .where(Task.id.in_(asked), Task.kind == TaskKind.ORDINARY, Task.closed_at.is_not(None))
        .values(
            closed_at=None,
            wanted=func.greatest(project.overlap_min, Task.at_least, Task.leased + Task.counted),
        )
        .returning(Task.leased + Task.counted < Task.wanted)
    ).all()
    return sum(reopened)
