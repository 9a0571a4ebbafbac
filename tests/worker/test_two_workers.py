"""Two workers share a queue; one is killed, one is halted and wakes up: nothing runs twice."""

import signal
from uuid import UUID

import psutil
import pytest
from sqlalchemy import select

from app import artifacts
from app.config import settings
from app.db import JobState, transaction
from app.runs import queries
from app.runs.models import Checkpoint, Run, RunEvent
from tests.waiting import until
from tests.worker.conftest import Workshop
from tests.worker.processes import Start, WorkerProcess
from tests.worker.test_main import fake

pytestmark = pytest.mark.concurrency


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


def worker_of(run_id: UUID, workers: list[WorkerProcess]) -> int:
    """Which of the workers is the parent of the run's processes."""
    above = {parent.pid for pid in trainer_of(run_id) for parent in psutil.Process(pid).parents()}
    return next(number for number, worker in enumerate(workers) if worker.pid in above)


def test_a_killed_and_a_halted_worker_are_replaced(workshop: Workshop, start_worker: Start) -> None:
    runs = [workshop.launch(base={"model": "some/model"}) for _ in range(3)]
    endless = fake(steps=100_000, pace=0.1, save=5)
    workers = [start_worker(**endless), start_worker(**endless)]
    for run_id in runs[:2]:
        workshop.wait_for(run_id, lambda run: run.saved_step)
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

    steps = max(workshop.run(run_id).step for run_id in runs) + 10
    start_worker(**fake(steps=steps, save=5))
    ended = [workshop.wait_for_end(run_id) for run_id in runs]
    assert [run.state for run in ended] == [JobState.SUCCEEDED] * 3
    assert [run.attempt for run in ended] == [2, 2, 1]
    assert all(run.start_step >= 5 for run in ended[:2])

    work = settings.home_path / "work" / "runs" / str(runs[1]) / "attempt-1"
    assert work.is_dir()
    halted.send_signal(signal.SIGCONT)
    until(lambda: not work.exists())  # it has woken up, and found that it holds nothing
    with transaction() as session:
        finals = session.scalars(select(Checkpoint)).all()
        assert sorted(final.run_id for final in finals) == sorted(runs)
        for before in ended:
            run = session.get_one(Run, before.id)
            assert (run.state, run.attempt, run.step) == (before.state, before.attempt, steps)
            logged = [row["step"] for row in queries.metrics_of(session, run=run)]
            assert logged == list(range(1, steps + 1))
            starts = session.scalars(
                select(RunEvent.attempt).where(
                    RunEvent.run_id == run.id, RunEvent.kind == "started"
                )
            ).all()
            assert sorted(starts) == list(range(1, run.attempt + 1))
    for run_id in runs:
        assert artifacts.folders(f"runs/{run_id}/saved") == []
        assert not trainer_of(run_id)
