"""Files that nothing needs any more go away, by button and once a day."""

from uuid import UUID

import structlog

from app import artifacts
from app.datasets import service as datasets
from app.db import database_now, transaction
from app.jobs import JobName, queue
from app.runs import service as runs

log = structlog.get_logger(__name__)


@queue.task(name=JobName.CLEAN_UP)
def clean_up(*, clean_up_id: str) -> None:
    """Remove what the rules of a project let go, and say what went."""
    with transaction() as session:
        done = runs.clean_up(session, clean_up_id=UUID(clean_up_id), now=database_now(session))
        if done is not None and done.removed:
            log.info("cleaned up", project=str(done.project_id), bytes=done.bytes)


def clean_daily() -> None:
    """Ask for a clean-up of each project that had none for a day, and sweep the store."""
    with transaction() as session:
        asked = runs.ask_for_daily_clean_ups(session)
    if asked:
        sweep()


def sweep() -> int:
    """Remove what killed attempts left in the store; how many folders."""
    with transaction() as session:
        now = database_now(session)
        left = [
            *runs.folders_left_behind(session, now=now),
            *datasets.folders_left_behind(session, now=now),
        ]
    for folder, size in left:
        artifacts.remove(folder)
        log.info("removed a folder that no row leads to", folder=folder, bytes=size)
    return len(left)
