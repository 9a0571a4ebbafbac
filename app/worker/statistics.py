"""The jobs that keep quality figures fresh."""

from uuid import UUID

from app.db import database_now, transaction
from app.jobs import JobName, Lane, defer, queue
from app.projects.models import Project
from app.quality.models import Part
from app.quality.queries.summary import stale_projects
from app.quality.service import review, summary


@queue.task(name=JobName.STATISTICS)
def statistics(*, project_id: str, part: str = Part.OVERVIEW) -> None:
    """Compute one part of a project's figures anew; a project deleted meanwhile is no error."""
    with transaction() as session:
        project = session.get(Project, UUID(project_id))
        if project is None:
            return
        if part == Part.OVERVIEW:
            review.suspend_disputed_gold(session, project=project, now=database_now(session))
        summary.recompute(session, project=project, part=Part(part))


@queue.periodic(cron="*/5 * * * *", periodic_id="statistics")
@queue.task(name="statistics_of_active_projects", queue=Lane.DATA)
def statistics_of_active_projects(timestamp: int) -> None:  # noqa: ARG001 – given by the queue
    """Every five minutes, for projects that were judged in since: nobody has to look first."""
    with transaction() as session:
        for project in stale_projects(session):
            defer(
                session,
                JobName.STATISTICS,
                queueing_lock=summary.lock_of(project, Part.OVERVIEW),
                project_id=str(project.id),
            )
