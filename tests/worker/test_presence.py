"""A worker tells that it lives and what it can do, and rests when it is told to."""

import json
import signal
import subprocess
from types import SimpleNamespace

import pytest
from sqlalchemy import select

from app.accounts.models import User
from app.config import settings
from app.db import JobState, transaction
from app.jobs import Lane
from app.runs import queries
from app.runs.models import Worker
from app.runs.service import workers
from app.worker import capabilities, process
from app.worker import presence as presences
from app.worker.presence import NOTHING, Presence
from tests.waiting import PATIENCE, until
from tests.worker.conftest import Workshop
from tests.worker.processes import Start
from tests.worker.test_main import fake

concurrent = pytest.mark.concurrency


def states() -> list[str]:
    with transaction() as session:
        return [each.state for each in queries.workers(session)]


def drain(workshop: Workshop, *, wanted: bool) -> None:
    with transaction() as session:
        workers.drain(
            session,
            worker_id=session.scalars(select(Worker.id)).one(),
            wanted=wanted,
            by=session.get_one(User, workshop.ada_id),
        )


@concurrent
def test_a_drained_worker_finishes_and_takes_nothing_new(
    workshop: Workshop, start_worker: Start
) -> None:
    process = start_worker(**fake(steps=60, pace=0.1))
    until(lambda: states() == ["free"])
    with transaction() as session:
        known = session.scalars(select(Worker)).one()
        assert known.pid == process.pid
        assert known.queues[:2] == ["data", "train"]
        assert known.capabilities["trains"] is True
        assert known.capabilities["cores"] >= 1
    first = workshop.launch(base={"model": "some/model"})
    workshop.wait_for(first, lambda run: run.step >= 1)
    until(lambda: states() == ["working"])
    drain(workshop, wanted=True)
    second = workshop.launch(base={"model": "some/model"})
    assert workshop.wait_for_end(first).state is JobState.SUCCEEDED
    until(lambda: states() == ["resting"])
    assert workshop.run(second).state is JobState.QUEUED
    drain(workshop, wanted=False)
    workshop.wait_for(second, lambda run: run.step >= 1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    assert states() == []  # it has taken its leave
    assert workshop.run(second).state is JobState.QUEUED


def test_a_resting_worker_reads_no_queue() -> None:
    lanes = {lane: SimpleNamespace(queues=[], worker_id=None) for lane in Lane}
    presence = Presence(lanes, {})  # type: ignore[arg-type]
    presence.rest(wanted=True)
    assert [lane.queues for lane in lanes.values()] == [NOTHING] * len(lanes)
    presence.rest(wanted=False)
    assert lanes[Lane.DATA].queues == ["data"]
    assert lanes[Lane.TRAIN].queues[0] == "train"


H100 = capabilities.Gpu("NVIDIA H100 80GB HBM3", 85_000_000_000)
T4 = capabilities.Gpu("Tesla T4", 15_800_000_000)


@pytest.mark.parametrize(
    ("device", "gpus", "largest"),
    [("auto", (H100, T4), 85), ("cuda:1", (T4,), 15), ("cpu", (), None), ("cuda:7", (), None)],
)
def test_a_worker_counts_the_gpus_that_it_uses(
    device: str,
    gpus: tuple[capabilities.Gpu, ...],
    largest: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(capabilities, "gpus", lambda: (H100, T4))
    monkeypatch.setitem(settings.__dict__, "train_device", device)
    assert capabilities.gpus_for(device) == gpus
    assert capabilities.gpu_memory_gb() == largest
    able = capabilities.capabilities()
    assert able["gpus"] == [{"name": gpu.name, "memory": gpu.memory} for gpu in gpus]
    json.dumps(able)


@pytest.mark.parametrize(("device", "count"), [("auto", 2), ("cuda:0", 1), ("cpu", 0)])
def test_each_gpu_gets_a_process(device: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "gpus", lambda: (H100, T4))
    command = process.train_command(device)
    assert ("--num_processes=2" in command) is (count == 2)
    assert list(command[-2:]) == ["-m", "app.trainer"]
    monkeypatch.setitem(settings.__dict__, "train_command", "torchrun -m 'my trainer'")
    assert process.train_command(device) == ["torchrun", "-m", "my trainer"]


def test_gpus_are_asked_of_torch_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"gpus": [{"name": "A", "memory": 5}], "torch": "2"}
    monkeypatch.setattr(capabilities.shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    answers = iter([json.dumps(said).encode(), b"no JSON"])
    monkeypatch.setattr(
        capabilities.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=next(answers))
    )
    asked = capabilities.gpus.__wrapped__
    assert asked() == (capabilities.Gpu("A", 5),)
    assert asked() == ()  # said in the log, and no reason not to work


def test_the_question_to_torch_is_answered() -> None:
    pytest.importorskip("torch", reason="needs the train extra")
    said = subprocess.run(
        capabilities.ASK, capture_output=True, check=True, timeout=300, cwd=capabilities.ROOT
    ).stdout  # fmt: skip
    assert isinstance(json.loads(said)["gpus"], list)


def presence(host: str, pid: int, monkeypatch: pytest.MonkeyPatch) -> Presence:
    """A worker that begins on a machine, where processes below 1,000 have ended."""
    monkeypatch.setattr(presences, "host", lambda: host)
    monkeypatch.setattr(presences.os, "getpid", lambda: pid)
    monkeypatch.setattr(presences.psutil, "pid_exists", lambda pid: pid >= 1000)
    lanes = {Lane.DATA: SimpleNamespace(worker_id=None)}
    return Presence(lanes, {"trains": False})  # type: ignore[arg-type]


@concurrent
@pytest.mark.parametrize("pid", [1001, 999])  # it ends in order, or is killed
def test_a_rest_outlives_the_process(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, pid: int
) -> None:
    first = presence("a", pid, monkeypatch)
    assert first.beat() is False
    drain(workshop, wanted=True)
    assert first.beat() is True
    if pid == 1001:
        first._leave()
        assert states() == ["ended"]
    with transaction() as session:
        workers.forget_silent(session)  # however long ago
    assert presence("b", 1002, monkeypatch).beat() is False  # another machine
    assert presence("a", 1003, monkeypatch).beat() is True
    with transaction() as session:
        left = {each.pid: each.draining_at is not None for each in session.scalars(select(Worker))}
    assert left == {1002: False, 1003: True}
    assert presence("a", 1004, monkeypatch).beat() is False  # one took it over, not all


@concurrent
def test_who_rested_and_ended_is_let_work_again(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = presence("a", 1001, monkeypatch)
    first.beat()
    drain(workshop, wanted=True)
    first._leave()
    drain(workshop, wanted=False)
    assert states() == []
    assert presence("a", 1002, monkeypatch).beat() is False
