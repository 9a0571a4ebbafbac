"""Holding on to what a worker works on, and taking over what a lost worker left."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.db import brief_transaction
from app.errors import LeaseLost, Stopped
from app.evaluation import service as evaluations
from app.generation import service as generation
from app.jobs import JobName, defer
from app.playground import service as playground
from app.runs import service as runs
from app.worker.imports.upkeep import requeue_lost_imports
from app.worker.process import Child

log = structlog.get_logger(__name__)

BEAT = 0.5  # seconds between two beats; a cancellation is seen within one
STALLED = timedelta(seconds=20)  # of silence; then others take over
SILENCE = 40.0  # seconds without a beat after which a child ends: its worker may be halted
OUT_OF_TOUCH = 40.0  # seconds without the database after which the attempt gives itself up, too


class Stop(StrEnum):
    """Why an attempt should end before its work does, the strongest first."""

    LOST = "lost"  # another attempt has it, or soon will: write nothing
    CANCEL = "cancel"  # somebody asked for it
    SHUTDOWN = "shutdown"  # this worker ends; another goes on


RELAY = 0.5  # seconds between two looks at what a child wrote
GRACE = {Stop.CANCEL: 60.0, Stop.SHUTDOWN: 20.0, Stop.LOST: 5.0}  # for a child to save and end


class Pulse:
    """Beats for an attempt from a thread of its own, and hears of reasons to stop.

    `hold` writes that the attempt lives and says whether somebody asked to cancel it.
    """

    def __init__(self, hold: Callable[[Session], bool], *, stopping: threading.Event) -> None:
        self._hold = hold
        self._stopping = stopping
        self._ended = threading.Event()
        self._lost = threading.Event()
        self._cancel = threading.Event()
        self._heard = time.monotonic()
        self._child: Child | None = None
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def stop(self) -> Stop | None:
        if self._lost.is_set():
            return Stop.LOST
        if self._cancel.is_set():
            return Stop.CANCEL
        return Stop.SHUTDOWN if self._stopping.is_set() else None

    @contextmanager
    def child(
        self, command: Sequence[str], *, log: Path, output: Path | None = None
    ) -> Iterator[Child]:
        """A child of this attempt: it ends when nobody beats for the attempt any more."""
        with Child(command, log=log, output=output, silence=SILENCE) as child:
            self._child = child
            try:
                yield child
            finally:
                self._child = None

    def check(self, lease: object) -> None:
        """Raise `LeaseLost` or `Stopped` where an attempt that nobody cancels should end."""
        if self.stop is Stop.LOST:
            raise LeaseLost(lease)
        if self.stop is not None:
            raise Stopped

    def _run(self) -> None:
        while not self._ended.wait(BEAT):
            try:
                with brief_transaction() as session:
                    if self._hold(session):
                        self._cancel.set()
                self._heard = time.monotonic()
            except LeaseLost:
                # The main thread may have ended the attempt a moment ago; then nothing is lost.
                if not self._ended.is_set():
                    self._lost.set()
                return
            except OperationalError as error:
                if time.monotonic() - self._heard > OUT_OF_TOUCH:
                    log.warning("out of touch with the database", error=str(error.orig))
                    self._lost.set()
                    return
            if (child := self._child) is not None:
                child.reassure()


def reach() -> None:
    """Only ask whether the database answers."""
    with brief_transaction() as session:
        session.execute(text("SELECT 1"))


def take_over(*, silent_for: timedelta) -> int:
    """Queue again what lost workers left, and return how much that was.

    Runs and generations go by their own rows, which beat each second. Of the other jobs the
    queue knows the worker: the stalled one ends as failed and a new one takes its place, so that
    the old worker, should it wake up, has no job to finish.
    """
    with brief_transaction() as session:
        taken = runs.requeue_lost(session, silent_for=silent_for)
        taken += runs.requeue_forgotten(session, silent_for=silent_for)
        taken += evaluations.requeue_lost_evaluations(session, silent_for=silent_for)
        taken += generation.requeue_lost_generations(session, silent_for=silent_for)
        taken += playground.end_silent(session, silent_for=silent_for)
        taken += _requeue_stalled_jobs(session, silent_for=silent_for)
        taken += requeue_lost_imports(session, silent_for=silent_for)
    if taken:
        log.info("took over from lost workers", jobs=taken)
    return taken


OWN_ROWS = {
    JobName.TRAIN,
    JobName.GENERATE,
    JobName.EVALUATE,
}  # queued again by their rows, see above


def _requeue_stalled_jobs(session: Session, *, silent_for: timedelta) -> int:
    stalled = session.execute(
        text(
            """
            UPDATE procrastinate_jobs AS job SET status = 'failed', attempts = job.attempts + 1
            WHERE job.id IN (
                SELECT stalled.id FROM procrastinate_jobs AS stalled
                LEFT JOIN procrastinate_workers AS worker ON worker.id = stalled.worker_id
                WHERE stalled.status = 'doing'
                  AND (worker.id IS NULL OR worker.last_heartbeat < now() - :silent_for)
                FOR UPDATE OF stalled SKIP LOCKED
            )
            RETURNING job.task_name, job.args, job.queueing_lock
            """
        ),
        {"silent_for": silent_for},
    ).all()
    again = [row for row in stalled if row.task_name in set(JobName) - OWN_ROWS]
    for row in again:
        defer(session, JobName(row.task_name), queueing_lock=row.queueing_lock, **row.args)
    return len(again)
