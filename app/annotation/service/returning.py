"""Tasks that go back unjudged: given back, or passed on."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.accounts.models import User
from app.annotation.service.overlap import spare_overlap
from app.projects.models import Project
from app.tasks import service as tasks
from app.tasks.models import Assignment, SkipReason


def release(session: Session, *, assignment: Assignment, project: Project, now: datetime) -> None:
    """Give an open task back. Twice is once.

    Its place may be older than adaptive overlap, and the others may be sure without it.
    """
    tasks.release(session, assignment=assignment, now=now)
    spare_overlap(session, project=project, task_ids=[assignment.task_id])


def skip(
    session: Session,
    *,
    assignment: Assignment,
    project: Project,
    reason: SkipReason,
    note: str | None,
    now: datetime,
) -> None:
    """Pass on a task for good; the same holds of its place.

    One by one with her claims: what she passes on late may just be about to be lent to her again.
    """
    user = session.get_one(User, assignment.user_id)
    tasks.lock_member(session, project=project, user=user)
    tasks.skip(session, assignment=assignment, reason=reason, note=note, now=now)
    spare_overlap(session, project=project, task_ids=[assignment.task_id])
