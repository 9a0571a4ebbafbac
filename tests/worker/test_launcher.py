"""Several processes train one run: they are launched, cancelled, and end as one would."""

import os
import shlex

import pytest
from sqlalchemy import select

from app.config import settings
from app.db import JobState, transaction
from app.runs import queries
from app.runs.models import Checkpoint
from app.worker import process
from tests.waiting import PATIENCE
from tests.worker.conftest import Workshop
from tests.worker.test_faults import is_in_order

pytestmark = [
    pytest.mark.concurrency,
    pytest.mark.skipif("LAUNCH" not in os.environ, reason="slow: set LAUNCH=1"),
]


@pytest.fixture(autouse=True)
def two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What two GPUs would get, on the CPU."""
    command = [part.replace("--multi_gpu", "--cpu") for part in process.LAUNCHER]
    command += ["--num_processes=2", "-m", "app.trainer"]
    monkeypatch.setitem(settings.__dict__, "train_command", shlex.join(command))
    monkeypatch.setitem(settings.__dict__, "train_device", "cpu")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_two_processes_are_cancelled_and_go_on_as_one(workshop: Workshop, tiny_lm: str) -> None:
    config = {"max_steps": 100_000, "save_steps": 5, "num_samples": 0, "eval_steps": 100_000}
    run_id = workshop.launch(base={"model": tiny_lm}, config=config)
    workshop.work(run_id)
    workshop.wait_for(run_id, lambda run: run.step >= 2)
    workshop.cancel(run_id)
    run = workshop.wait_for_end(run_id)
    workshop.threads[-1].join(PATIENCE)
    assert (run.state, run.error) == (JobState.CANCELLED, None)
    assert run.saved_step is not None  # each of them heard of it once
    is_in_order(workshop.run(run_id))


def test_two_processes_leave_one_checkpoint(workshop: Workshop, tiny_lm: str) -> None:
    config = {"max_steps": 4, "num_samples": 0, "eval_steps": 100_000}
    run_id = workshop.launch(base={"model": tiny_lm}, config=config)
    workshop.work(run_id).join(PATIENCE)
    run = workshop.run(run_id)
    assert (run.state, run.error, run.step) == (JobState.SUCCEEDED, None, 4)
    with transaction() as session:
        assert len(session.scalars(select(Checkpoint)).all()) == 1
        assert [row["step"] for row in queries.metrics_of(session, run=run)] == [1, 2, 3, 4]
    is_in_order(run)


def test_the_reason_of_a_failure_comes_through_the_launcher(workshop: Workshop) -> None:
    run_id = workshop.launch(base={"model": "/no/such/model"})
    workshop.work(run_id).join(PATIENCE)
    run = workshop.run(run_id)
    assert run.state is JobState.FAILED
    assert "/no/such/model" in run.error
    assert "exit code" not in run.error  # the launcher's own
    is_in_order(run)
