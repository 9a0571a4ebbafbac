"""The job that brings the tasks' wanted numbers in line with the project's overlap."""

from uuid import UUID

from app.annotation import service as annotation
from app.db import transaction
from app.jobs import JobName, queue
from app.projects.models import Project


@queue.task(name=JobName.OVERLAP)
def adjust_overlap(*, project_id: str) -> None:
    """Batch by batch, each in a transaction of its own, so that claims go on meanwhile."""
    after: bytes | None = b""
    while after is not None:
        with transaction() as session:
            project = session.get(Project, UUID(project_id))
            if project is None:
                return
            after = annotation.apply_overlap(session, project=project, after=after)
