"""How far the people of a project are with its qualification."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session, aliased

from app.accounts.models import Role, User, UserKind
from app.projects.models import Membership, Project
from app.tasks.models import QualificationAttempt


class Progress(StrEnum):
    """In the order in which somebody has to look at them."""

    FAILED = "failed"
    UNDER_WAY = "under_way"
    NOT_BEGUN = "not_begun"
    QUALIFIED = "qualified"


@dataclass(frozen=True, slots=True)
class Candidate:
    """An annotator and her last attempt, if she has had one."""

    user_id: UUID
    name: str
    qualified_at: datetime | None
    attempts_granted: int
    attempt: QualificationAttempt | None

    @property
    def progress(self) -> Progress:
        if self.qualified_at is not None:
            return Progress.QUALIFIED
        if self.attempt is None:
            return Progress.NOT_BEGUN
        if self.attempt.finished_at is None:
            return Progress.UNDER_WAY
        return Progress.NOT_BEGUN if self.attempt.passed else Progress.FAILED

    @property
    def may_try_at_once(self) -> bool:
        """An admin has allowed an attempt that she has not begun."""
        return self.attempt is not None and self.attempts_granted > self.attempt.number


def candidates(session: Session, *, project: Project) -> list[Candidate]:
    """The people who are to qualify or have done so; those somebody has to look at come first."""
    last = aliased(
        QualificationAttempt,
        select(QualificationAttempt)
        .where(QualificationAttempt.project_id == project.id)
        .order_by(QualificationAttempt.user_id, QualificationAttempt.number.desc())
        .ext(distinct_on(QualificationAttempt.user_id))
        .subquery(),
    )
    rows = session.execute(
        select(User.id, User.name, Membership.qualified_at, Membership.attempts_granted, last)
        .join(Membership, Membership.user_id == User.id)
        .outerjoin(last, last.user_id == User.id)
        .where(
            Membership.project_id == project.id,
            Membership.role == Role.ANNOTATOR,
            User.kind != UserKind.IMPORTED,
        )
        .order_by(func.lower(User.name), User.id)
    )
    people = [Candidate(*row) for row in rows]
    return sorted(people, key=lambda person: list(Progress).index(person.progress))
