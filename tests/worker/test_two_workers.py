"""Two workers share a queue; one is killed, one is halted and wakes up: nothing runs twice."""

import signal
import subprocess
import time
from collections.abc import Callable
from uuid import UUID

import psutil
import pytest
from sqlalchemy import select

from app import artifacts
from app.db import JobState, transaction
from app.runs import queries
from app.runs.models import Checkpoint, Metric, RunEvent
from tests.worker.conftest import Workshop
from tests.worker.processes import Start
from tests.worker.test_main import fake

pytestmark = pytest.mark.concurrency
STEPS = 40


def until(what: Callable[[], object], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def trainer_of(run_id: UUID) -> list[int]:
    """Numbers of the processes that work on this run, as long as they do."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(run_id) in " ".join(process.cmdline()) and process.status() != "zombie":
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def worker_of(run_id: UUID, workers: list["subprocess.Popen[bytes]"]) -> int:
    """Which of the workers is the parent of the run's processes."""
    above = {parent.pid for pid in trainer_of(run_id) for parent in psutil.Process(pid).parents()}
    return next(number for number, worker in enumerate(workers) if worker.pid in above)


def test_a_killed_and_a_halted_worker_are_replaced(workshop: Workshop, start_worker: Start) -> None:
    runs = [workshop.launch(base={"model": "some/model"}) for _ in range(3)]
    behaviour = fake(steps=STEPS, pace=0.1, save=5)
    workers = [start_worker(**behaviour), start_worker(**behaviour)]
    for run_id in runs[:2]:
        workshop.wait_for(run_id, lambda run: run.saved_step, seconds=60)
    owners = [worker_of(run_id, workers) for run_id in runs[:2]]
    assert sorted(owners) == [0, 1]  # one each; the third waits
    assert workshop.run(runs[2]).state is JobState.QUEUED

    killed, halted = (workers[owner] for owner in owners)
    halted.send_signal(signal.SIGSTOP)
    killed.kill()
    killed.wait()
    until(lambda: not trainer_of(runs[0]))  # it does not outlive its worker …
    until(lambda: not trainer_of(runs[1]))  # … nor a halted one for long
    assert psutil.Process(halted.pid).status() == psutil.STATUS_STOPPED

    start_worker(**behaviour)
    workshop.wait_for(runs[1], lambda run: run.attempt == 2, seconds=60)
    halted.send_signal(signal.SIGCONT)
    for run_id in runs:
        run = workshop.wait_for_end(run_id, seconds=120)
        assert (run.state, run.error, run.step) == (JobState.SUCCEEDED, None, STEPS)
    taken_up = [workshop.run(run_id) for run_id in runs[:2]]
    assert [run.attempt for run in taken_up] == [2, 2]
    assert all(run.start_step >= 5 for run in taken_up)
    until(lambda: not [pid for run_id in runs for pid in trainer_of(run_id)])
    with transaction() as session:
        finals = session.scalars(select(Checkpoint)).all()
        assert sorted(final.run_id for final in finals) == sorted(runs)
        for run in taken_up:
            steps = [row["step"] for row in queries.metrics_of(session, run=run)]
            assert steps == list(range(1, STEPS + 1))
            starts = session.scalars(
                select(RunEvent.attempt).where(
                    RunEvent.run_id == run.id, RunEvent.kind == "started"
                )
            ).all()
            assert starts == [1, 2]
            attempts = session.scalars(
                select(Metric.attempt).where(Metric.run_id == run.id).distinct()
            ).all()
            assert sorted(attempts) == [1, 2]
    for run_id in runs:
        assert artifacts.folders(f"runs/{run_id}/saved") == []
