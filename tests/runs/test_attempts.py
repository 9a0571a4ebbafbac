from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.db import JobState
from app.errors import Conflict, LeaseLost
from app.projects.models import Project
from app.runs import queries, service
from app.runs.models import Checkpoint, Metric, Run, RunEvent
from app.runs.service import Lease
from tests.runs.factories import jobs_for, make_run, make_snapshot


@pytest.fixture
def run(session: Session, project: Project) -> Run:
    return make_run(session, make_snapshot(session, project))


@pytest.fixture
def lease(session: Session, run: Run) -> Lease:
    lease = service.start(session, run_id=run.id)
    assert lease is not None
    return lease


def go_silent(session: Session, run: Run, *, minutes: int = 5) -> None:
    session.execute(
        update(Run).where(Run.id == run.id).values(seen_at=func.now() - timedelta(minutes=minutes))
    )


def take_over(session: Session, run: Run) -> Lease:
    """Another worker finds the run abandoned and starts the next attempt."""
    go_silent(session, run)
    assert service.requeue_lost(session, silent_for=timedelta(minutes=1)) == 1
    lease = service.start(session, run_id=run.id)
    assert lease is not None
    return lease


def test_a_run_is_taken_once(session: Session, run: Run) -> None:
    assert service.start(session, run_id=run.id) == Lease(run.id, 1)
    assert service.start(session, run_id=run.id) is None


WRITES: dict[str, Any] = {
    "hold": lambda session, lease: service.hold(session, lease=lease),
    "record": lambda session, lease: service.record(
        session, lease=lease, metrics=[{"step": 9, "loss": 1.0}]
    ),
    "save": lambda session, lease: service.save(
        session, lease=lease, step=9, path="runs/x", sha256=""
    ),
    "succeed": lambda session, lease: service.succeed(
        session, lease=lease, path="runs/zombie", files=[], result={}
    ),
    "fail": lambda session, lease: service.fail(session, lease=lease, error="zombie"),
    "cancelled": lambda session, lease: service.cancelled(session, lease=lease),
    "release": lambda session, lease: service.release(session, lease=lease, reason="zombie"),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_worker_that_lost_the_run_writes_nothing(
    session: Session, run: Run, lease: Lease, write: str
) -> None:
    second = take_over(session, run)
    assert second.attempt == 2
    session.commit()
    with pytest.raises(LeaseLost):
        WRITES[write](session, lease)
    session.rollback()
    session.refresh(run)
    assert (run.state, run.attempt, run.step, run.path) == (JobState.RUNNING, 2, 0, None)
    assert session.scalars(select(Metric).where(Metric.run_id == run.id)).all() == []
    assert queries.final_checkpoint(session, run=run) is None
    service.hold(session, lease=second)  # the rightful one writes on


@pytest.mark.parametrize("write", WRITES)
def test_nothing_is_written_after_the_end(
    session: Session, run: Run, lease: Lease, write: str
) -> None:
    service.succeed(session, lease=lease, path="runs/a", files=[], result={"steps": 3})
    session.commit()
    with pytest.raises(LeaseLost):
        WRITES[write](session, lease)


def test_success_registers_exactly_one_checkpoint(session: Session, run: Run, lease: Lease) -> None:
    from app.artifacts import StoredFile, folder_digest

    files = [StoredFile("model.safetensors", 5, "a" * 64), StoredFile("config.json", 2, "b" * 64)]
    service.succeed(
        session,
        lease=lease,
        path="runs/a/attempt-1",
        files=files,
        result={"steps": 12, "metrics": {"loss": 0.5}},
    )
    checkpoint = session.scalars(select(Checkpoint).where(Checkpoint.run_id == run.id)).one()
    assert checkpoint.path == "runs/a/attempt-1/model"
    assert (checkpoint.bytes, checkpoint.step) == (7, 12)
    assert checkpoint.sha256 == folder_digest(files)
    session.refresh(run)
    assert (run.state, run.step, run.metrics["loss"]) == (JobState.SUCCEEDED, 12, 0.5)
    assert run.finished_at is not None


def test_curves_keep_every_metric_of_a_step(session: Session, run: Run, lease: Lease) -> None:
    service.record(
        session,
        lease=lease,
        metrics=[{"step": 1, "loss": 2.0}, {"step": 1, "eval_loss": 3.0}, {"step": 2, "loss": 1.0}],
    )
    service.record(session, lease=lease, metrics=[{"step": 2, "eval_loss": float("nan")}])
    assert queries.metrics_of(session, run=run) == [
        {"step": 1, "loss": 2.0, "eval_loss": 3.0},
        {"step": 2, "loss": 1.0, "eval_loss": None},
    ]
    session.refresh(run)
    assert run.step == 2
    assert run.metrics == {"loss": 1.0, "eval_loss": None}
    assert queries.metrics_of(session, run=run, after_step=1)[0]["step"] == 2


def test_steps_made_again_after_a_loss_count_once(session: Session, run: Run, lease: Lease) -> None:
    steps = [{"step": step, "loss": 1.0} for step in range(1, 10)]
    service.record(session, lease=lease, metrics=steps)
    service.record(session, lease=lease, samples=[{"step": 8, "response": "forgotten"}])
    service.save(session, lease=lease, step=6, path="runs/saved-6", sha256="")
    second = take_over(session, run)
    session.refresh(run)
    assert (run.start_step, run.step) == (6, 6)
    service.record(session, lease=second, metrics=[{"step": 7, "loss": 7.0}])
    service.record(session, lease=second, samples=[{"step": 7, "response": "kept"}])
    session.refresh(run)
    curve = queries.metrics_of(session, run=run)
    assert [(row["step"], row["loss"]) for row in curve] == [
        *((step, 1.0) for step in range(1, 7)),
        (7, 7.0),
    ]
    assert [row["response"] for row in queries.samples_of(session, run=run)] == ["kept"]


def test_cancelling_a_waiting_run_ends_it_at_once(session: Session, run: Run, ada: User) -> None:
    service.cancel(session, run=run, by=ada)
    assert run.state is JobState.CANCELLED
    assert service.start(session, run_id=run.id) is None


def test_cancelling_a_running_run_is_told_to_its_worker(
    session: Session, run: Run, lease: Lease, ada: User
) -> None:
    assert service.hold(session, lease=lease) is False
    service.cancel(session, run=run, by=ada)
    assert run.state is JobState.RUNNING
    assert service.hold(session, lease=lease) is True
    service.cancelled(session, lease=lease)
    session.refresh(run)
    assert run.state is JobState.CANCELLED


def test_a_run_that_has_ended_cannot_be_cancelled(
    session: Session, run: Run, lease: Lease, ada: User
) -> None:
    service.succeed(session, lease=lease, path="runs/a", files=[], result={})
    with pytest.raises(Conflict, match="succeeded already"):
        service.cancel(session, run=run, by=ada)
    with pytest.raises(Conflict, match="nothing to resume"):
        service.resume(session, run=run, by=ada)


def test_a_cancelled_run_is_resumed_from_its_last_saved_step(
    session: Session, run: Run, lease: Lease, ada: User
) -> None:
    service.save(session, lease=lease, step=40, path="runs/saved-40", sha256="")
    service.cancel(session, run=run, by=ada)
    service.cancelled(session, lease=lease)
    service.resume(session, run=run, by=ada)
    assert (run.state, run.finished_at, run.cancel_requested_at) == (JobState.QUEUED, None, None)
    assert jobs_for(session, run.id) == 1
    second = service.start(session, run_id=run.id)
    assert second == Lease(run.id, 2)
    session.refresh(run)
    assert (run.start_step, run.step) == (40, 40)
    assert service.hold(session, lease=second) is False


def test_a_newer_saved_step_replaces_the_older(session: Session, run: Run, lease: Lease) -> None:
    about = {"lease": lease, "sha256": "0" * 64}
    assert service.save(session, step=5, path="runs/five", **about) == []
    assert service.save(session, step=10, path="runs/ten", **about) == []  # both can be resumed
    assert service.save(session, step=15, path="runs/fifteen", **about) == ["runs/five"]


def test_a_stopping_worker_puts_the_run_back(session: Session, run: Run, lease: Lease) -> None:
    service.release(session, lease=lease, reason="The worker was stopped.")
    session.refresh(run)
    assert run.state is JobState.QUEUED
    assert jobs_for(session, run.id) == 1


def test_only_silent_runs_are_taken_over(session: Session, run: Run, lease: Lease) -> None:
    assert service.requeue_lost(session, silent_for=timedelta(minutes=1)) == 0
    go_silent(session, run)
    assert service.requeue_lost(session, silent_for=timedelta(minutes=1)) == 1
    assert jobs_for(session, run.id) == 1
    assert service.requeue_lost(session, silent_for=timedelta(minutes=1)) == 0


def test_a_lost_run_that_was_to_be_cancelled_is_cancelled(
    session: Session, run: Run, lease: Lease, ada: User
) -> None:
    service.cancel(session, run=run, by=ada)
    go_silent(session, run)
    service.requeue_lost(session, silent_for=timedelta(minutes=1))
    session.refresh(run)
    assert run.state is JobState.CANCELLED


def test_a_run_that_kills_every_worker_is_given_up(
    session: Session, run: Run, lease: Lease, ada: User
) -> None:
    take_over(session, run)
    take_over(session, run)
    go_silent(session, run)
    service.requeue_lost(session, silent_for=timedelta(minutes=1))
    session.refresh(run)
    assert run.state is JobState.FAILED
    assert run.error is not None
    assert "3 times" in run.error
    service.resume(session, run=run, by=ada)  # a person may try again, and the count starts anew
    assert service.start(session, run_id=run.id) is not None
    take_over(session, run)


def test_the_end_of_a_run_is_told_with_its_log(session: Session, run: Run, lease: Lease) -> None:
    service.fail(session, lease=lease, error="The data is odd.", log="line 1\nline 2\0")
    events = {event.kind: event.message for event in queries.events_of(session, run=run)}
    assert events["log"] == "line 1\nline 2\ufffd"
    assert events["failed"] == "The data is odd."


def test_the_database_refuses_a_second_final_checkpoint(
    session: Session, run: Run, lease: Lease
) -> None:
    service.succeed(session, lease=lease, path="runs/a", files=[], result={})
    from sqlalchemy.exc import IntegrityError

    from tests.runs.factories import make_checkpoint

    project = session.get(Project, run.project_id)
    assert project is not None
    with pytest.raises(IntegrityError):
        make_checkpoint(session, project, run=run)


def test_events_are_in_order(session: Session, run: Run, lease: Lease) -> None:
    service.release(session, lease=lease, reason="The worker was stopped.")
    kinds = session.scalars(
        select(RunEvent.kind).where(RunEvent.run_id == run.id).order_by(RunEvent.id)
    ).all()
    assert kinds == ["started", "queued"]
    assert session.scalar(text("SELECT count(*) FROM procrastinate_jobs")) == 1
