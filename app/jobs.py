"""The job queue (procrastinate). A job carries the id of a domain row and nothing more."""

from enum import StrEnum

from procrastinate import App, PsycopgConnector, SyncPsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued
from sqlalchemy.orm import Session

# What the worker runs: knows every job. `app.worker` gives it a connection.
queue = App(connector=PsycopgConnector(), import_paths=["app.worker"])
# What defers: knows names only, so that the web process loads no job, and writes on the session's
# own connection.
sender = App(connector=SyncPsycopgConnector())


class Lane(StrEnum):
    """Queues of the worker: a training never blocks an import."""

    DATA = "data"
    TRAIN = "train"
    PLAY = "play"


class JobName(StrEnum):
    IMPORT = "import"
    UNDO_IMPORT = "undo_import"
    SNAPSHOT = "snapshot"
    COMPARISON = "comparison"
    OVERLAP = "overlap"
    STATISTICS = "statistics"
    TRAIN = "train"
    GENERATE = "generate"
    PLAY = "play"


LANES = {
    JobName.IMPORT: Lane.DATA,
    JobName.UNDO_IMPORT: Lane.DATA,
    JobName.SNAPSHOT: Lane.DATA,
    JobName.COMPARISON: Lane.DATA,
    JobName.OVERLAP: Lane.DATA,
    JobName.STATISTICS: Lane.DATA,
    JobName.TRAIN: Lane.TRAIN,
    JobName.GENERATE: Lane.TRAIN,
    JobName.PLAY: Lane.PLAY,
}


def defer(
    session: Session,
    job: JobName,
    *,
    queueing_lock: str | None = None,
    delay_seconds: int = 0,
    **ids: str,
) -> None:
    """Queue a job in the caller's transaction: it exists if and only if the row does.

    With `queueing_lock` at most one such job waits at a time; a second call adds nothing.
    """
    with session.begin_nested() as savepoint:
        connection = session.connection().connection.driver_connection
        deferrer = sender.configure_task(
            job,
            connection=connection,
            queue=LANES[job],
            queueing_lock=queueing_lock,
            schedule_in={"seconds": delay_seconds} if delay_seconds else None,
        )
        try:
            deferrer.defer(**ids)
        except AlreadyEnqueued:
            savepoint.rollback()
