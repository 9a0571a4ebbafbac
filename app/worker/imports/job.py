"""The job that brings a file into a project: corpus, tasks and judgements in one transaction.

All of a file or nothing of it stands, whenever a worker dies; the CLI calls the same code.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import structlog
from procrastinate import JobContext
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import artifacts
from app.accounts.models import User
from app.annotation.schemas import FLAGS
from app.config import settings
from app.corpus import service as corpus
from app.corpus.formats import (
    BadFile,
    BadLine,
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
from app.tasks import rules as task_rules
from app.worker.imports.writing import write_batch

log = structlog.get_logger(__name__)

BATCH = 1000  # rows written at once …
BATCH_SIZE = 4_000_000  # … or so many bytes of the file, whichever comes first
PROGRESS_EVERY = 0.5  # seconds
IMPORT_LOCK = 7_204_010  # with the project: one import of it at a time, so none waits in a circle
KEPT_ERROR = 500  # characters of a line's message


class _Refused(Exception):
    """A line was refused, and the import is all or nothing."""


class _Stopped(Exception):
    """The worker ends: the import goes back into the queue."""


@dataclass
class Tally:
    """What has become of the rows so far."""

    read: int = 0
    imported: int = 0
    skipped: int = 0
    rejected: int = 0
    errors: list[JsonObject] = field(default_factory=list)
    format: str | None = None

    def reject(self, line: int, message: str) -> None:
        self.rejected += 1
        if len(self.errors) < corpus.MAX_ERRORS:
            self.errors.append({"line": line, "message": message[:KEPT_ERROR]})

    def figures(self) -> dict[str, Any]:
        figures: dict[str, Any] = {
            "rows_read": self.read,
            "rows_imported": self.imported,
            "rows_skipped": self.skipped,
            "rows_rejected": self.rejected,
        }
        return figures | ({"format": self.format} if self.format else {})


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


@queue.task(name=JobName.IMPORT, pass_context=True)
def import_upload(context: JobContext, *, import_id: str) -> None:
    """Bring a staged upload in; a worker that is told to stop puts it back into the queue."""
    stopping = context.additional_context.get("stopping")
    run_import(UUID(import_id), is_stopping=stopping.is_set if stopping else lambda: False)


def run_import(import_id: UUID, *, is_stopping: Callable[[], bool] = lambda: False) -> None:
    """Bring in a staged upload, unless it has ended already; its row says how it went."""
    lease = _start(import_id)
    if lease is None:
        return
    try:
        with artifacts.open_file(lease.path) as stream:
            _bring_in(lease, stream, is_stopping=is_stopping)
    except LeaseLost:
        log.warning("lost the import to another attempt", import_id=str(import_id))
        return
    except _Stopped:
        with transaction() as session:
            corpus.give_back_import(session, import_id=import_id, attempt=lease.attempt)
        return
    except AppError as error:  # the upload is gone
        _fail(lease, Tally(), error.detail)
    with suppress(OSError, AppError):
        artifacts.remove(f"imports/{import_id}")


def import_file(
    *,
    project_id: UUID,
    file: Path,
    by: UUID | None = None,
    format: str = "auto",  # noqa: A002
    skip_bad_lines: bool = False,
    report: Callable[[int], None] = lambda _rows: None,
) -> Import:
    """Bring a local file in at once, for `touchstone import`; `report` hears the rows read."""
    with transaction() as session:
        row = corpus.new_import(
            session,
            project=found(session.get(Project, project_id)),
            by=session.get(User, by) if by else None,
            filename=file.name,
            format=format,
            skip_bad_lines=skip_bad_lines,
            size=file.stat().st_size,
        )
        import_id = row.id
    lease = found(_start(import_id))
    try:
        with file.open("rb") as stream:
            _bring_in(lease, stream, report=report)
    except BaseException:  # Ctrl-C too: nothing may look as if it still ran
        with suppress(LeaseLost):
            _fail(lease, Tally(), "The import was interrupted, so nothing was imported.")
        raise
    with transaction() as session:
        row = session.get_one(Import, import_id)
        session.expunge(row)
    return row


def _start(import_id: UUID) -> Lease | None:
    with transaction() as session:
        row = corpus.start_import(session, import_id=import_id, now=database_now(session))
        if row is None:
            return None
        return Lease(
            row.id,
            row.attempt,
            row.project_id,
            row.path,
            row.format,
            row.skip_bad_lines,
            row.created_by,
        )


def _bring_in(
    lease: Lease,
    stream: IO[bytes],
    *,
    is_stopping: Callable[[], bool] = lambda: False,
    report: Callable[[int], None] = lambda _rows: None,
) -> None:
    """Import the stream, and end the import's row one way or the other.

    Raises `LeaseLost` or `_Stopped`, and then nothing has been imported nor ended.
    """
    tally = Tally()
    try:
        with transaction() as session:
            _write_all(session, lease, stream, tally, is_stopping=is_stopping, report=report)
            corpus.finish_import(
                session,
                import_id=lease.import_id,
                attempt=lease.attempt,
                errors=tally.errors,
                **tally.figures(),
            )
    except _Refused:
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
        _fail(lease, tally, f"{error} Nothing was imported.")
    except (LeaseLost, _Stopped):
        raise
    except AppError as error:
        _fail(lease, tally, error.detail)
    except Exception:
        _fail(lease, tally, "This is our mistake, and the worker's log has the details. Try again.")
        raise
    report(tally.read)


def _fail(lease: Lease, tally: Tally, error: str) -> None:
    tally.imported = tally.skipped = 0
    with transaction() as session:
        corpus.finish_import(
            session,
            import_id=lease.import_id,
            attempt=lease.attempt,
            error=error,
            errors=tally.errors,
            **tally.figures(),
        )


def _write_all(
    session: Session,
    lease: Lease,
    stream: IO[bytes],
    tally: Tally,
    *,
    is_stopping: Callable[[], bool],
    report: Callable[[int], None],
) -> None:
    """Read every row, for the report names them all; write the good ones while that is allowed."""
    session.execute(
        select(func.pg_advisory_xact_lock(IMPORT_LOCK, func.hashtext(str(lease.project_id))))
    )
    project = session.get_one(Project, lease.project_id)
    by = session.get(User, lease.by) if lease.by else None
    limits = Limits(
        file_bytes=settings.max_import_mb * 10**6,
        line_bytes=settings.max_line_mb * 10**6,
        rows=settings.max_import_rows,
    )
    batch: list[ImportedTask] = []
    size = 0
    due = time.monotonic() + PROGRESS_EVERY
    for read in _checked(read_file(stream, format=lease.format, limits=limits), project=project):
        tally.read += 1
        tally.format = tally.format or read.format
        if read.problem is not None:
            tally.reject(read.line, read.problem)
        elif read.task is not None and (lease.skip_bad_lines or not tally.rejected):
            batch.append(read.task)
            size += read.size
        if len(batch) == BATCH or size > BATCH_SIZE:
            _write(session, batch, tally, lease=lease, project=project, by=by)
            batch, size = [], 0
        if time.monotonic() > due:
            if is_stopping():
                raise _Stopped
            _show_progress(lease, tally)
            report(tally.read)
            due = time.monotonic() + PROGRESS_EVERY
    if tally.rejected and not lease.skip_bad_lines:
        raise _Refused
    _write(session, batch, tally, lease=lease, project=project, by=by)
    projects.follow_overlap(session, project=project)


def _show_progress(lease: Lease, tally: Tally) -> None:
    """In a transaction of its own, so that others see it while ours is open."""
    with transaction() as session:
        corpus.note_progress(
            session, import_id=lease.import_id, attempt=lease.attempt, **tally.figures()
        )


def _checked(rows: Iterator[Read], *, project: Project) -> Iterator[Read]:
    """The rows, with those refused that this project cannot hold."""
    for read in rows:
        try:
            if read.task is not None:
                _check(read.task, project=project)
        except BadLine as error:
            yield Read(read.line, format=read.format, problem=str(error))
        else:
            yield read


def _check(task: ImportedTask, *, project: Project) -> None:
    gold = task.gold
    if gold is not None and not task_rules.is_consistent(
        len(task.responses), prefers=[(i, j) for i, j in gold.prefers], equal=gold.equal
    ):
        raise BadLine("“gold” contradicts itself: its pairs form a cycle, so no order is right.")
    for number, judgement in enumerate(task.annotations, 1):
        if judgement.strength is not None and judgement.strength > project.strength_levels:
            raise BadLine(
                f"annotation {number} has the strength {judgement.strength}, and this project has "
                f"{project.strength_levels} levels. Raise them in the settings, or remove it."
            )
        _check_ratings(judgement.ratings, number=number, project=project)
        unknown = {flag for flags in judgement.flags for flag in flags} - FLAGS.keys()
        if unknown:
            raise BadLine(
                f"annotation {number} has the flag “{min(unknown)[:80]}”; there are "
                f"{', '.join(FLAGS)}."
            )


def _check_ratings(
    ratings: Mapping[str, Sequence[int | None]], *, number: int, project: Project
) -> None:
    criteria = {each["key"]: each for each in project.criteria}
    for key, values in ratings.items():
        if key not in criteria:
            has = f"has {', '.join(criteria)}" if criteria else "has none"
            raise BadLine(
                f"annotation {number} rates “{key[:80]}”, and this project {has}. Add the "
                "criterion in the settings, or remove the ratings."
            )
        low, high = criteria[key]["min"], criteria[key]["max"]
        if any(value is not None and not low <= value <= high for value in values):
            raise BadLine(
                f"annotation {number} has a rating of “{key}” outside {low} to {high}, which is "
                "the scale of this project."
            )


def _write(
    session: Session,
    batch: Sequence[ImportedTask],
    tally: Tally,
    *,
    lease: Lease,
    project: Project,
    by: User | None,
) -> None:
    if batch:
        added = write_batch(session, batch, project=project, by=by, import_id=lease.import_id)
        tally.imported += added
        tally.skipped += len(batch) - added
