"""Who need not qualify when a project begins to ask for it."""

from datetime import datetime

from sqlalchemy import column, exists, table, update
from sqlalchemy.orm import Session

from app.accounts.models import Role
from app.projects.models import Membership, Project

# Annotations stand right of projects: asked by the table's name, as a string key would.
ANNOTATION = table("annotation", *map(column, ("project_id", "user_id", "counted", "is_current")))


def admit_proven(session: Session, *, project: Project, now: datetime) -> None:
    """Whoever has judgements that count goes on without an interruption."""
    has_worked = exists().where(
        ANNOTATION.c.user_id == Membership.user_id,
        ANNOTATION.c.project_id == project.id,
        ANNOTATION.c.counted,
        ANNOTATION.c.is_current,  # an older revision may say that it counts for ever
    )
    session.execute(
        update(Membership)
        .where(
            Membership.project_id == project.id,
            Membership.role == Role.ANNOTATOR,
            Membership.qualified_at.is_(None),
            has_worked,
        )
        .values(qualified_at=now)
    )
