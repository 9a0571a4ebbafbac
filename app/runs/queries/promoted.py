"""The promoted checkpoint of a project, which stands right of runs: read by the table's name."""

from uuid import UUID

from sqlalchemy import BigInteger, Uuid, column, select, table
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
