"""The promoted checkpoint of a project, which stands right of runs: read by the table's name."""

from uuid import UUID

from sqlalchemy import BigInteger, Uuid, column, func, select, table
from sqlalchemy.orm import Session

from app.projects.models import Project

PROMOTION = table(
    "promotion",
    column("id", BigInteger()),
    column("project_id", Uuid()),
    column("checkpoint_id", Uuid()),
)


def promoted_id(session: Session, *, project: Project) -> UUID | None:
    """The checkpoint that writes for the project unless somebody chooses another."""
    return session.scalar(
        select(PROMOTION.c.checkpoint_id)
        .where(PROMOTION.c.project_id == project.id)
        .order_by(PROMOTION.c.id.desc())
        .limit(1)
    )


def protected_ids(session: Session) -> set[UUID]:
    """Checkpoints of all projects that a clean-up must leave alone.

    The promoted one of each project, and the one before it, which an undo brings back.
    """
    place = func.row_number().over(
        partition_by=PROMOTION.c.project_id, order_by=PROMOTION.c.id.desc()
    )
    recent = select(PROMOTION.c.checkpoint_id, place.label("place")).subquery()
    found = select(recent.c.checkpoint_id).where(
        recent.c.place <= 2, recent.c.checkpoint_id.is_not(None)
    )
    return set(session.scalars(found).all())
