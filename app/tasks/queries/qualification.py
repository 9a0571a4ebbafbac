"""Where people stand with the qualification, and what is asked of them next."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.models import Role, User
from app.projects.models import Membership, Project
from app.tasks import rules
from app.tasks.models import Assignment, AssignmentState, QualificationAttempt, Task
from app.tasks.queries.wanted import (
    IN_HER_LANES,
    IS_IN_FORCE,
    IS_QUALIFICATION,
    NEVER_HAD,
    OURS,
    skills,
)
from app.tasks.schemas import Qualification, Stage

# A question of the qualification that she may judge, and has never had, not even for a moment.
NEW_QUESTION = (
    select(Task.id)
    .where(OURS, IS_QUALIFICATION, IS_IN_FORCE, IN_HER_LANES, NEVER_HAD)
    .order_by(Task.random_key)
)


def must_qualify(project: Project, *, user: User, membership: Membership | None) -> bool:
    """Whether she is to pass the qualification before she gets real work."""
    return (
        project.qualification_size > 0
        and membership is not None
        and membership.role is Role.ANNOTATOR
        and membership.qualified_at is None
        and not user.is_admin
    )


def qualification_of(
    session: Session, *, project: Project, user: User, membership: Membership | None, now: datetime
) -> Qualification:
    """Where she stands with the qualification, and what comes next."""
    attempts = attempts_of(session, project=project, user=user)
    last = attempts[-1] if attempts else None
    if not must_qualify(project, user=user, membership=membership) or membership is None:
        is_through = membership is not None and membership.qualified_at is not None
        return Qualification(Stage.QUALIFIED if is_through else Stage.NOT_ASKED, last)
    where = {"in_project": project.id, "person": user.id, **skills(membership)}
    new = session.scalar(select(func.count()).select_from(NEW_QUESTION.subquery()), where) or 0
    if last is not None and last.finished_at is None:
        goes_on = new > 0 or last.answered > 0 or unanswered(session, attempt=last) is not None
        stage = Stage.UNDER_WAY if goes_on else Stage.NO_QUESTIONS
        return Qualification(stage, last, size=last.size, needed=last.needed)
    size, number = project.qualification_size, len(attempts) + 1
    wait = timedelta(hours=project.qualification_wait_hours)
    ended = last.finished_at if last else None
    allowed, granted = project.qualification_attempts, membership.attempts_granted
    entry = rules.entry(
        number, allowed=allowed, granted=granted, last_ended=ended, wait=wait, now=now
    )
    if entry == "over":
        stage = Stage.USED_UP
    elif new < size:
        stage = Stage.NONE_LEFT if attempts else Stage.NO_QUESTIONS
    else:
        stage = Stage.READY if entry == "now" else Stage.WAITING
    return Qualification(
        stage,
        last,
        size=size,
        needed=rules.needed_right(size, share=project.qualification_pass),
        attempts_left=max(0, max(allowed, granted) - len(attempts)),
        retry_at=ended + wait if ended and stage is Stage.WAITING else None,
    )


def attempts_of(
    session: Session, *, project: Project, user: User
) -> Sequence[QualificationAttempt]:
    """Her attempts at the qualification, in their order; the last one may be under way."""
    return session.scalars(
        select(QualificationAttempt)
        .where(
            QualificationAttempt.project_id == project.id, QualificationAttempt.user_id == user.id
        )
        .order_by(QualificationAttempt.number)
    ).all()


def unanswered(session: Session, *, attempt: QualificationAttempt) -> Assignment | None:
    """The question of an attempt that she was given and has not answered, if it still is one."""
    return session.scalar(
        select(Assignment)
        .join(Task, Task.id == Assignment.task_id)
        .where(
            Assignment.attempt_id == attempt.id,
            Assignment.state.in_([AssignmentState.OPEN, AssignmentState.EXPIRED]),
            IS_QUALIFICATION,
            IS_IN_FORCE,
        )
        .order_by(Assignment.question)
        .limit(1)
    )
