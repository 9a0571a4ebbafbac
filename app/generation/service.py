"""New responses by a checkpoint: the life of a generation, guarded as a run's is."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import case, func, select, update
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.service import audit
from app.db import JobState
from app.errors import Conflict, Invalid, LeaseLost
from app.generation.models import Generation
from app.generation.schemas import GenerationBody
from app.jobs import JobName, defer
from app.projects.models import Project
from app.runs import queries as runs
from app.runs import rules
from app.runs.models import Checkpoint
from app.runs.service import require_weights
from app.runs.service.lease import Lease


def open_generation(
    session: Session, *, project: Project, body: GenerationBody, by: User | None
) -> Generation:
    """Queue the writing of new responses; `Invalid` where the checkpoint cannot write."""
    checkpoint = runs.checkpoint_in(
        session, project_id=project.id, checkpoint_id=body.checkpoint_id
    )
    if checkpoint is None:
        raise Invalid(
            f"checkpoint_id: there is no checkpoint {body.checkpoint_id} in this project."
        )
    if not rules.is_writer(checkpoint.kind):
        raise Invalid(
            f"“{checkpoint.name}” is a reward model, which scores and does not write. Choose a "
            "checkpoint of SFT, DPO or PPO."
        )
    require_weights(session, checkpoint=checkpoint)
    generation = Generation(
        id=uuid4(),
        project_id=project.id,
        checkpoint_id=checkpoint.id,
        config=body.model_dump(mode="json", exclude={"checkpoint_id"}),
        created_by=by.id if by else None,
    )
    session.add(generation)
    session.flush()  # the answer shows its time and state
    if by is not None:
        audit(
            session,
            user=by,
            action="generation.open",
            target=f"generation {generation.id}",
            project_id=project.id,
            checkpoint=str(checkpoint.id),
        )
    defer(session, JobName.GENERATE, generation_id=str(generation.id))
    return generation


def cancel_generation(session: Session, *, generation: Generation, by: User) -> Generation:
    """A waiting one is cancelled at once; a running one stops soon. What it wrote stays."""
    is_queued = Generation.state == JobState.QUEUED
    changed = session.scalar(
        update(Generation)
        .where(
            Generation.id == generation.id,
            Generation.state.in_([JobState.QUEUED, JobState.RUNNING]),
        )
        .values(
            state=case((is_queued, JobState.CANCELLED.value), else_=Generation.state),
            finished_at=case((is_queued, func.now()), else_=None),
            cancel_requested_at=func.coalesce(Generation.cancel_requested_at, func.now()),
        )
        .returning(Generation.id)
    )
    session.refresh(generation)
    if changed is None:
        raise Conflict(f"This generation is {generation.state} already.")
    audit(
        session,
        user=by,
        action="generation.cancel",
        target=f"generation {generation.id}",
        project_id=generation.project_id,
    )
    return generation


def resume_generation(session: Session, *, generation: Generation, by: User) -> Generation:
    """Queue a failed or cancelled one again; prompts that have their responses are not redone."""
    checkpoint = session.get_one(Checkpoint, generation.checkpoint_id)
    require_weights(session, checkpoint=checkpoint)
    queued = session.scalar(
        update(Generation)
        .where(
            Generation.id == generation.id,
            Generation.state.in_([JobState.FAILED, JobState.CANCELLED]),
        )
        .values(state=JobState.QUEUED, finished_at=None, cancel_requested_at=None, error=None)
        .returning(Generation.id)
    )
    session.refresh(generation)
    if queued is None:
        rules.must_be_final(generation.state)
    defer(session, JobName.GENERATE, generation_id=str(generation.id))
    audit(
        session,
        user=by,
        action="generation.resume",
        target=f"generation {generation.id}",
        project_id=generation.project_id,
    )
    return generation


# -- by the worker ----------------------------------------------------------------------------


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
