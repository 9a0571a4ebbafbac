"""What imports that nobody ended leave behind, and how it is put right."""

from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from app import artifacts
from app.corpus import queries, service
from app.corpus.models import Import
from app.db import database_now, transaction
from app.errors import AppError
from app.jobs import JobName, defer

log = structlog.get_logger(__name__)

UNCLAIMED_FOR = timedelta(hours=1)  # a staged file without a row: its request was cut off
INTERRUPTED_FOR = timedelta(minutes=10)  # of silence, of an import from the command line


def requeue_lost_imports(session: Session, *, silent_for: timedelta) -> int:
    """Queue imports again that run in no job: theirs failed with the database, or was lost.

    Those from the command line have no job at all, and end where their program did.
    """
    for import_id in service.end_interrupted(session, silent_for=INTERRUPTED_FOR):
        log.info("an import from the command line was interrupted", import_id=str(import_id))
    lost = queries.imports_without_job(session, silent_for=silent_for)
    for import_id in lost:
        defer(session, JobName.IMPORT, import_id=str(import_id))
    half_undone = queries.undoings_without_job(session, silent_for=silent_for)
    for import_id in half_undone:
        defer(session, JobName.UNDO_IMPORT, import_id=str(import_id))
    return len(lost) + len(half_undone)


def clear_staged(import_id: UUID) -> None:
    """Remove the staged file of an import that has ended; the next start finds it, if not now."""
    with transaction() as session:
        is_over = queries.is_over(session, import_id=import_id)
    if is_over:
        remove_staged(import_id)


def clear_forgotten(import_id: UUID) -> None:
    """Remove the files of a check whose row went while it was read: somebody was erased."""
    with transaction() as session:
        is_gone = session.get(Import, import_id) is None
    if is_gone:
        service.remove_files(import_id)


def remove_staged(import_id: UUID) -> None:
    with suppress(OSError, AppError):
        artifacts.remove(f"imports/{import_id}")


def tidy_uploads() -> int:
    """Remove what uploads left that were cut off: workspaces, and staged files without a row."""
    removed = artifacts.remove_abandoned_workspaces()
    staged = {}
    for name in artifacts.folders("imports"):
        with suppress(ValueError):
            staged[UUID(name)] = artifacts.modified_at(f"imports/{name}/upload")
    with transaction() as session:
        before = database_now(session) - UNCLAIMED_FOR
        known = queries.known_imports(session, ids=staged)
    for import_id, modified in staged.items():
        if import_id not in known and (modified is None or modified < before):
            remove_staged(import_id)
            removed += 1
    if removed:
        log.info("removed what cut-off uploads had left", files=removed)
    return removed
