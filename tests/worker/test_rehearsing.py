"""Rehearsals of runs by a worker: with a stand-in for the trainer, and once with the real one."""

import json
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import psutil
import pytest

from app.accounts.models import User
from app.config import settings
from app.datasets.models import Snapshot
from app.db import JobState, transaction
from app.runs.models import RunCheck
from app.runs.schemas import RunBody
from app.runs.service import checks
from app.worker import process, rehearsing
from tests.waiting import PATIENCE, until
from tests.worker.conftest import Workshop

pytestmark = pytest.mark.concurrency

FAKE = (sys.executable, str(Path(__file__).with_name("fake_rehearsal.py")))


class Stage:
    """Asks for rehearsals and has them carried out."""

    def __init__(self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.workshop, self.monkeypatch = workshop, monkeypatch
        for module in (process, rehearsing):
            monkeypatch.setattr(module, "TRAINER", FAKE)

    def behave(self, **behaviour: object) -> None:
        self.monkeypatch.setenv("FAKE_REHEARSAL", json.dumps(behaviour))

    def ask(self, **fields: object) -> UUID:
        body = {"kind": "sft", "snapshot_id": self.workshop.snapshot_id, "base": {"new": "tiny"}}
        with transaction() as session:
            check = checks.request_check(
                session,
                snapshot=session.get_one(Snapshot, self.workshop.snapshot_id),
                body=RunBody.model_validate(body | fields),
                by=session.get_one(User, self.workshop.ada_id),
            )
            return check.id

    def begin(self, check_id: UUID, stopping: threading.Event | None = None) -> threading.Thread:
        thread = threading.Thread(
            target=rehearsing.rehearse_run,
            args=[check_id],
            kwargs={"stopping": stopping or threading.Event()},
        )
        thread.start()
        self.workshop.threads.append(thread)
        return thread

    def carry_out(self, check_id: UUID) -> RunCheck:
        self.begin(check_id).join(PATIENCE)
        return self.check(check_id)

    def check(self, check_id: UUID) -> RunCheck:
        with transaction() as session:
            check = session.get_one(RunCheck, check_id)
            session.expunge(check)
            return check


@pytest.fixture
def stage(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(workshop, monkeypatch)


def test_a_rehearsal_tells_what_the_run_would_be(stage: Stage) -> None:
    check = stage.carry_out(stage.ask())
    assert (check.state, check.error) == (JobState.SUCCEEDED, None)
    assert (check.report["steps"], check.report["beside"]) == (30, 0)
    making = check.report["seconds"]["making"]
    assert making > 0  # at the pace of the few updates that were made
    assert check.report["seconds"]["total"] == pytest.approx(17.0 + making, abs=0.1)
    assert not list((settings.home_path / "work" / "checks").glob(f"{check.id}/*"))


def test_what_stands_in_the_way_is_told_with_its_field(stage: Stage) -> None:
    stage.behave(error="max_length is 8, and every row is longer. Raise it.", code=2)
    check = stage.carry_out(stage.ask())
    assert check.state is JobState.FAILED
    assert check.error.startswith("max_length is 8, and every row is longer. Raise it. ")
    assert check.field == "config.max_length"


def test_a_newer_check_ends_the_child_of_the_older(stage: Stage, tmp_path: Path) -> None:
    stage.behave(wait=str(tmp_path / "pid"))
    first = stage.ask()
    thread = stage.begin(first)
    file = tmp_path / "pid"
    until(lambda: file.is_file() and file.read_text())
    child = psutil.Process(int(file.read_text()))
    stage.ask()
    thread.join(PATIENCE)
    assert not child.is_running()
    assert stage.check(first).state is JobState.CANCELLED


def test_a_worker_that_stops_puts_it_back(stage: Stage, tmp_path: Path) -> None:
    stage.behave(wait=str(tmp_path / "pid"))
    check_id, stopping = stage.ask(), threading.Event()
    thread = stage.begin(check_id, stopping)
    until((tmp_path / "pid").is_file)
    stopping.set()
    thread.join(PATIENCE)
    assert stage.check(check_id).state is JobState.QUEUED
    stage.behave()
    assert stage.carry_out(check_id).attempt == 2
    assert stage.check(check_id).state is JobState.SUCCEEDED


def test_no_second_model_is_loaded_where_a_training_leaves_no_room(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsing, "trainings_here", lambda: 1)
    short = SimpleNamespace(available=rehearsing.ROOM - 1)
    monkeypatch.setattr(rehearsing.psutil, "virtual_memory", lambda: short)
    refused = stage.carry_out(stage.ask())
    assert refused.state is JobState.FAILED
    assert refused.error is not None
    assert "no room for a second model" in refused.error
    enough = SimpleNamespace(available=rehearsing.ROOM)
    monkeypatch.setattr(rehearsing.psutil, "virtual_memory", lambda: enough)
    check = stage.carry_out(stage.ask())
    assert (check.state, check.report["beside"]) == (JobState.SUCCEEDED, 1)


def test_the_real_trainer_rehearses(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tiny_lm: str
) -> None:
    for module in (process, rehearsing):
        monkeypatch.setattr(module, "TRAINER", (sys.executable, "-m", "app.trainer"))
    check = stage.carry_out(stage.ask(base={"model": tiny_lm}, config={"max_steps": 40}))
    assert (check.state, check.error) == (JobState.SUCCEEDED, None)
    assert check.report["steps"] == 40
    assert 0 < check.report["memory"]["peak"] < check.report["memory"]["total"]
    wrong = stage.carry_out(stage.ask(base={"model": "/nowhere/at/all"}))
    assert (wrong.state, wrong.field) == (JobState.FAILED, "model")
