"""One attempt at an import: how it starts, what it has done so far, and how it ends."""

import time
from dataclasses import dataclass, field
from typing import IO, Any
from uuid import UUID

import structlog
from sqlalchemy.exc import OperationalError

from app.config import settings
from app.corpus import service as corpus
from app.corpus.formats import Limits
from app.db import JsonObject, database_now, transaction
from app.errors import AppError, LeaseLost
from app.worker.imports.checking import Findings

log = structlog.get_logger(__name__)

GIVE_BACK = (0, 1, 2, 4, 8, 15)  # seconds to wait before each try: a server that crashed recovers
MOST_ATTEMPTS = 10
GIVEN_UP = (
    "The worker ended again and again while it read this file, so nothing was imported. Split the "
    "file, or give the worker more memory."
)


class Refused(Exception):
    """A line was refused, and the import is all or nothing."""


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


def start(import_id: UUID) -> Lease | None:
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
        fail(lease, Tally(), GIVEN_UP)
        return None
    return lease


def show_progress(lease: Lease, tally: Tally) -> None:
    """In a transaction of its own, so that others see it while ours is open."""
    with transaction() as session:
        corpus.note_progress(
            session, import_id=lease.import_id, attempt=lease.attempt, **tally.figures()
        )


def keep_refused(lease: Lease, tally: Tally, stream: IO[bytes]) -> None:
    """For the report; an import does not fail because that cannot be stored."""
    if lease.dry_run and not lease.path:  # nothing stays of it
        return
    try:
        tally.findings.keep_refused(
            stream,
            import_id=lease.import_id,
            attempt=lease.attempt,
            format=lease.format,
            limits=limits_now(),
        )
    except (OSError, AppError) as error:
        log.warning("refused lines not stored", import_id=str(lease.import_id), error=str(error))


def fail(lease: Lease, tally: Tally, error: str) -> None:
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


def give_back(lease: Lease) -> None:
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


def limits_now() -> Limits:
    return Limits(
        file_bytes=settings.max_import_mb * 10**6,
        line_bytes=settings.max_line_mb * 10**6,
        rows=settings.max_import_rows,
    )
