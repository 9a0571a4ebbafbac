"""The database dies in the middle of a training, twice, as in a power cut; the run goes on."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy.exc import DBAPIError

from app import postgres
from app.config import settings
from app.db import JobState, SessionLocal, connect, transaction
from app.postgres.machine import wait_for_end
from app.runs import queries
from app.runs.models import Run
from app.schema import migrate
from app.worker import beginning, process
from tests.setup.processes import wait_until
from tests.worker.conftest import Workshop
from tests.worker.processes import FAKE, workers
from tests.worker.test_faults import is_in_order

pytestmark = pytest.mark.concurrency

STEPS = 40
PATIENCE = 120  # seconds, on a busy machine


def with_the_stand_in() -> None:
    """For the trainer, in a worker's process."""
    beginning.TRAINER = process.TRAINER = FAKE


@pytest.fixture
def server(tmp_path: Path) -> Iterator[postgres.Attachment]:
    """A server for this test alone: it is killed. Sessions are bound to it."""
    attachment = postgres.attach(tmp_path / "home")
    engine = connect(attachment.url, pool_size=4)
    try:
        migrate(engine)
        yield attachment
    finally:
        engine.dispose()
        SessionLocal.configure(bind=None)
        attachment.release()


def restart(server: postgres.Attachment, how: signal.Signals) -> None:
    postmaster = server.cluster.postmaster()
    assert isinstance(postmaster, psutil.Process)
    postmaster.send_signal(how)
    wait_for_end(postmaster, seconds=PATIENCE)
    server.ensure()


def test_a_training_goes_on_when_the_database_is_back(server, monkeypatch, tmp_path):
    """Workers start again, as the supervisor sees to it; one checkpoint, every step once."""
    workshop = Workshop(monkeypatch)
    workshop.behave(steps=STEPS, pace=0.1, save=5)
    run_id = workshop.launch(base={"model": "some/model"})
    working = []
    with workers(
        SessionLocal.kw["bind"], tmp_path / "worker.log", prepare=with_the_stand_in
    ) as start:

        def reached(step: int) -> bool:
            if not working or working[-1].poll() is not None:
                working.append(start())
            try:
                run = workshop.run(run_id)
            except DBAPIError:  # the connections of the pool died with the server
                return False
            return run.step >= step or run.state.is_final

        wait_until(lambda: reached(8), seconds=PATIENCE)
        restart(server, signal.SIGQUIT)
        wait_until(lambda: reached(20), seconds=PATIENCE)
        restart(server, signal.SIGKILL)
        wait_until(lambda: reached(STEPS + 1), seconds=PATIENCE)
        folder = settings.home_path / "work" / "runs" / str(run_id)
        wait_until(lambda: not folder.exists(), seconds=PATIENCE)  # the worker tidies up at the end
    run: Run = workshop.run(run_id)
    assert (run.state, run.error) == (JobState.SUCCEEDED, None)
    is_in_order(run)
    with transaction() as session:
        steps = [row["step"] for row in queries.metrics_of(session, run=run)]
    assert steps == list(range(1, STEPS + 1))
