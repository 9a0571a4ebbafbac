"""A project with a stored snapshot in a database of its own, and ways to run its jobs."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from app.accounts.models import Role, User
from app.completions import addresses, writer
from app.config import settings
from app.db import JobState, transaction
from app.runs import service
from app.runs.models import Run
from app.runs.schemas import RunBody
from app.worker import beginning, contestants, generation, process, training
from tests.factories import make_member, make_project, make_user
from tests.generation.chat_server import ChatServer, chat_server
from tests.runs.factories import store_snapshot
from tests.waiting import PATIENCE
from tests.worker.processes import FAKE, start_worker, tiny_lm

__all__ = ["start_worker", "tiny_lm"]  # fixtures


class Workshop:
    """What a worker test needs: launch, carry out, look."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        for module in (process, beginning, generation, contestants):
            monkeypatch.setattr(module, "TRAINER", FAKE)
        self.threads: list[threading.Thread] = []
        with transaction() as session:
            ada = make_user(session, "Ada", role=Role.ADMIN)
            project = make_project(session, "Kitchen help", by=ada)
            make_member(session, project, ada, Role.ADMIN)
            self.snapshot_id = store_snapshot(session, project).id
            self.project_id, self.ada_id = project.id, ada.id

    def behave(self, **behaviour: object) -> None:
        """How the stand-in for the trainer behaves from now on."""
        self.monkeypatch.setenv("FAKE_TRAINER", json.dumps(behaviour))

    def launch(self, **fields: object) -> UUID:
        body = {"kind": "sft", "snapshot_id": self.snapshot_id, "base": {"new": "tiny"}} | fields
        with transaction() as session:
            from app.datasets.models import Snapshot

            run = service.launch(
                session,
                snapshot=session.get_one(Snapshot, self.snapshot_id),
                body=RunBody.model_validate(body),
                by=session.get_one(User, self.ada_id),
            )
            return run.id

    def work(self, run_id: UUID, stopping: threading.Event | None = None) -> threading.Thread:
        """Carry the run out in a thread, as a worker does."""
        thread = threading.Thread(
            target=training.train_run,
            args=[run_id],
            kwargs={"stopping": stopping or threading.Event()},
        )
        thread.start()
        self.threads.append(thread)
        return thread

    def carry_out(self, run_id: UUID) -> Run:
        self.work(run_id).join(PATIENCE)
        return self.run(run_id)

    def carry_on(self, run_id: UUID) -> Run:
        """Carry it out as often as it goes back to the queue by itself."""
        while (run := self.carry_out(run_id)).state is JobState.QUEUED:
            assert run.attempt < 10
        return run

    def run(self, run_id: UUID) -> Run:
        with transaction() as session:
            run = session.get_one(Run, run_id)
            session.expunge(run)
            return run

    def write(self, change: Callable[[Session, Run, User], object], run_id: UUID) -> None:
        with transaction() as session:
            change(session, session.get_one(Run, run_id), session.get_one(User, self.ada_id))

    def cancel(self, run_id: UUID) -> None:
        self.write(lambda session, run, ada: service.cancel(session, run=run, by=ada), run_id)

    def resume(self, run_id: UUID) -> None:
        self.write(lambda session, run, ada: service.resume(session, run=run, by=ada), run_id)

    def wait_for(self, run_id: UUID, what: Callable[[Run], object]) -> Run:
        deadline = time.monotonic() + PATIENCE
        while not what(run := self.run(run_id)):
            assert time.monotonic() < deadline, f"{run.state} at step {run.step}: {run.error}"
            time.sleep(0.05)
        return run

    def wait_for_end(self, run_id: UUID) -> Run:
        return self.wait_for(run_id, lambda run: JobState(run.state).is_final)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    """A model server that the settings allow; waits between tries take no time."""
    with chat_server() as running:
        allowed = settings.model_copy(update={"endpoints": running.at})
        monkeypatch.setattr(addresses, "settings", allowed)
        monkeypatch.setattr(writer.random, "uniform", lambda *_: 0.0)
        yield running


@pytest.fixture
def workshop(
    concurrency_engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Workshop]:
    workshop = Workshop(monkeypatch)
    yield workshop
    for thread in workshop.threads:
        thread.join(PATIENCE)
