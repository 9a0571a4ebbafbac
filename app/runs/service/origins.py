"""Who and what is in which snapshot: known since it ended, or read from its manifest once."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.orm import Session

from app.datasets import service as datasets
from app.datasets.queries.writers import unread_snapshots, writers_behind
from app.projects.models import Project
from app.runs.queries.lineage import snapshot_origins


def look_through(session: Session, *, projects: Sequence[Project]) -> None:
    """Keep what the manifests say of snapshots from before this was kept."""
    for snapshot in unread_snapshots(session, projects=projects):
        origins = snapshot_origins(snapshot.path or "")
        ids = [UUID(each) for each in origins.annotations if _is_id(each)]
        datasets.remember_annotators(
            session, snapshot_id=snapshot.id, judgements=dict(origins.annotators)
        )
        datasets.remember_origins(
            session,
            snapshot_id=snapshot.id,
            versions=dict(origins.versions),
            writers=writers_behind(session, annotation_ids=ids),
        )


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
