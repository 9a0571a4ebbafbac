"""The job in which simulated annotators judge; the worker knows it by the queue's import paths."""

from uuid import UUID

from app.demo.judging import judge_open_tasks
from app.jobs import JobName, Lane, queue


@queue.task(name=JobName.SIMULATE, queue=Lane.DATA)
def simulate(*, project_id: str) -> None:
    """Let them judge what is open; run twice, the second finds the rest."""
    judge_open_tasks(UUID(project_id))
