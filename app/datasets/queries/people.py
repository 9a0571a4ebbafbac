"""Whom a recipe means, and whom it leaves out."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    func,
    or_,
    select,
)
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.projects.models import Membership, Project, Standing


def people_who_fail_gold(session: Session, *, project: Project) -> frozenset[str]:
    failed = select(Membership.user_id).where(
        Membership.project_id == project.id, Membership.standing == Standing.FAILED
    )
    return frozenset(str(user_id) for user_id in session.scalars(failed))


def people_kept_out(session: Session, *, project: Project) -> frozenset[str]:
    """Those whose judgements an admin keeps out of every snapshot."""
    kept_out = select(Membership.user_id).where(
        Membership.project_id == project.id, Membership.excluded_at.is_not(None)
    )
    return frozenset(str(user_id) for user_id in session.scalars(kept_out))


def people_called(
    session: Session, *, project: Project, names: Sequence[str]
) -> dict[str, list[UUID]]:
    """Whom each of `names` means in the project: an e-mail, an imported name, a name or an id."""
    folded = {name.strip().lower() for name in names}
    means: ColumnElement[bool] = or_(
        func.lower(User.email).in_(folded),
        func.lower(User.name).in_(folded),
        func.lower(Membership.imported_name).in_(folded),
    )
    ids = [UUID(name) for name in folded if is_uuid(name)]
    rows = session.execute(
        select(User.id, User.email, User.name, Membership.imported_name)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.project_id == project.id, or_(means, User.id.in_(ids)))
        .order_by(User.id)
    ).all()
    return {
        name: [
            row.id
            for row in rows
            if name.strip().lower()
            in {
                str(row.id),
                (row.email or "").lower(),
                row.name.lower(),
                (row.imported_name or "").lower(),
            }
        ]
        for name in names
    }


def is_uuid(name: str) -> bool:
    try:
        UUID(name)
    except ValueError:
        return False
    return True
