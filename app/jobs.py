"""The job queue (procrastinate). A job carries the id of a domain row and nothing more."""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from procrastinate import App, PsycopgConnector, SyncPsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued
from sqlalchemy import text
from sqlalchemy.orm import Session

# What the worker runs: knows every job. `app.worker` gives it a connection.
queue = App(connector=PsycopgConnector(), import_paths=["app.worker", "app.demo.jobs"])
# What defers: knows names only, so that the web process loads no job, and writes on the session's
# own connection.
sender = App(connector=SyncPsycopgConnector())


class Lane(StrEnum):
    """Queues of the worker: a training blocks neither an import nor the rehearsal of the next.

    `ASK` is for what only asks other servers, and needs neither a GPU nor torch.
    """

    DATA = "data"
    TRAIN = "train"
    ASK = "ask"
    CHECK = "check"
    PLAY = "play"


class JobName(StrEnum):
    IMPORT = "import"
    UNDO_IMPORT = "undo_import"
    SNAPSHOT = "snapshot"
    COMPARISON = "comparison"
    OVERLAP = "overlap"
    EXAMPLES = "examples"
    STATISTICS = "statistics"
    CLEAN_UP = "clean_up"
    TRAIN = "train"
    CHECK_RUN = "check_run"
    GENERATE = "generate"
    EVALUATE = "evaluate"
    SIMULATE = "simulate"
    PLAY = "play"


LANES = {
    JobName.IMPORT: Lane.DATA,
    JobName.UNDO_IMPORT: Lane.DATA,
    JobName.SNAPSHOT: Lane.DATA,
    JobName.COMPARISON: Lane.DATA,
    JobName.OVERLAP: Lane.DATA,
    JobName.EXAMPLES: Lane.DATA,
    JobName.STATISTICS: Lane.DATA,
    JobName.CLEAN_UP: Lane.DATA,
    JobName.TRAIN: Lane.TRAIN,
    JobName.GENERATE: Lane.TRAIN,
    JobName.CHECK_RUN: Lane.CHECK,
    JobName.EVALUATE: Lane.TRAIN,
    JobName.SIMULATE: Lane.DATA,
    JobName.PLAY: Lane.PLAY,
}


# Sizes of graphics cards, in GB of a billion bytes. A need is rounded up to the next of them, so
# that each size has a queue and a worker reads those that it is large enough for.
GPU_SIZES = (4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 141, 192, 288)


def queue_for(needs: Mapping[str, Any]) -> str:
    """The queue of a training with these needs ({device?, gpu_memory_gb?})."""
    memory = needs.get("gpu_memory_gb") or 0
    if memory:
        size = next((size for size in GPU_SIZES if size >= memory), memory)
        return f"{Lane.TRAIN}-cuda-{size}"
    return f"{Lane.TRAIN}-cuda" if needs.get("device") == "cuda" else Lane.TRAIN.value


def queues_served(*, trains: bool, gpu_memory_gb: int | None) -> list[str]:
    """The queues of trainings that a worker reads; `gpu_memory_gb` is None without a GPU."""
    if not trains:
        return []
    sizes = [size for size in GPU_SIZES if size <= (gpu_memory_gb or 0)]
    with_gpu = [] if gpu_memory_gb is None else [f"{Lane.TRAIN}-cuda"]
    return [Lane.TRAIN.value, *with_gpu, *(f"{Lane.TRAIN}-cuda-{size}" for size in sizes)]


def reorder(session: Session, job: JobName, *, priority: int, **ids: str) -> None:
    """Give the jobs of these ids that still wait another priority."""
    session.execute(
        text(
            "UPDATE procrastinate_jobs SET priority = :priority"
            " WHERE task_name = :job AND status = 'todo' AND args @> CAST(:ids AS jsonb)"
        ),
        {"priority": priority, "job": job.value, "ids": json.dumps(ids)},
    )


def defer(
    session: Session,
    job: JobName,
    *,
    queueing_lock: str | None = None,
    delay_seconds: int = 0,
    priority: int = 0,
    queue_name: str | None = None,
    **ids: str,
) -> None:
    """Queue a job in the caller's transaction: it exists if and only if the row does.

    With `queueing_lock` at most one such job waits at a time; a second call adds nothing. Of jobs
    that wait the one with the highest `priority` starts first; `queue_name` is that of its lane
    unless only some workers may take it.
    """
    with session.begin_nested() as savepoint:
        connection = session.connection().connection.driver_connection
        deferrer = sender.configure_task(
            job,
            connection=connection,
            queue=queue_name or LANES[job],
            priority=priority,
            queueing_lock=queueing_lock,
            schedule_in={"seconds": delay_seconds} if delay_seconds else None,
        )
        try:
            deferrer.defer(**ids)
        except AlreadyEnqueued:
            savepoint.rollback()
