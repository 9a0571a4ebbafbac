"""The job that brings a file into a project: corpus, tasks and judgements in one transaction.

All of a file or nothing of it stands, whenever a worker dies; the CLI calls the same code.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO
from uuid import UUID

import structlog
from procrastinate import JobContext
from sqlalchemy.exc import DBAPIError, OperationalError

from app import artifacts
from app.accounts.models import User
from app.corpus import service as corpus
from app.corpus.formats import BadFile
from app.corpus.models import Import
from app.db import transaction
from app.errors import AppError, LeaseLost, Stopped, found
from app.jobs import JobName, queue
from app.projects.models import Project
from app.worker.imports.attempt import (
    Lease,
    Refused,
    Tally,
    fail,
    give_back,
    keep_refused,
    start,
)
from app.worker.imports.bringing import Report, write_all
from app.worker.imports.upkeep import clear_forgotten, clear_staged, remove_staged

log = structlog.get_logger(__name__)

PASSING = {"08", "40", "57"}  # SQLSTATE of connections, of deadlocks, of a server that stops


def silent(_bytes: int, _rows: int) -> None:
    """Report to nobody."""


@queue.task(name=JobName.IMPORT, pass_context=True)
def import_upload(context: JobContext, *, import_id: str) -> None:
    """Bring a staged upload in; a worker that is told to stop puts it back into the queue."""
    stopping = context.additional_context.get("stopping")
    run_import(UUID(import_id), is_stopping=stopping.is_set if stopping else lambda: False)


def run_import(import_id: UUID, *, is_stopping: Callable[[], bool] = lambda: False) -> None:
    """Bring in a staged upload, unless it has ended already; its row says how it went."""
    lease = start(import_id)
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
    except Stopped:
        give_back(lease)
        return
    except AppError as error:  # the upload is gone
        fail(lease, Tally(), error.detail)
    if not lease.dry_run:  # what was only checked waits to be brought in
        remove_staged(import_id)


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
    lease = found(start(import_id))
    try:
        with file.open("rb") as stream:
            _bring_in(lease, stream, report=report)
    except BaseException:  # Ctrl-C too: nothing may look as if it still ran
        with suppress(LeaseLost, OperationalError):
            fail(lease, Tally(), "The import was interrupted, so nothing was imported.")
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


def _bring_in(
    lease: Lease,
    stream: IO[bytes],
    *,
    is_stopping: Callable[[], bool] = lambda: False,
    report: Report = silent,
) -> None:
    """Import the stream, and end the import's row one way or the other.

    Raises `LeaseLost` or `Stopped`, and then nothing has been imported nor ended.
    """
    tally = Tally()
    try:
        with transaction() as session:
            write_all(session, lease, stream, tally, is_stopping=is_stopping, report=report)
            if lease.dry_run:
                session.rollback()
                tally.findings.tell_people(session, project_id=lease.project_id)
            keep_refused(lease, tally, stream)
            corpus.finish_import(
                session,
                import_id=lease.import_id,
                attempt=lease.attempt,
                **tally.outcome(lease),
            )
    except Refused:
        keep_refused(lease, tally, stream)
        lines = "1 line was" if tally.rejected == 1 else f"{tally.rejected:,} lines were"
        fail(
            lease,
            tally,
            f"{lines} refused, so nothing was imported. Mend the file, or import it again and "
            "skip bad lines.",
        )
    except BadFile as error:
        if error.line is not None:
            tally.reject(error.line, str(error))
            keep_refused(lease, tally, stream)
        fail(lease, tally, f"{error} Nothing was imported.")
    except (LeaseLost, Stopped):
        raise
    except AppError as error:
        fail(lease, tally, error.detail)
    except Exception as error:
        if isinstance(error, DBAPIError) and _may_pass(error):
            log.warning("the database broke off an import", error=str(error.orig))
            raise Stopped from error
        fail(lease, tally, "This is our mistake, and the worker's log has the details. Try again.")
        raise
    finally:
        tally.findings.refusals.close()
    report(tally.bytes_read, tally.read)


def _may_pass(error: DBAPIError) -> bool:
    """Whether another try may go well: the server was lost, or chose one of two that waited."""
    state = getattr(error.orig, "sqlstate", None) or ""
    return error.connection_invalidated or state[:2] in PASSING
