"""Judgements of people who had been told the answer."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, false, or_, select, update
from sqlalchemy.orm import Session

from app.annotation.models import Annotation
from app.annotation.service.gold import lock_members, restand
from app.projects.models import Project
from app.tasks import service as tasks
from app.tasks.models import Assignment, Task, TaskKind


def discount_told(session: Session, *, project: Project, since: Mapping[UUID, datetime]) -> int:
    """Take what was handed in after the answer was told out of the count; how many judgements.

    since: closed tasks, and when the guidelines began to show them. Nothing is lost: it is kept,
    as late work is. Gold that was told says nothing of anybody either. Waits for an import.
    """
    tasks.lock_opening(session, project=project)
    lock_members(session, project=project)
    told = [
        and_(Annotation.task_id == task_id, Assignment.finished_at > moment)
        for task_id, moment in since.items()
    ]
    rows = session.execute(
        select(Annotation.id, Annotation.task_id, Annotation.user_id, Task.kind)
        .join(Assignment, Assignment.id == Annotation.assignment_id)
        .join(Task, Task.id == Annotation.task_id)
        .where(
            or_(false(), *told),
            Task.kind != TaskKind.QUALIFICATION,
            Annotation.is_current.is_(True),
            or_(Annotation.counted.is_(True), Annotation.gold_passed.is_not(None)),
            Assignment.display_order.is_not(None),  # imported judgements were made elsewhere
        )
        .order_by(Task.id)
        .with_for_update(key_share=True, of=Task)
    ).all()
    session.execute(
        update(Annotation)
        .where(Annotation.id.in_([row.id for row in rows]))
        .values(counted=False, gold_passed=None)
    )
    fewer = Counter(row.task_id for row in rows if row.kind is TaskKind.ORDINARY)
    for task_id, number in fewer.items():
        left = Task.counted - number
        session.execute(
            update(Task).where(Task.id == task_id).values(counted=left, wanted=Task.leased + left)
        )
    people = {row.user_id for row in rows if row.kind is TaskKind.GOLD}
    restand(session, project=project, user_ids=people)
    return len(rows)
