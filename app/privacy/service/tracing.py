"""Who is in which snapshot: known since it ended, or read from its manifest once."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from app.accounts.models import User
from app.datasets import service as datasets
from app.privacy import queries
from app.privacy.queries import Traced
from app.projects.models import Project
from app.runs.queries import snapshot_origins


def look_through(session: Session, *, projects: Sequence[Project]) -> None:
    """Keep who is in the snapshots from before this was kept."""
    for snapshot in queries.unread_snapshots(session, projects=projects):
        origins = snapshot_origins(snapshot.path or "")
        datasets.remember_annotators(
            session, snapshot_id=snapshot.id, judgements=dict(origins.annotators)
        )


def trace(session: Session, *, user: User, project: Project | None = None) -> Traced:
    """Everything that her judgements went into, everywhere or in one project."""
    where = queries.projects_of(session, user=user) if project is None else [project]
    look_through(session, projects=where)
    return queries.traces(session, user=user, project=project)
