"""The job that brings a file into a project: corpus, tasks and judgements in one transaction.

All of a file or nothing of it stands, whenever a worker dies; the CLI calls the same code.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import structlog
from procrastinate import JobContext
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from app import artifacts
from app.accounts.models import User
from app.config import settings
from app.corpus import service as corpus
from app.corpus.formats import (
    BadFile,
    ImportedTask,
    Limits,
    Read,
    read_file,
)
from app.corpus.models import Import
from app.db import JsonObject, database_now, transaction
from app.errors import AppError, LeaseLost, found
from app.jobs import JobName, queue
from app.projects import service as projects
from app.projects.models import Project
from app.worker.imports.checking import Findings
from app.worker.imports.preparing import Prepared, Preparing
from app.worker.imports.reading import Metered, read_ahead
from app.worker.imports.terms import Terms, suited
from app.worker.imports.upkeep import clear_forgotten, clear_staged, remove_staged
from app.worker.imports.writing import write_batch

log = structlog.get_logger(__name__)

BATCH = 1000  # rows written at once …
BATCH_SIZE = 4_000_000  # … or so many bytes of the file, whichever comes first
PROGRESS_EVERY = 0.5  # seconds
IMPORT_LOCK = 7_204_010  # with the project: one import of it at a time, so none waits in a circle
PASSING = {"08", "40", "57"}  # SQLSTATE of connections, of deadlocks, of a server that stops
GIVE_BACK = (0, 1, 2, 4, 8, 15)  # seconds to wait before each try: a server that crashed recovers
MOST_ATTEMPTS = 10
GIVEN_UP = (
    "The worker ended again and again while it read this file, so nothing was imported. Split the "
    "file, or give the worker more memory."
)

Report = Callable[[int, int], None]  # bytes of the file read so far, and rows


def silent(_bytes: int, _rows: int) -> None:
    """Report to nobody."""


class _Refused(Exception):
    """A line was refused, and the import is all or nothing."""


class _Stopped(Exception):
    """The worker ends, or the database went away: the import goes back into the queue."""


@dataclass
class Tally:
    """What has become of the rows so far."""

    read: int = 0
    bytes_read: int = 0
    imported: int = 0
    skipped: int = 0
    format: str | None = None
    findings: Findings = field(default_factory=Findings)

    @property
    def rejected(self) -> int:
        return self.findings.refusals.count

    def reject(self, line: int, message: str) -> None:
        self.findings.refusals.add(line, message)

    def figures(self) -> dict[str, Any]:
        figures: dict[str, Any] = {
            "rows_read": self.read,
            "bytes_read": self.bytes_read,
            "rows_imported": self.imported,
            "rows_skipped": self.skipped,
            "rows_rejected": self.rejected,
        }
        return figures | ({"format": self.format} if self.format else {})

    def outcome(self, lease: "Lease") -> dict[str, Any]:
        """What stays with the import when it has ended."""
        report = lease.report | self.findings.report(format=self.format)
        return self.figures() | {"errors": self.findings.refusals.first, "report": report}


@dataclass(frozen=True)
class Lease:
    """One attempt at an import, and what the row says of it."""

    import_id: UUID
    attempt: int
    project_id: UUID
    path: str
    format: str
    skip_bad_lines: bool
    by: UUID | None
    dry_run: bool
    report: JsonObject

    @property
    def takes_good_lines(self) -> bool:
        """Whether a bad line leaves the others be; a check counts what they would bring."""
        return self.skip_bad_lines or self.dry_run


@queue.task(name=JobName.IMPORT, pass_context=True)
def import_upload(context: JobContext, *, import_id: str) -> None:
    """Bring a staged upload in; a worker that is told to stop puts it back into the queue."""
    stopping = context.additional_context.get("stopping")
    run_import(UUID(import_id), is_stopping=stopping.is_set if stopping else lambda: False)


def run_import(import_id: UUID, *, is_stopping: Callable[[], bool] = lambda: False) -> None:
    """Bring in a staged upload, unless it has ended already; its row says how it went."""
    lease = _start(import_id)
    if lease is None:  # it has ended, perhaps before anybody had it
        clear_staged(import_id)
        return
    try:
        with artifacts.open_file(lease.path) as stream:
            _bring_in(lease, stream, is_stopping=is_stopping)
    except LeaseLost:
        log.warning("lost the import to another attempt", import_id=str(import_id))
        clear_forgotten(import_id)
        return
    except _Stopped:
        _give_back(lease)
        return
    except AppError as error:  # the upload is gone
        _fail(lease, Tally(), error.detail)
    if not lease.dry_run:  # what was only checked waits to be brought in
        remove_staged(import_id)


def _give_back(lease: Lease) -> None:
    """Into the queue, once the database answers; else the caretaker finds it without a job."""
    for wait in GIVE_BACK:
        time.sleep(wait)
        try:
            with transaction() as session:
                corpus.give_back_import(session, import_id=lease.import_id, attempt=lease.attempt)
        except LeaseLost:
            return
        except OperationalError as error:
            log.warning("no database to give the import back to", error=str(error.orig))
        else:
            return


def import_file(
    *,
    project_id: UUID,
    file: Path,
    by: UUID | None = None,
    format: str = "auto",  # noqa: A002
    skip_bad_lines: bool = False,
    dry_run: bool = False,
    report: Report = silent,
) -> Import:
    """Bring a local file in at once, for `touchstone import`; `report` hears how far it is.

    With `dry_run` it is only checked, and nothing stays of it, not even the import's own row.
    """
    with transaction() as session:
        row = corpus.new_import(
            session,
            project=found(session.get(Project, project_id)),
            by=session.get(User, by) if by else None,
            filename=file.name,
            format=format,
            skip_bad_lines=skip_bad_lines,
            size=file.stat().st_size,
            dry_run=dry_run,
        )
        import_id = row.id
    lease = found(_start(import_id))
    try:
        with file.open("rb") as stream:
            _bring_in(lease, stream, report=report)
    except BaseException:  # Ctrl-C too: nothing may look as if it still ran
        with suppress(LeaseLost, OperationalError):
            _fail(lease, Tally(), "The import was interrupted, so nothing was imported.")
        if dry_run:
            _forget(import_id)
        raise
    with transaction() as session:
        row = session.get_one(Import, import_id)
        session.expunge(row)
    if dry_run:
        _forget(import_id)
    return row


def _forget(import_id: UUID) -> None:
    with transaction() as session:
        corpus.forget_check(session, import_id=import_id)


def _start(import_id: UUID) -> Lease | None:
    with transaction() as session:
        row = corpus.start_import(session, import_id=import_id, now=database_now(session))
        if row is None:
            return None
        lease = Lease(
            row.id,
            row.attempt,
            row.project_id,
            row.path,
            row.format,
            row.skip_bad_lines,
            row.created_by,
            row.dry_run,
            row.report,
        )
    if lease.attempt > MOST_ATTEMPTS:
        _fail(lease, Tally(), GIVEN_UP)
        return None
    return lease


def _bring_in(
    lease: Lease,
    stream: IO[bytes],
    *,
    is_stopping: Callable[[], bool] = lambda: False,
    report: Report = silent,
) -> None:
    """Import the stream, and end the import's row one way or the other.

    Raises `LeaseLost` or `_Stopped`, and then nothing has been imported nor ended.
    """
    tally = Tally()
    try:
        with transaction() as session:
            _write_all(session, lease, stream, tally, is_stopping=is_stopping, report=report)
            if lease.dry_run:
                session.rollback()
                tally.findings.tell_people(session, project_id=lease.project_id)
            _keep_refused(lease, tally, stream)
            corpus.finish_import(
                session,
                import_id=lease.import_id,
                attempt=lease.attempt,
                **tally.outcome(lease),
            )
    except _Refused:
        _keep_refused(lease, tally, stream)
        lines = "1 line was" if tally.rejected == 1 else f"{tally.rejected:,} lines were"
        _fail(
            lease,
            tally,
            f"{lines} refused, so nothing was imported. Mend the file, or import it again and "
            "skip bad lines.",
        )
    except BadFile as error:
        if error.line is not None:
            tally.reject(error.line, str(error))
            _keep_refused(lease, tally, stream)
        _fail(lease, tally, f"{error} Nothing was imported.")
    except (LeaseLost, _Stopped):
        raise
    except AppError as error:
        _fail(lease, tally, error.detail)
    except Exception as error:
        if isinstance(error, DBAPIError) and _may_pass(error):
            log.warning("the database broke off an import", error=str(error.orig))
            raise _Stopped from error
        _fail(lease, tally, "This is our mistake, and the worker's log has the details. Try again.")
        raise
    finally:
        tally.findings.refusals.close()
    report(tally.bytes_read, tally.read)


def _may_pass(error: DBAPIError) -> bool:
    """Whether another try may go well: the server was lost, or chose one of two that waited."""
    state = getattr(error.orig, "sqlstate", None) or ""
    return error.connection_invalidated or state[:2] in PASSING


def _keep_refused(lease: Lease, tally: Tally, stream: IO[bytes]) -> None:
    """For the report; an import does not fail because that cannot be stored."""
    if lease.dry_run and not lease.path:  # nothing stays of it
        return
    try:
        tally.findings.keep_refused(
            stream,
            import_id=lease.import_id,
            attempt=lease.attempt,
            format=lease.format,
            limits=_limits(),
        )
    except (OSError, AppError) as error:
        log.warning("refused lines not stored", import_id=str(lease.import_id), error=str(error))


def _fail(lease: Lease, tally: Tally, error: str) -> None:
    tally.imported = tally.skipped = 0
    tally.findings.brought.clear()
    with transaction() as session:
        corpus.finish_import(
            session,
            import_id=lease.import_id,
            attempt=lease.attempt,
            error=error,
            **tally.outcome(lease),
        )


def _write_all(
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
    project = session.get_one(Project, lease.project_id)
    by = session.get(User, lease.by) if lease.by else None
    limits = _limits()
    if lease.dry_run:
        tally.findings.look(stream, project=project, format=lease.format, limits=limits)
    meter = Metered(stream)
    reads = read_file(meter.buffered(), format=lease.format, limits=limits)
    rows = suited(reads, terms=Terms.of(project))
    with (
        closing(
            _batches(lease, rows, meter, tally, is_stopping=is_stopping, report=report)
        ) as batches,
        Preparing(project_id=project.id, import_id=lease.import_id) as preparing,
    ):
        for batch in chain(batches, [()]):
            if ready := preparing.swap(batch):
                _write(session, ready, tally, lease=lease, project=project, by=by)
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
                raise _Stopped
            tally.bytes_read = meter.taken
            _show_progress(lease, tally)
            report(tally.bytes_read, tally.read)
            due = time.monotonic() + PROGRESS_EVERY
    tally.bytes_read = meter.taken
    if tally.rejected and not lease.takes_good_lines:
        raise _Refused
    yield batch


def _wait_for_turn(
    session: Session, lease: Lease, tally: Tally, *, is_stopping: Callable[[], bool]
) -> None:
    """Until no other import of the project runs; who waits can be cancelled, and shows it lives."""
    key = func.hashtext(str(lease.project_id))
    while not session.scalar(select(func.pg_try_advisory_xact_lock(IMPORT_LOCK, key))):
        if is_stopping():
            raise _Stopped
        _show_progress(lease, tally)
        time.sleep(PROGRESS_EVERY / 2)


def _limits() -> Limits:
    return Limits(
        file_bytes=settings.max_import_mb * 10**6,
        line_bytes=settings.max_line_mb * 10**6,
        rows=settings.max_import_rows,
    )


def _show_progress(lease: Lease, tally: Tally) -> None:
    """In a transaction of its own, so that others see it while ours is open."""
    with transaction() as session:
        corpus.note_progress(
            session, import_id=lease.import_id, attempt=lease.attempt, **tally.figures()
        )


def _write(
    session: Session,
    batch: Prepared,
    tally: Tally,
    *,
    lease: Lease,
    project: Project,
    by: User | None,
) -> None:
    added = write_batch(
        session,
        batch,
        project=project,
        by=by,
        import_id=lease.import_id,
        brought=tally.findings.brought,
    )
    tally.imported += added
    tally.skipped += len(batch.tasks) - added
