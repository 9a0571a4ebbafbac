"""The life of an import: requested, started, watched, ended."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import and_, delete, func, update
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.service import audit
from app.artifacts import put_file
from app.corpus.formats import checked_format
from app.corpus.models import Import
from app.db import JobState, JsonObject
from app.errors import Conflict, Invalid, LeaseLost
from app.jobs import JobName, defer
from app.projects.models import Project

MAX_ERRORS = 1000  # bad lines that are kept with an import
MAX_FILENAME = 200


def request_import(
    session: Session,
    *,
    project: Project,
    by: User,
    upload: Path,
    filename: str,
    format: str,  # noqa: A002
    skip_bad_lines: bool,
    dry_run: bool = False,
) -> Import:
    """Stage an uploaded file and queue its import; `upload` is gone afterwards.

    With `dry_run` the file is only checked, and waits for `commit_check` or `discard_check`.
    """
    row = new_import(
        session,
        project=project,
        by=by,
        filename=filename,
        format=format,
        skip_bad_lines=skip_bad_lines,
        size=upload.stat().st_size,
        dry_run=dry_run,
    )
    row.path = put_file(upload, to=f"imports/{row.id}/upload").path
    session.flush()  # the job refers to the row
    defer(session, JobName.IMPORT, import_id=str(row.id))
    action = "import.check" if dry_run else "import"
    audit(session, user=by, action=action, target=row.filename, project_id=project.id)
    return row


def new_import(
    session: Session,
    *,
    project: Project,
    by: User | None,
    filename: str,
    format: str,  # noqa: A002
    skip_bad_lines: bool,
    size: int,
    dry_run: bool = False,
) -> Import:
    """The row of an import that has not begun; it has no staged file yet."""
    if size == 0:
        raise Invalid("The file is empty, so there is nothing to import.")
    name = "".join(sign for sign in filename if sign.isprintable()).strip() or "upload"
    row = Import(
        id=uuid4(),
        project_id=project.id,
        filename=name[-MAX_FILENAME:],
        format=checked_format(format),
        skip_bad_lines=skip_bad_lines,
        dry_run=dry_run,
        path="",
        bytes=size,
        created_by=by.id if by else None,
    )
    session.add(row)
    return row


def start_import(session: Session, *, import_id: UUID, now: datetime) -> Import | None:
    """Take an import that waits, or whose worker died; None when it has ended already.

    Raises the attempt, so that whatever an earlier worker still writes matches no row.
    """
    return session.scalar(
        update(Import)
        .where(Import.id == import_id, Import.state.in_([JobState.QUEUED, JobState.RUNNING]))
        .values(
            state=JobState.RUNNING,
            attempt=Import.attempt + 1,
            seen_at=now,
            bytes_read=0,
            rows_read=0,
            rows_imported=0,
            rows_skipped=0,
            rows_rejected=0,
            errors=[],
        )
        .returning(Import),
        execution_options={"populate_existing": True},
    )


def note_progress(session: Session, *, import_id: UUID, attempt: int, **figures: Any) -> None:
    """Show how far an import is; `LeaseLost` when another attempt has it or it was cancelled."""
    _guarded(
        session, import_id=import_id, attempt=attempt, seen_at=func.clock_timestamp(), **figures
    )


def finish_import(
    session: Session,
    *,
    import_id: UUID,
    attempt: int,
    error: str | None = None,
    errors: Sequence[JsonObject] = (),
    **figures: Any,
) -> None:
    """End an import; in the transaction of its rows, so that both stand or neither does."""
    _guarded(
        session,
        import_id=import_id,
        attempt=attempt,
        state=JobState.FAILED if error else JobState.SUCCEEDED,
        error=error,
        errors=list(errors)[:MAX_ERRORS],
        finished_at=func.clock_timestamp(),
        **figures,
    )


def _guarded(session: Session, *, import_id: UUID, attempt: int, **values: Any) -> None:
    held = session.scalar(
        update(Import)
        .where(Import.id == import_id, Import.attempt == attempt, Import.state == JobState.RUNNING)
        .values(**values)
        .returning(Import.id)
    )
    if held is None:
        raise LeaseLost(import_id, attempt)


def give_back_import(session: Session, *, import_id: UUID, attempt: int) -> None:
    """Put an import back into the queue: its worker ends before it does."""
    _guarded(session, import_id=import_id, attempt=attempt, state=JobState.QUEUED)
    defer(session, JobName.IMPORT, import_id=str(import_id))


def end_interrupted(session: Session, *, silent_for: timedelta) -> Sequence[UUID]:
    """End imports from the command line whose program is gone: nothing will ever go on.

    Of a check nothing stays.
    """
    is_gone = and_(
        Import.state == JobState.RUNNING,
        Import.path == "",
        Import.seen_at < func.now() - silent_for,
    )
    session.execute(delete(Import).where(is_gone, Import.dry_run))
    return session.scalars(
        update(Import)
        .where(is_gone)
        .values(
            state=JobState.FAILED,
            error="The import was interrupted, so nothing was imported. Start it again.",
            rows_imported=0,
            rows_skipped=0,
            finished_at=func.clock_timestamp(),
        )
        .returning(Import.id)
    ).all()


def cancel_import(session: Session, *, row: Import, by: User) -> None:
    """Stop an import that has not ended; nothing of it stays."""
    cancelled = session.scalar(
        update(Import)
        .where(Import.id == row.id, Import.state.in_([JobState.QUEUED, JobState.RUNNING]))
        .values(state=JobState.CANCELLED, finished_at=func.clock_timestamp())
        .returning(Import.id)
    )
    if cancelled is None:
        raise Conflict("This import has ended already, so it cannot be cancelled.")
    audit(session, user=by, action="import.cancel", target=row.filename, project_id=row.project_id)
