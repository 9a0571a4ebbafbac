"""What was done about a person's judgements."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.annotation.models import Requeue
from app.projects.models import Membership


def requeues_of(session: Session, *, membership: Membership) -> Sequence[Requeue]:
    """Newest first."""
    return session.scalars(
        select(Requeue)
        .where(Requeue.project_id == membership.project_id, Requeue.user_id == membership.user_id)
        .order_by(Requeue.at.desc(), Requeue.id)
    ).all()


def requeue_of(session: Session, *, membership: Membership, requeue_id: UUID) -> Requeue | None:
    entry = session.get(Requeue, requeue_id)
    is_hers = entry is not None and (
        (entry.project_id, entry.user_id) == (membership.project_id, membership.user_id)
    )
    return entry if is_hers else None
