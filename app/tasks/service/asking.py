"""A task that is to be judged by more people than its project asks for."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import case, func, update
from sqlalchemy.orm import Session

from app.projects.models import Project
from app.tasks.models import Task, TaskKind
from app.tasks.service.gold import lock

SOON = 1_000  # the priority of what is asked for by hand: before the rest of the project


def ask_for_more(session: Session, *, task: Task, more: int) -> None:
    """Let an ordinary task, whose row is held, want so many more judgements, and soon.

    Neither a smaller overlap nor an adaptive one that is sure takes them away again.
    """
    session.execute(
        update(Task)
        .where(Task.id == task.id, Task.kind == TaskKind.ORDINARY)
        .values(
            wanted=Task.wanted + more,
            at_least=Task.wanted + more,
            priority=func.greatest(Task.priority, SOON),
        )
    )
    session.refresh(task)


def ask_of_each(
    session: Session, *, task_ids: Sequence[UUID], at_least: int, priority: int
) -> None:
    """Let these ordinary tasks want so many judgements at least, closed ones too, and be as urgent.

    What they want or how urgent they are already, they stay.
    """
    session.execute(
        update(Task)
        .where(Task.id.in_(task_ids), Task.kind == TaskKind.ORDINARY)
        .values(
            at_least=func.greatest(Task.at_least, at_least),
            wanted=func.greatest(Task.wanted, at_least),
            priority=func.greatest(Task.priority, priority),
            closed_at=None,
        )
    )


def ask_no_more(
    session: Session, *, task: Task, project: Project, wanted: int, at_least: int, priority: int
) -> bool:
    """Take that back: what the task wanted, asked for and how urgent it was before it.

    False, and nothing changes, once somebody has judged or holds what was asked for, or the task
    is no ordinary one any more.
    """
    lock(session, task=task)
    if task.kind is not TaskKind.ORDINARY or task.leased + task.counted > wanted:
        return False
    by_project = min(max(wanted, project.overlap_min), project.overlap_max)  # it may have changed
    taken = task.leased + task.counted
    session.execute(
        update(Task)
        .where(Task.id == task.id)
        .values(
            wanted=case((Task.closed_at.is_(None), max(by_project, at_least, taken)), else_=taken),
            at_least=at_least,
            priority=priority,
        )
    )
    session.refresh(task)
    return True
