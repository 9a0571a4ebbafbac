"""What a worker may write about a generation: guarded by its attempt, as a run's is."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.db import JobState
from app.errors import LeaseLost
from app.generation.models import Generation
from app.jobs import JobName, defer
from app.runs import rules
from app.runs.service import Lease


def begin_generation(session: Session, *, generation_id: UUID) -> Lease | None:
    """Take a queued generation as a new attempt; None where there is nothing to take."""
    attempt = session.scalar(
        update(Generation)
        .where(Generation.id == generation_id, Generation.state == JobState.QUEUED)
        .values(
            state=JobState.RUNNING,
            attempt=Generation.attempt + 1,
            seen_at=func.now(),
            started_at=func.now(),
            error=None,
        )
        .returning(Generation.attempt)
    )
    return None if attempt is None else Lease(generation_id, attempt)


def hold_generation(session: Session, *, lease: Lease, **values: Any) -> bool:
    """Say that the attempt lives, with new `values`; True when somebody asked to cancel it."""
    row = session.execute(
        _held(lease).values(seen_at=func.now(), **values).returning(Generation.cancel_requested_at)
    ).one_or_none()
    if row is None:
        raise LeaseLost(lease)
    return row.cancel_requested_at is not None


def advance_generation(session: Session, *, lease: Lease, done: int, tasks_opened: int) -> bool:
    """Count prompts that got their responses, in the transaction that stores these."""
    return hold_generation(
        session,
        lease=lease,
        done=Generation.done + done,
        tasks_opened=Generation.tasks_opened + tasks_opened,
    )


def end_generation(
    session: Session, *, lease: Lease, state: JobState, error: str | None = None
) -> None:
    closed = session.scalar(
        _held(lease)
        .values(
            state=state,
            finished_at=func.now(),
            seen_at=func.now(),
            error=rules.storable(error),
        )
        .returning(Generation.id)
    )
    if closed is None:
        raise LeaseLost(lease)


def release_generation(session: Session, *, lease: Lease) -> None:
    """Put it back into the queue, because its worker stops or was lost."""
    freed = session.scalar(_held(lease).values(state=JobState.QUEUED).returning(Generation.id))
    if freed is None:
        raise LeaseLost(lease)
    defer(session, JobName.GENERATE, generation_id=str(lease.id))


def requeue_lost_generations(session: Session, *, silent_for: timedelta) -> int:
    """Take generations from workers that have not been heard of; the number of them."""
    silent = session.scalars(
        select(Generation)
        .where(
            Generation.state == JobState.RUNNING,
            Generation.seen_at < func.now() - silent_for,
        )
        .with_for_update(skip_locked=True)
    ).all()
    for generation in silent:
        lease = Lease(generation.id, generation.attempt)
        if generation.cancel_requested_at is not None:
            end_generation(session, lease=lease, state=JobState.CANCELLED)
        else:
            release_generation(session, lease=lease)
    return len(silent)


def _held(lease: Lease) -> Any:
    return update(Generation).where(
        Generation.id == lease.id,
        Generation.attempt == lease.attempt,
        Generation.state == JobState.RUNNING,
    )
