"""The worker as a process of its own, with the real trainer."""

import asyncio
import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import OperationalError

from app import artifacts, db
from app.db import JobState, brief_transaction, transaction
from app.jobs import JobName, defer
from app.projects.models import Project
from app.runs import queries
from app.runs.models import Checkpoint
from app.worker import main
from tests.factories import make_project, make_user
from tests.waiting import PATIENCE, until
from tests.worker.conftest import FAKE, Workshop
from tests.worker.processes import Start

pytestmark = pytest.mark.concurrency


def children_of(run_id: object) -> list[str]:
    """Command lines of live processes that work on this run."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(run_id) in command:
            found.append(command)
    return found


def test_a_run_survives_the_death_of_its_worker(
    workshop: Workshop, start_worker: Start, tiny_lm: str
) -> None:
    """F11: SIGKILL; another worker goes on from the last saved step, with one final checkpoint."""
    config = {"max_steps": 60, "save_steps": 5, "num_samples": 1, "eval_steps": 60}
    run_id = workshop.launch(base={"model": tiny_lm}, config=config)
    first = start_worker()
    saved = workshop.wait_for(run_id, lambda run: run.saved_step is not None)
    first.kill()
    first.wait()
    assert saved.state is JobState.RUNNING
    until(lambda: not children_of(run_id))  # the trainer does not outlive the worker

    start_worker()
    run = workshop.wait_for_end(run_id)
    assert (run.state, run.error, run.step) == (JobState.SUCCEEDED, None, 60)
    assert run.attempt == 2
    assert run.start_step >= 5
    with transaction() as session:
        steps = [row["step"] for row in queries.metrics_of(session, run=run)]
        assert steps == list(range(1, 61))
        checkpoint = session.scalars(select(Checkpoint)).one()
        assert checkpoint.path == f"runs/{run_id}/attempt-2/model"
    assert not artifacts.exists(f"runs/{run_id}/attempt-1")


def test_nothing_is_taken_right_after_the_database_or_this_machine_was_away(monkeypatch) -> None:
    """Whoever could not beat meanwhile gets another round first."""
    looks, stalled = [], timedelta(milliseconds=8)

    class Enough(BaseException):
        pass

    def note(name: str) -> None:
        looks.append(name)
        if len(looks) == 4:
            clock.now += 3600  # a laptop was closed
        if len(looks) == 6:
            raise OperationalError("", {}, Exception("gone"))
        if len(looks) == 7:
            clock.now += 3600  # and was away for long
        if len(looks) == 9:
            raise Enough

    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(main, "time", SimpleNamespace(time=lambda: clock.now))
    monkeypatch.setattr(main, "take_over", lambda *, silent_for: note("take over"))  # noqa: ARG005
    monkeypatch.setattr(main, "reach", lambda: note("reach"))
    # In a thread of its own: a browser of other tests keeps an event loop in this one.
    with ThreadPoolExecutor(1) as pool, pytest.raises(Enough):
        pool.submit(lambda: asyncio.run(main._take_over_again_and_again(stalled))).result()
    assert looks == [
        *("reach", "take over", "take over", "take over"),
        *("reach", "take over", "take over"),
        *("reach", "take over"),
    ]


def fake(**behaviour: object) -> dict[str, str]:
    """Variables of a worker whose trainings are the stand-in's, which takes no time to start."""
    return {"TOUCHSTONE_TRAIN_COMMAND": " ".join(FAKE), "FAKE_TRAINER": json.dumps(behaviour)}


def test_a_worker_that_is_asked_to_stop_saves_and_hands_over(
    workshop: Workshop, start_worker: Start
) -> None:
    run_id = workshop.launch(base={"model": "some/model"})
    worker = start_worker(**fake(steps=5000, pace=0.05))
    workshop.wait_for(run_id, lambda run: run.step >= 2)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE) == 0
    run = workshop.run(run_id)
    assert run.state is JobState.QUEUED
    assert run.saved_step is not None
    assert run.saved_step >= 2
    assert not children_of(run_id)


def test_a_model_folder_that_holds_no_model_is_told(
    workshop: Workshop, start_worker: Start, tmp_path: Path
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{}")
    run_id = workshop.launch(base={"model": str(tmp_path / "broken")})
    start_worker()
    run = workshop.wait_for_end(run_id)
    assert run.state is JobState.FAILED
    assert run.error is not None
    assert "no *.safetensors weights" in run.error


def test_two_workers_run_nothing_twice(workshop: Workshop, start_worker: Start) -> None:
    runs = [workshop.launch(base={"model": "some/model"}) for _ in range(6)]
    start_worker(**fake(steps=20))
    start_worker(**fake(steps=20))
    for run_id in runs:
        run = workshop.wait_for_end(run_id)
        assert (run.state, run.attempt) == (JobState.SUCCEEDED, 1)


def test_an_import_does_not_wait_for_a_training(workshop: Workshop, start_worker: Start) -> None:
    """Two lanes: a job of the data lane ends while a training goes on."""
    run_id = workshop.launch(base={"model": "some/model"})
    start_worker(**fake(steps=5000, pace=0.05))
    workshop.wait_for(run_id, lambda run: run.step >= 1)
    with transaction() as session:
        defer(session, JobName.STATISTICS, project_id=str(workshop.project_id))
    waiting = text("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'statistics'")

    def is_taken() -> bool:
        with transaction() as session:
            return not session.scalar(waiting)

    until(is_taken)
    assert workshop.run(run_id).state is JobState.RUNNING
    workshop.cancel(run_id)
    assert workshop.wait_for_end(run_id).state is JobState.CANCELLED


def test_a_database_that_comes_back_finds_every_step(
    workshop: Workshop, start_worker: Start, concurrency_engine: Engine
) -> None:
    """All connections are cut, as a restart does. A worker that ends of it is started again."""
    run_id = workshop.launch(base={"model": "some/model"})
    behaviour = fake(steps=60, pace=0.1, save=5)
    worker = start_worker(**behaviour)
    workshop.wait_for(run_id, lambda run: run.step >= 10)
    with concurrency_engine.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    deadline = time.monotonic() + PATIENCE
    while not JobState((run := workshop.run(run_id)).state).is_final:
        if worker.poll() is not None:  # `touchstone up` does this
            worker = start_worker(**behaviour)
        assert time.monotonic() < deadline, (run.state, run.step)
        time.sleep(0.2)
    assert (run.state, run.step, run.error) == (JobState.SUCCEEDED, 60, None)
    with transaction() as session:
        assert [row["step"] for row in queries.metrics_of(session, run=run)] == list(range(1, 61))


def test_a_halted_worker_holds_no_rows_for_long(
    concurrency_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others get what it had locked; when it wakes up, that is a lost connection like any other."""
    monkeypatch.setattr(db, "BRIEF", 0.2)
    with transaction() as session:
        project_id = make_project(session, "Halted", by=make_user(session, "Ada")).id
    locks = select(Project.id).where(Project.id == project_id).with_for_update()

    def halt() -> None:
        with brief_transaction() as halted:
            halted.execute(locks)
            with transaction() as other:
                assert other.scalars(locks).one() == project_id

    with pytest.raises(OperationalError):
        halt()
