"""The right of a worker to write, and the life of work that one attempt at a time carries out."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Update, func, select, update
from sqlalchemy.orm import Session

from app.db import JobState
from app.errors import LeaseLost
from app.jobs import JobName, defer
from app.runs.rules import storable


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write about a run (or a generation, …): its id and the attempt that holds it."""

    id: UUID
    attempt: int


def held(table: Any, lease: Lease) -> Update:
    """An update of the row as long as the attempt has it: without a row, the lease is lost."""
    return update(table).where(
        table.id == lease.id, table.attempt == lease.attempt, table.state == JobState.RUNNING
    )


@dataclass(frozen=True, slots=True)
class Work:
    """A kind of work: its table, its job, and what the job calls the row's id.

    `lane_of` says by which lane a row goes, where that is not the one of the job.
    The table has `state`, `attempt`, `seen_at`, `started_at`, `finished_at`, `error` and
    `cancel_requested_at`. Every write but `begin` raises `LeaseLost` where another attempt has it.
    """

    table: Any
    job: JobName
    key: str
    lane_of: Callable[[Session, UUID], str] | None = None

    def begin(self, session: Session, identity: UUID) -> Lease | None:
        """Take what waits as a new attempt; None where there is nothing to take."""
        attempt = session.scalar(
            update(self.table)
            .where(self.table.id == identity, self.table.state == JobState.QUEUED)
            .values(
                state=JobState.RUNNING,
                attempt=self.table.attempt + 1,
                seen_at=func.now(),
                started_at=func.now(),
                error=None,
            )
            .returning(self.table.attempt)
        )
        return None if attempt is None else Lease(identity, attempt)

    def hold(self, session: Session, *, lease: Lease, **values: Any) -> bool:
        """Say that the attempt lives, with new `values`; True when somebody asked to cancel it."""
        return self._write(session, lease, seen_at=func.now(), **values) is not None

    def end(
        self,
        session: Session,
        *,
        lease: Lease,
        state: JobState,
        error: str | None = None,
        **values: Any,
    ) -> None:
        ended = {"state": state, "finished_at": func.now(), "seen_at": func.now()}
        self._write(session, lease, **ended, error=storable(error), **values)

    def release(self, session: Session, *, lease: Lease) -> None:
        """Put it back into the queue, because its worker stops or was lost."""
        self._write(session, lease, state=JobState.QUEUED)
        ids: dict[str, Any] = {self.key: str(lease.id)}
        lane = self.lane_of(session, lease.id) if self.lane_of else None
        defer(session, self.job, queue_name=lane, **ids)

    def requeue_lost(self, session: Session, *, silent_for: timedelta) -> int:
        """Take work from workers that have not been heard of; how much."""
        silent = session.scalars(
            select(self.table)
            .where(
                self.table.state == JobState.RUNNING,
                self.table.seen_at < func.now() - silent_for,
            )
            .with_for_update(skip_locked=True)
        ).all()
        for row in silent:
            lease = Lease(row.id, row.attempt)
            if row.cancel_requested_at is not None:
                self.end(session, lease=lease, state=JobState.CANCELLED)
            else:
                self.release(session, lease=lease)
        return len(silent)

    def _write(self, session: Session, lease: Lease, **values: Any) -> Any:
        """When somebody asked to cancel it, None for never."""
        statement = held(self.table, lease).values(**values)
        row = session.execute(statement.returning(self.table.cancel_requested_at)).one_or_none()
        if row is None:
            raise LeaseLost(lease)
        return row.cancel_requested_at
