"""Rehearsals: asked for by people, carried out by one attempt of a worker, gone after a day."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import delete, func, update
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.service import audit
from app.datasets.models import Snapshot
from app.db import JobState
from app.errors import Invalid, LeaseLost
from app.jobs import JobName, defer
from app.run_config import to_mapping
from app.runs import rules
from app.runs.models import RunCheck
from app.runs.schemas import RunBody
from app.runs.service.launching import wanted
from app.runs.service.lease import Lease, held

KEPT = timedelta(days=1)
OPEN = (JobState.QUEUED, JobState.RUNNING)


def request_check(session: Session, *, snapshot: Snapshot, body: RunBody, by: User) -> RunCheck:
    """Queue a rehearsal of the run; one that the same person still waits for is given up.

    Raises `Invalid` as a launch does, and where a model that it needs is not there yet.
    """
    asked = wanted(session, snapshot=snapshot, body=body)
    if asked.after is not None and asked.parent is None:
        raise _not_yet("base", asked.after.name)
    if body.reward_run_id is not None and asked.reward is None:
        raise _not_yet("reward_run_id", "the run of its reward model")
    session.execute(
        update(RunCheck)
        .where(
            RunCheck.project_id == snapshot.project_id,
            RunCheck.created_by == by.id,
            RunCheck.state.in_(OPEN),
        )
        .values(state=JobState.CANCELLED, finished_at=func.now())
    )
    check = RunCheck(
        id=uuid4(),
        project_id=snapshot.project_id,
        snapshot_id=snapshot.id,
        kind=body.kind,
        base=body.base.model_dump(mode="json", exclude_none=True),
        parent_checkpoint_id=asked.parent.id if asked.parent else None,
        reward_checkpoint_id=asked.reward.id if asked.reward else None,
        config=to_mapping(asked.config),
        created_by=by.id,
    )
    session.add(check)
    session.flush()  # the answer shows its time and state
    audit(
        session,
        user=by,
        action="run.check",
        target=f"run check {check.id}",
        project_id=check.project_id,
        kind=check.kind.value,
    )
    defer(session, JobName.CHECK_RUN, check_id=str(check.id))
    return check


def start_check(session: Session, *, check_id: UUID) -> Lease | None:
    """Take it as a new attempt, also from a worker that was lost; None where it is over."""
    attempt = session.scalar(
        update(RunCheck)
        .where(RunCheck.id == check_id, RunCheck.state.in_(OPEN))
        .values(
            state=JobState.RUNNING, attempt=RunCheck.attempt + 1, seen_at=func.now(), activity=None
        )
        .returning(RunCheck.attempt)
    )
    return None if attempt is None else Lease(check_id, attempt)


def hold_check(session: Session, *, lease: Lease, **values: Any) -> bool:
    """Say that the attempt lives; `LeaseLost` where it is given up or another attempt has it."""
    _write(session, lease, seen_at=func.now(), **values)
    return False


def finish_check(session: Session, *, lease: Lease, report: Mapping[str, Any]) -> None:
    _close(session, lease, JobState.SUCCEEDED, report=rules.storable(report))


def fail_check(session: Session, *, lease: Lease, error: str, field: str) -> None:
    """End it with what stands in the way of the run, and the field of the form it belongs to."""
    _close(session, lease, JobState.FAILED, error=rules.storable(error), field=field)


def release_check(session: Session, *, lease: Lease) -> None:
    """Put it back for another worker, because this one stops."""
    _write(session, lease, state=JobState.QUEUED)
    defer(session, JobName.CHECK_RUN, check_id=str(lease.id))


def delete_old_checks(session: Session, *, now: datetime) -> int:
    """Throw away those that nobody looks at any more; how many."""
    gone = session.scalars(
        delete(RunCheck).where(RunCheck.created_at < now - KEPT).returning(RunCheck.id)
    ).all()
    return len(gone)


def _close(session: Session, lease: Lease, state: JobState, **values: Any) -> None:
    _write(session, lease, state=state, finished_at=func.now(), activity=None, **values)


def _write(session: Session, lease: Lease, **values: Any) -> None:
    if session.scalar(held(RunCheck, lease).values(**values).returning(RunCheck.id)) is None:
        raise LeaseLost(lease)


def _not_yet(field: str, name: str) -> Invalid:
    message = (
        f"It builds on {name}, whose model is not there yet: it can be checked once that run has "
        "succeeded."
    )
    return Invalid(message, errors=[{"field": field, "message": message}])
