"""The jobs that bring tasks in line with a change of their project: overlap, examples."""

from uuid import UUID

from app.annotation import service as annotation
from app.db import database_now, transaction
from app.errors import found
from app.jobs import JobName, queue
from app.projects.models import Project
from app.projects.queries import guidelines_of
from app.tasks import service as tasks


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

    In two transactions: tasks come after assignments in the order of locks.
    """
    with transaction() as session:
        project = session.get(Project, UUID(project_id))
        if project is None:
            return
        shown = found(guidelines_of(session, project=project)).examples
        task_ids = [task_id for each in shown if (task_id := _as_id(each.get("task_id")))]
        tasks.retire(session, project=project, task_ids=task_ids)
    with transaction() as session:
        tasks.call_back(session, task_ids=task_ids, now=database_now(session))


def _as_id(given: str | None) -> UUID | None:
    """What a program wrote may name no task at all."""
    try:
        return UUID(given) if given else None
    except ValueError:
        return None
