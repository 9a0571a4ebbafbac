"""What an admin decides about a person's qualification; each is written into the audit log."""

from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.service import audit
from app.projects.models import Project
from app.tasks.models import QualificationAttempt
from app.tasks.service.claiming import lock_member


def let_in(session: Session, *, project: Project, user: User, by: User, now: datetime) -> None:
    """Give her real work without her passing; an attempt under way ends. Twice is once."""
    membership = lock_member(session, project=project, user=user)
    if membership.qualified_at is not None:
        return
    membership.qualified_at = now
    session.execute(
        update(QualificationAttempt)
        .where(
            QualificationAttempt.project_id == project.id,
            QualificationAttempt.user_id == user.id,
            QualificationAttempt.finished_at.is_(None),
        )
        .values(finished_at=now)
    )
    _note(session, "qualification.let_in", project=project, user=user, by=by)


def allow_attempt(session: Session, *, project: Project, user: User, by: User) -> None:
    """Let her begin another attempt at once, whatever the project allows. Twice is once."""
    membership = lock_member(session, project=project, user=user)
    granted = _attempts(session, project=project, user=user) + 1
    if membership.qualified_at is not None or membership.attempts_granted == granted:
        return
    membership.attempts_granted = granted
    _note(session, "qualification.allow", project=project, user=user, by=by, attempt=granted)


def ask_again(session: Session, *, project: Project, user: User, by: User) -> None:
    """Have her pass (again) before further work, at once if she likes. Twice is once.

    What she judged so far keeps counting.
    """
    membership = lock_member(session, project=project, user=user)
    if membership.qualified_at is None:
        return
    membership.qualified_at = None
    membership.attempts_granted = _attempts(session, project=project, user=user) + 1
    _note(session, "qualification.ask_again", project=project, user=user, by=by)


def _attempts(session: Session, *, project: Project, user: User) -> int:
    return session.scalars(
        select(func.count())
        .select_from(QualificationAttempt)
        .where(
            QualificationAttempt.project_id == project.id, QualificationAttempt.user_id == user.id
        )
    ).one()


def _note(
    session: Session, action: str, *, project: Project, user: User, by: User, **details: int
) -> None:
    audit(
        session,
        user=by,
        action=action,
        target=user.email or user.name,
        project_id=project.id,
        **details,
    )
