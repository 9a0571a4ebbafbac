"""The people of a project as quality sees them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from app.accounts.models import Role, User, UserKind
from app.annotation.models import Annotation
from app.projects.models import Membership, Project, Standing
from app.tasks.models import GoldKey, Task, TaskKind


@dataclass(frozen=True, slots=True)
class Person:
    """A member with what a claim decides by."""

    user_id: UUID
    name: str
    kind: UserKind
    role: Role
    standing: Standing
    gold_seen: int
    gold_passed: int
    paused_at: datetime | None
    pause_reason: str | None
    weight: float


def people_of(session: Session, *, project: Project) -> list[Person]:
    """Members by name; who only looks or reviews and never judged is found out by the caller."""
    rows = session.execute(
        select(
            User.id.label("user_id"),
            User.name,
            User.kind,
            Membership.role,
            Membership.standing,
            Membership.gold_seen,
            Membership.gold_passed,
            Membership.paused_at,
            Membership.pause_reason,
            Membership.weight,
        )
        .join(User, User.id == Membership.user_id)
        .where(Membership.project_id == project.id)
        .order_by(func.lower(User.name), User.id)
    )
    return [Person(**row._mapping) for row in rows]  # noqa: SLF001 – public, despite its name


def gold_results(
    session: Session, *, project: Project, user_id: UUID
) -> Sequence[tuple[datetime, bool]]:
    """When she answered gold that counts, and whether she passed, oldest first."""
    rows = session.execute(
        select(Annotation.submitted_at, Annotation.gold_passed)
        .join(GoldKey, GoldKey.task_id == Annotation.task_id)
        .where(
            Annotation.project_id == project.id,
            Annotation.user_id == user_id,
            Annotation.is_current,
            ~Annotation.is_repeat,
            Annotation.gold_passed.is_not(None),
            GoldKey.suspended_at.is_(None),
        )
        .order_by(Annotation.submitted_at)
    )
    return [(moment, bool(passed)) for moment, passed in rows]


def people_who_answered(session: Session, *, task_ids: Sequence[UUID]) -> set[UUID]:
    """Everybody whose score depends on one of these gold tasks."""
    answered = session.scalars(
        select(Annotation.user_id).where(
            Annotation.task_id.in_(task_ids), Annotation.gold_passed.is_not(None)
        )
    )
    return {user_id for user_id in answered if user_id}


def n_gold(session: Session, *, project: Project) -> int:
    """Gold tasks that are scored."""
    return session.scalars(
        select(func.count())
        .select_from(GoldKey)
        .join(Task, Task.id == GoldKey.task_id)
        .where(
            Task.project_id == project.id,
            Task.kind == TaskKind.GOLD,
            GoldKey.suspended_at.is_(None),
        )
    ).one()


@dataclass(frozen=True, slots=True)
class DisputedGold:
    """How people in good standing (once suspended: all) answered a gold task."""

    task_id: UUID
    judged: int
    failed: int
    suspended_at: datetime | None


def gold_answers(session: Session, *, project: Project) -> list[DisputedGold]:
    """How people in good standing answered each gold task; what was suspended comes first."""
    good = Membership.standing == Standing.GOOD
    failed = func.count().filter(Annotation.gold_passed.is_(False))
    rows = session.execute(
        select(GoldKey.task_id, func.count(), failed, GoldKey.suspended_at)
        .join(Annotation, Annotation.task_id == GoldKey.task_id)
        .join(
            Membership,
            (Membership.project_id == Annotation.project_id)
            & (Membership.user_id == Annotation.user_id),
        )
        .where(
            Annotation.project_id == project.id,
            Annotation.is_current,
            ~Annotation.is_repeat,
            Annotation.gold_passed.is_not(None),
            or_(good, GoldKey.suspended_at.is_not(None)),
            # What somebody has looked at and upheld is in doubt by later answers only.
            or_(GoldKey.upheld_at.is_(None), Annotation.submitted_at > GoldKey.upheld_at),
        )
        .group_by(GoldKey.task_id, GoldKey.suspended_at)
        .order_by(GoldKey.suspended_at.nulls_last(), failed.desc(), GoldKey.task_id)
    )
    return [DisputedGold(*row) for row in rows]


def names_of(session: Session, *, user_ids: set[str]) -> dict[UUID, str]:
    """Names by id, of those who have left the project as well."""
    ids = [UUID(user_id) for user_id in user_ids]
    rows = session.execute(select(User.id, User.name).where(User.id.in_(ids)))
    return {row.id: row.name for row in rows}
