"""Which models wrote the responses behind judgements, and what is not known of that yet."""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import case, exists, func, or_, select
from sqlalchemy.orm import Session

from app.annotation.models import Annotation
from app.corpus.models import Prompt, Response
from app.datasets.models import Snapshot, SnapshotAnnotator, SnapshotGuidelines
from app.db import JobState, among
from app.projects.models import Project
from app.tasks.models import TaskResponse

AT_ONCE = 20_000  # judgements looked up in one statement
IS_BY_MODEL = Response.checkpoint_id.is_not(None) | Response.sampling.has_key("endpoint")


def has_written(session: Session, *, project: Project) -> bool:
    """Whether any response of the project was written by a checkpoint or an endpoint."""
    written = (
        select(Response.id)
        .join(Prompt, Prompt.id == Response.prompt_id)
        .where(IS_BY_MODEL, Prompt.project_id == project.id)
    )
    return bool(session.scalar(select(written.exists())))


def writers_behind(session: Session, *, annotation_ids: Sequence[UUID]) -> dict[UUID | str, int]:
    """How many of these judgements are about a response of each model.

    A checkpoint by its id, an endpoint by the source that it is to its responses.
    """
    found: Counter[UUID | str] = Counter()
    endpoint = case((Response.checkpoint_id.is_(None), Response.source))
    for start in range(0, len(annotation_ids), AT_ONCE):
        rows = session.execute(
            select(Response.checkpoint_id, endpoint, func.count(Annotation.id.distinct()))
            .join(TaskResponse, TaskResponse.response_id == Response.id)
            .join(Annotation, Annotation.task_id == TaskResponse.task_id)
            .where(
                among(Annotation.id, annotation_ids[start : start + AT_ONCE]),
                IS_BY_MODEL,
            )
            .group_by(Response.checkpoint_id, endpoint)
        )
        found.update({row[0] or row[1]: row[2] for row in rows if row[0] or row[1]})
    return dict(found)


def unread_snapshots(session: Session, *, projects: Sequence[Project]) -> Sequence[Snapshot]:
    """Finished ones of which nobody has looked up yet whose judgements they hold."""
    people = exists().where(SnapshotAnnotator.snapshot_id == Snapshot.id)
    versions = exists().where(SnapshotGuidelines.snapshot_id == Snapshot.id)
    return session.scalars(
        select(Snapshot).where(
            Snapshot.project_id.in_([project.id for project in projects]),
            Snapshot.state == JobState.SUCCEEDED,
            Snapshot.files_removed_at.is_(None),
            or_(~people, ~versions),
        )
    ).all()
