"""The jobs that bring tasks in line with a change of their project: overlap, examples."""

from uuid import UUID

from app.annotation import service as annotation
from app.db import database_now, transaction
from app.jobs import JobName, defer, queue
from app.projects.models import Project
from app.projects.queries import shown_since
from app.tasks import service as tasks
from app.tasks.queries import examples_asked


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


@queue.task(name=JobName.EXAMPLES)
def retire_examples(*, project_id: str) -> None:
    """Take what the guidelines show as examples out of the work, and call back what is lent.

    What was handed in since they show it does not count: the answer was told. In a transaction
    each: tasks come after assignments and memberships in the order of locks.
    """
    with transaction() as session:
        project = session.get(Project, UUID(project_id))
        if project is None:
            return
        since = shown_since(session, project=project)
        shown = tasks.retire(session, project=project, task_ids=since)
    with transaction() as session:
        tasks.call_back(session, task_ids=shown, now=database_now(session))
    with transaction() as session:
        project = session.get_one(Project, UUID(project_id))
        annotation.discount_told(
            session, project=project, since={task_id: since[task_id] for task_id in shown}
        )


def retire_forgotten() -> None:
    """Ask for that where the guidelines show a task that is open all the same.

    As in a project whose examples are older than the rule.
    """
    with transaction() as session:
        for project_id in examples_asked(session):
            defer(
                session,
                JobName.EXAMPLES,
                queueing_lock=f"examples:{project_id}",
                project_id=f"{project_id}",
            )
