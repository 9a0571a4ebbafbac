"""Who and what is in which snapshot: known since it ended, or read from its manifest once."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.orm import Session

from app.corpus.models import Prompt
from app.datasets import service as datasets
from app.datasets.models import Snapshot
from app.datasets.queries.writers import unread_snapshots, writers_behind
from app.projects.models import Project
from app.runs.queries.descendants import (
    Descendants,
    descendants,
    snapshots_under,
    snapshots_with_person,
    snapshots_with_prompt,
)
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


Found = tuple[Descendants, dict[UUID, int]]  # and how many of the judgements by snapshot


def of_person(session: Session, *, project: Project, user_id: UUID) -> Found:
    look_through(session, projects=[project])
    return _from(session, snapshots_with_person(session, project=project, user_id=user_id))


def of_version(session: Session, *, project: Project, version: int) -> Found:
    look_through(session, projects=[project])
    return _from(session, snapshots_under(session, project=project, version=version))


def of_prompt(session: Session, *, prompt: Prompt) -> Found:
    look_through(session, projects=[session.get_one(Project, prompt.project_id)])
    return _from(session, snapshots_with_prompt(session, prompt=prompt))


def _from(session: Session, held: Sequence[tuple[Snapshot, int]]) -> Found:
    found = descendants(session, snapshot_ids=[snapshot.id for snapshot, _ in held])
    return found, {snapshot.id: number for snapshot, number in held}
