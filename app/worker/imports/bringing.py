"""The rows of a file on their way into a project: read, prepared and written batch by batch."""

import gc
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from itertools import chain
from typing import IO

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.annotation import service as annotation
from app.corpus.formats import ImportedTask, Read, read_file
from app.corpus.models import Import
from app.db import are_held, database_now
from app.errors import LeaseLost, Stopped
from app.projects import service as projects
from app.projects.models import Project
from app.worker.imports.attempt import Lease, Refused, Tally, limits_now, show_progress
from app.worker.imports.preparing import Here, Prepared, Preparing
from app.worker.imports.reading import Metered, read_ahead
from app.worker.imports.terms import Terms, suited
from app.worker.imports.writing import write_batch

BATCH = 1000  # rows written at once …
BATCH_SIZE = 4_000_000  # … or so many bytes of the file, whichever comes first
COLLECT_EVERY = 8  # batches: SQLAlchemy's statements hold each other, and with them all the rows
PROGRESS_EVERY = 0.5  # seconds
IMPORT_LOCK = 7_204_010  # with the project: one import of it at a time, so none waits in a circle

Report = Callable[[int, int], None]  # bytes of the file read so far, and rows


def write_all(
    session: Session,
    lease: Lease,
    stream: IO[bytes],
    tally: Tally,
    *,
    is_stopping: Callable[[], bool],
    report: Report,
) -> None:
    """Read every row, for the report names them all; write the good ones while that is allowed."""
    _wait_for_turn(session, lease, tally, is_stopping=is_stopping)
    named = [(Project.id, lease.project_id), (Import.id, lease.import_id)]  # by every row
    if not all(are_held(session, key, [row_id]) for key, row_id in named):
        raise LeaseLost(lease)
    project = session.get_one(Project, lease.project_id)
    by = session.get(User, lease.by) if lease.by else None
    limits = limits_now()
    if lease.dry_run:
        tally.findings.look(stream, project=project, format=lease.format, limits=limits)
    meter = Metered(stream)
    reads = read_file(meter.buffered(), format=lease.format, limits=limits)
    rows = suited(reads, terms=Terms.of(project))
    about = annotation.Surroundings(
        project.id, project.guidelines_version, database_now(session), lease.import_id
    )
    here = Here(about, overlap=project.overlap_min)
    with (
        closing(
            _batches(lease, rows, meter, tally, is_stopping=is_stopping, report=report)
        ) as batches,
        Preparing(here) as preparing,
    ):
        for number, batch in enumerate(chain(batches, [()]), 1):
            if ready := preparing.swap(batch):
                _write(session, ready, tally, here=here, project=project, by=by)
            if number % COLLECT_EVERY == 0:
                gc.collect()
    projects.follow_overlap(session, project=project)


def _batches(
    lease: Lease,
    rows: Iterator[Read],
    meter: Metered,
    tally: Tally,
    *,
    is_stopping: Callable[[], bool],
    report: Report,
) -> Generator[Sequence[ImportedTask]]:
    """The good rows, by the batch; none any more once a bad one has spoilt the import."""
    batch: list[ImportedTask] = []
    size = 0
    due = time.monotonic() + PROGRESS_EVERY
    for read in read_ahead(rows, at_least_every=PROGRESS_EVERY or 0.1):
        if read is not None:
            tally.read += 1
            tally.format = tally.format or read.format
            if read.problem is not None:
                tally.reject(read.line, read.problem)
            elif read.task is not None and (lease.takes_good_lines or not tally.rejected):
                if tally.findings.survey is not None:
                    tally.findings.survey.add(read.line, read.task)
                batch.append(read.task)
                size += read.size
        if len(batch) == BATCH or size > BATCH_SIZE:
            yield batch
            batch, size = [], 0
        if time.monotonic() > due:
            if is_stopping():
                raise Stopped
            tally.bytes_read = meter.taken
            show_progress(lease, tally)
            report(tally.bytes_read, tally.read)
            due = time.monotonic() + PROGRESS_EVERY
    tally.bytes_read = meter.taken
    if tally.rejected and not lease.takes_good_lines:
        raise Refused
    yield batch


def _wait_for_turn(
    session: Session, lease: Lease, tally: Tally, *, is_stopping: Callable[[], bool]
) -> None:
    """Until no other import of the project runs; who waits can be cancelled, and shows it lives."""
    key = func.hashtext(str(lease.project_id))
    while not session.scalar(select(func.pg_try_advisory_xact_lock(IMPORT_LOCK, key))):
        if is_stopping():
            raise Stopped
        show_progress(lease, tally)
        time.sleep(PROGRESS_EVERY / 2)


def _write(
    session: Session,
    batch: Prepared,
    tally: Tally,
    *,
    here: Here,
    project: Project,
    by: User | None,
) -> None:
    brought = tally.findings.brought
    added = write_batch(session, batch, here=here, project=project, by=by, brought=brought)
    tally.imported += added
    tally.skipped += len(batch.tasks) - added
