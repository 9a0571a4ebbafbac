"""The job that brings the tasks' wanted numbers in line with the project's overlap."""

from uuid import UUID

from app.db import transaction
from app.jobs import JobName, queue
from app.projects.models import Project
from app.tasks import service as tasks


@queue.task(name=JobName.OVERLAP)
def adjust_overlap(*, project_id: str) -> None:
    """Batch by batch, each in a transaction of its own, so that claims go on meanwhile."""
    is_done = False
    while not is_done:
        with transaction() as session:
            project = session.get(Project, UUID(project_id))
            is_done = project is None or tasks.set_overlap(session, project=project)
