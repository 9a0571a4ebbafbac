"""What becomes of a file that was only checked: brought in, checked anew, or thrown away."""

from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import and_, delete, or_, select, update
from sqlalchemy.orm import Session

from app import artifacts
from app.accounts.models import User
from app.accounts.service import audit
from app.corpus.formats import checked_format
from app.corpus.models import Import
from app.db import JobState
from app.errors import AppError, Conflict
from app.jobs import JobName, defer
from app.projects.models import Project

KEPT_FOR = timedelta(days=7)
LOST_AFTER = timedelta(days=1)
FINAL = [state for state in JobState if state.is_final]
CHANGED = "This is no check that waits: it is still going on, or was brought in already."


def commit_check(session: Session, *, row: Import, by: User, skip_bad_lines: bool) -> None:
    """Queue the import of a checked file; from now on its row is that import."""
    if not row.dry_run:
        raise Conflict(CHANGED)
    if row.state is JobState.FAILED:
        raise Conflict(
            f"The check failed, so there is nothing to import. {row.error or ''}".strip()
        )
    if row.rows_rejected and not skip_bad_lines:
        lines = "1 line" if row.rows_rejected == 1 else f"{row.rows_rejected:,} lines"
        raise Conflict(
            f"{lines} would be refused, so nothing would be imported. Mend the file, or skip bad "
            "lines."
        )
    if not artifacts.exists(row.path):
        raise Conflict("The checked file is not there any more. Upload it again.")
    queued = session.scalar(
        update(Import)
        .where(Import.id == row.id, Import.dry_run, Import.state == JobState.SUCCEEDED)
        .values(
            dry_run=False,
            state=JobState.QUEUED,
            finished_at=None,
            skip_bad_lines=skip_bad_lines,
            created_by=by.id,
            rows_read=0,
            rows_imported=0,
            rows_skipped=0,
            rows_rejected=0,
            errors=[],
            report={},  # who is in it, and its first rows: that was for the decision
        )
        .returning(Import),
        execution_options={"populate_existing": True},
    )
    if queued is None:
        raise Conflict(CHANGED)
    defer(session, JobName.IMPORT, import_id=str(row.id))
    audit(session, user=by, action="import", target=row.filename, project_id=row.project_id)


def check_again(session: Session, *, row: Import, by: User, format: str) -> None:  # noqa: A002
    """Check the same file anew, as another format."""
    queued = session.scalar(
        update(Import)
        .where(Import.id == row.id, Import.dry_run, Import.state.in_(FINAL))
        .values(
            format=checked_format(format),
            state=JobState.QUEUED,
            finished_at=None,
            error=None,
            errors=[],
            report={},
        )
        .returning(Import),
        execution_options={"populate_existing": True},
    )
    if queued is None:
        raise Conflict(CHANGED)
    defer(session, JobName.IMPORT, import_id=str(row.id))
    audit(session, user=by, action="import.check", target=row.filename, project_id=row.project_id)


def discard_check(session: Session, *, row: Import, by: User) -> None:
    """Throw a checked file away, with its row: it brought nothing."""
    gone = session.scalar(
        delete(Import)
        .where(Import.id == row.id, Import.dry_run, Import.state.in_(FINAL))
        .returning(Import.id)
    )
    if gone is None:
        raise Conflict("Only a check that has ended can be thrown away. Cancel it first.")
    remove_files(row.id)
    audit(session, user=by, action="import.discard", target=row.filename, project_id=row.project_id)


def forget_check(session: Session, *, import_id: UUID) -> None:
    """Nothing stays of a check that nobody waits for."""
    session.execute(delete(Import).where(Import.id == import_id, Import.dry_run))


def expire_checks(session: Session, *, now: datetime) -> int:
    """Throw away what was checked and has waited too long; how many."""
    # From a command line that was killed: nothing will end it any more.
    is_lost = and_(Import.path == "", Import.created_at < now - LOST_AFTER)
    old = session.scalars(
        select(Import)
        .where(Import.dry_run, or_(Import.finished_at < now - KEPT_FOR, is_lost))
        .with_for_update(skip_locked=True)
    ).all()
    for row in old:
        remove_files(row.id)
        session.delete(row)
    return len(old)


def throw_checks_away(session: Session, *, project: Project) -> int:
    """Every file of the project that was checked, or is being, and not brought in; how many.

    What is in them nobody knows without reading them. A worker that reads one loses its lease.
    """
    gone = session.scalars(
        delete(Import).where(Import.project_id == project.id, Import.dry_run).returning(Import.id)
    ).all()
    for import_id in gone:
        remove_files(import_id)
    return len(gone)


def remove_files(import_id: UUID) -> None:
    for folder in ("imports", "refused"):
        with suppress(OSError, AppError):
            artifacts.remove(f"{folder}/{import_id}")
