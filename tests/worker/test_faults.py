"""What can go wrong with a run, one after the other; each ends in order and says what to do.

In order: one final checkpoint if it succeeded and none else, no process that goes on, nothing on
this machine's disk, nothing in the store that nobody points to.
"""

import errno
import os
import re
import signal
import threading
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from sqlalchemy import select

from app import artifacts
from app.config import settings
from app.db import JobState, transaction
from app.runs import queries, rules
from app.runs.models import Checkpoint, Run
from app.worker import machine_memory, training
from tests.waiting import PATIENCE
from tests.worker.conftest import Workshop

pytestmark = pytest.mark.concurrency

ADVICE = re.compile(r"[Rr]esume|Lower|Make room|Bring|Correct")
DONE, FAILED = JobState.SUCCEEDED, JobState.FAILED


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a minute without a sign of life is a hang; a full store is tried again at once."""
    monkeypatch.setitem(settings.__dict__, "hang_minutes", 0.5)
    monkeypatch.setattr(training, "AGAIN", 0.1)


def is_in_order(run: Run, *, also: tuple[str, ...] = ()) -> None:
    """Nothing is left over, and what is said helps; `also` may be in the store, too."""
    assert run.state.is_final
    with transaction() as session:
        finals = session.scalars(select(Checkpoint).where(Checkpoint.run_id == run.id)).all()
        assert len(finals) == (run.state is DONE)
        for checkpoint in finals:
            for file in checkpoint.files:
                stored = artifacts.local_path(f"{checkpoint.path}/{file['path']}")
                assert artifacts.digest(stored) == file["sha256"]
    assert not orphans(run)
    assert not (settings.home_path / "work" / "runs" / str(run.id)).exists()
    known = {Path(path).name for path in (run.path, run.base.get("path")) if path}
    known |= {"saved"} if run.saved else set()
    kept = {f"attempt-{number}" for number in range(1, run.attempt)}  # what they said
    assert set(artifacts.folders(f"runs/{run.id}")) <= known | kept | set(also)
    saved = {Path(each["path"]).name for each in run.saved}
    assert set(artifacts.folders(f"runs/{run.id}/saved")) == saved
    if run.state is FAILED:
        assert ADVICE.search(run.error), run.error


def orphans(run: Run) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if str(run.id) in " ".join(process.cmdline()):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def events(run: Run) -> list[str]:
    with transaction() as session:
        return [event.kind for event in queries.events_of(session, run=run)]


def log_of(run: Run) -> str:
    with transaction() as session:
        texts = [e.message for e in queries.events_of(session, run=run) if e.kind == "log"]
    return "\n".join(texts)


@dataclass(frozen=True)
class Fault:
    """What the child does, and what becomes of the run."""

    does: dict[str, object]
    state: JobState
    says: str = ""  # the error
    attempts: int = 1
    events: dict[str, int] = field(default_factory=dict)


CHILD = {
    "killed once": Fault({"end": -9, "once": True}, DONE, attempts=2, events={"killed": 1}),
    "killed every time": Fault({"end": -9}, FAILED, "killed from outside", 3, {"killed": 3}),
    "crashes": Fault({"end": -11}, FAILED, "SIGSEGV", 3, {"killed": 3}),
    "hangs once": Fault({"hang": 3, "once": True}, DONE, attempts=2, events={"hung": 1}),
    "hangs every time": Fault({"hang": 3}, FAILED, "stood still", 3, {"hung": 3}),
    "is halted": Fault({"halt": 3}, DONE, events={"trouble": 1, "hung": 0}),
    "runs out of memory": Fault({"end": 3}, FAILED, "max_tokens_per_forward"),
    "is told to end": Fault({"end": 130}, FAILED, "from outside"),
    "leaves no model": Fault({"end": 1}, FAILED, "exit code 1"),
    "fills its disk": Fault({"end": 1, "says": "The disk is full. Stop."}, FAILED, "Make room"),
}


@pytest.mark.parametrize("name", CHILD)
def test_a_child_that(name: str, workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It saves at step 2; a run that goes on by itself begins there."""
    fault = CHILD[name]
    if {"hang", "halt"} & set(fault.does):
        monkeypatch.setitem(settings.__dict__, "hang_minutes", 1 / 60)
    workshop.behave(**{"steps": 6, "save": 2, **fault.does})
    run = workshop.carry_on(workshop.launch(base={"model": "some/model"}))
    assert (run.state, run.attempt) == (fault.state, fault.attempts), run.error
    assert fault.says in (run.error or "")
    assert {kind: events(run).count(kind) for kind in fault.events} == fault.events
    is_in_order(run)
    with transaction() as session:
        steps = [row["step"] for row in queries.metrics_of(session, run=run)]
    assert steps == list(range(1, len(steps) + 1))
    if run.attempt > 1:
        assert run.start_step == 2


def test_the_log_of_a_hang_says_where(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.__dict__, "hang_minutes", 1 / 60)
    workshop.behave(hang=3)
    run = workshop.carry_out(workshop.launch(base={"model": "some/model"}))
    assert run.state is JobState.QUEUED
    assert "in stand_still" in log_of(run)
    assert "Current thread" in log_of(run) or "Thread 0x" in log_of(run)


def test_a_kill_for_memory_is_not_tried_again(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either the system counted it, or nearly all memory there is was in use."""
    counts = iter([7, 8])
    workshop.behave(end=-9)
    with monkeypatch.context() as patch:
        patch.setattr(machine_memory, "oom_kills", lambda: next(counts))
        counted = workshop.carry_out(workshop.launch(base={"model": "some/model"}))
    with monkeypatch.context() as patch:
        patch.setattr(machine_memory, "memory_limit", lambda: 8_000_000)
        full = workshop.carry_out(workshop.launch(base={"model": "some/model"}))
    for run in (counted, full):
        assert run.state is FAILED
        assert "memory ran out" in run.error
        assert "max_tokens_per_forward" in run.error
        is_in_order(run)
    assert "of 0.0 GB" in full.error  # its largest process was measured


# -- no room ----------------------------------------------------------------------------------


def no_room_for(
    monkeypatch: pytest.MonkeyPatch, part: str, *, times: int = 10**6, then: object = None
) -> None:
    """The store has no room for folders whose path matches `part`, so many times."""
    put, left = artifacts.put_folder, [times]

    def full(folder: Path, *, to: str, **options: object) -> object:
        if re.search(part, to) and left[0]:
            left[0] -= 1
            half = artifacts.local_path(to)
            half.mkdir(parents=True)
            (half / "half.bin").write_bytes(b"1")  # a copy that was cut off
            if callable(then):
                then()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(half))
        return put(folder, to=to, **options)

    monkeypatch.setattr(artifacts, "put_folder", full)


def test_a_checkpoint_that_finds_no_room_does_not_end_the_training(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_room_for(monkeypatch, "/saved/")
    workshop.behave(steps=30, save=10, pace=0.1)
    run = workshop.carry_out(workshop.launch(base={"model": "some/model"}))
    assert run.state is DONE
    assert "trouble" in events(run)
    is_in_order(run)


def test_a_finished_model_waits_for_room(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str | None] = []
    run_id = workshop.launch(base={"model": "some/model"})
    no_room_for(
        monkeypatch, "/attempt-1$", times=3, then=lambda: told.append(workshop.run(run_id).activity)
    )
    run = workshop.carry_out(run_id)
    assert run.state is DONE
    assert told[1:] == [rules.NO_ROOM] * 2
    is_in_order(run)


@pytest.mark.parametrize("wish", ["cancel", "stop the worker"])
def test_a_model_that_waits_for_room_can_be_given_up(
    wish: str, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.behave(steps=4, save=2)
    run_id, stopping = workshop.launch(base={"model": "some/model"}), threading.Event()
    with monkeypatch.context() as patch:
        no_room_for(patch, "/attempt-1$")
        workshop.work(run_id, stopping)
        workshop.wait_for(run_id, lambda run: run.activity == rules.NO_ROOM)
        if wish == "cancel":
            workshop.cancel(run_id)
        else:
            stopping.set()
        workshop.threads[-1].join(PATIENCE)
    run = workshop.run(run_id)
    if wish == "cancel":
        assert run.state is JobState.CANCELLED
    else:
        assert run.state is JobState.QUEUED
        run = workshop.carry_out(run_id)
        assert (run.state, run.attempt) == (DONE, 2)
    is_in_order(run)


def test_a_store_that_stays_full_is_told(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "ROOM", 0.0)
    no_room_for(monkeypatch, "/attempt-1$")
    run = workshop.carry_out(workshop.launch(base={"model": "some/model"}))
    assert run.state is FAILED
    assert "no room left" in run.error
    is_in_order(run)


def test_a_worker_without_a_place_to_work_says_so(workshop: Workshop) -> None:
    work = settings.home_path / "work"
    kept = work.with_name("kept")
    if work.exists():
        work.rename(kept)
    work.write_text("a file where the folder should be")
    try:
        run = workshop.carry_out(workshop.launch(base={"model": "some/model"}))
    finally:
        work.unlink()
        if kept.exists():
            kept.rename(work)
    assert run.state is FAILED
    assert "work" in run.error
    assert "resume" in run.error
    is_in_order(run)


@pytest.fixture
def small_disk() -> object:
    """A disk of 2 MB under the folder in which runs work."""
    import subprocess

    work = settings.home_path / "work"
    work.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(work)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a disk")
    yield work
    subprocess.run(["umount", "-l", str(work)], check=True)


def test_a_disk_that_is_really_full(workshop: Workshop, small_disk: Path) -> None:
    """The third checkpoint does not fit; the run goes on from the second once there is room."""
    workshop.behave(steps=12, save=2, pace=0.4, bulk=800_000)
    run_id = workshop.launch(base={"model": "some/model"})
    run = workshop.carry_out(run_id)
    assert run.state is FAILED
    assert "Make room" in run.error
    is_in_order(run)
    assert run.saved_step >= 2
    workshop.behave(steps=8)
    workshop.resume(run_id)
    done = workshop.carry_out(run_id)
    assert (done.state, done.start_step) == (DONE, run.saved_step)
    is_in_order(done)


# -- what is read is not what was stored ------------------------------------------------------


def spoil(path: str) -> None:
    """One byte more in each file of a stored folder."""
    for file in artifacts.local_path(path).rglob("*"):
        if file.is_file():
            file.chmod(0o644)
            with file.open("ab") as content:
                content.write(b"!")


def stopped_after(workshop: Workshop, *steps: int) -> Run:
    """A run that was cancelled with these steps saved."""
    workshop.behave(steps=400, pace=0.05, save=steps[0])
    run_id = workshop.launch(base={"model": "some/model"})
    workshop.work(run_id)
    workshop.wait_for(run_id, lambda run: len(run.saved) >= len(steps))
    workshop.cancel(run_id)
    workshop.wait_for_end(run_id)
    workshop.threads[-1].join(PATIENCE)
    return workshop.run(run_id)


@pytest.mark.parametrize("harm", [spoil, artifacts.remove], ids=["damaged", "missing"])
@pytest.mark.parametrize("spoiled", [1, 2])
def test_a_saved_step_that_cannot_be_used_gives_way_to_the_one_before(
    spoiled: int, harm: object, workshop: Workshop
) -> None:
    stopped = stopped_after(workshop, 5, 10)
    assert len(stopped.saved) == 2
    for saved in stopped.saved[:spoiled]:
        harm(saved["path"])
    begin = stopped.saved[1]["step"] if spoiled == 1 else 0
    workshop.behave(steps=stopped.saved_step + 2)
    workshop.resume(stopped.id)
    run = workshop.carry_out(stopped.id)
    assert (run.state, run.start_step) == (DONE, begin)
    assert "fell back" in events(run)
    with transaction() as session:
        steps = [row["step"] for row in queries.metrics_of(session, run=run)]
    assert steps == list(range(1, stopped.saved_step + 3))
    is_in_order(run)


@pytest.mark.parametrize("harm", [spoil, artifacts.remove], ids=["damaged", "missing"])
@pytest.mark.parametrize("what", ["snapshot", "parent"])
def test_inputs_that_cannot_be_used_are_told(what: str, harm: object, workshop: Workshop) -> None:
    first = workshop.carry_out(workshop.launch(base={"model": "some/model"}))
    with transaction() as session:
        checkpoint = queries.final_checkpoint(session, run=first)
        snapshot = queries.snapshot_in(
            session, project_id=workshop.project_id, snapshot_id=workshop.snapshot_id
        )
        path = {"snapshot": snapshot.path, "parent": checkpoint.path}[what]
        parent_id = checkpoint.id
    run_id = workshop.launch(kind="dpo", base={"checkpoint": parent_id})
    harm(path)
    run = workshop.carry_out(run_id)
    assert run.state is FAILED
    assert path in run.error
    assert "backup" in run.error
    is_in_order(run)


# -- cancelled --------------------------------------------------------------------------------


def test_cancelled_while_it_waits(workshop: Workshop) -> None:
    run_id = workshop.launch()
    workshop.cancel(run_id)
    run = workshop.carry_out(run_id)
    assert (run.state, run.attempt) == (JobState.CANCELLED, 0)
    is_in_order(run)


@pytest.mark.parametrize(
    ("part", "moment"), [(training.Beginning, "command"), (training.Attempt, "_train")]
)
def test_cancelled_while_it_starts(
    part: type, moment: str, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = workshop.launch()
    starts = getattr(part, moment)

    def cancelled_first(attempt: object, given: object) -> object:
        workshop.cancel(run_id)
        return starts(attempt, given)

    monkeypatch.setattr(part, moment, cancelled_first)
    workshop.behave(steps=4000, pace=0.05)
    run = workshop.carry_out(run_id)
    assert run.state is JobState.CANCELLED
    is_in_order(run)


def test_cancelled_while_its_model_is_stored(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is done by then: a model that is whole is not thrown away."""
    run_id = workshop.launch(base={"model": "some/model"})
    put = artifacts.put_folder

    def cancelled_first(folder: Path, *, to: str, **options: object) -> object:
        workshop.cancel(run_id)
        return put(folder, to=to, **options)

    monkeypatch.setattr(artifacts, "put_folder", cancelled_first)
    run = workshop.carry_out(run_id)
    assert run.state is DONE
    is_in_order(run)


def test_cancelled_while_a_checkpoint_is_stored(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = workshop.launch(base={"model": "some/model"})
    put, asked = artifacts.put_folder, []

    def cancelled_first(folder: Path, *, to: str, **options: object) -> object:
        if not asked:
            asked.append(to)
            workshop.cancel(run_id)
        return put(folder, to=to, **options)

    monkeypatch.setattr(artifacts, "put_folder", cancelled_first)
    workshop.behave(steps=4000, pace=0.05, save=3)
    run = workshop.carry_out(run_id)
    assert "/saved/" in asked[0]
    assert run.state is JobState.CANCELLED
    assert run.saved_step >= 3
    is_in_order(run)


def test_a_zombie_that_ends_late_leaves_nothing_in_the_store(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another attempt has the run when the first is about to register what it stored."""
    from sqlalchemy import update

    run_id = workshop.launch(base={"model": "some/model"})
    put = artifacts.put_folder

    def taken_first(folder: Path, *, to: str, **options: object) -> object:
        stored = put(folder, to=to, **options)
        with transaction() as session:
            session.execute(update(Run).where(Run.id == run_id).values(attempt=2))
        return stored

    monkeypatch.setattr(artifacts, "put_folder", taken_first)
    run = workshop.carry_out(run_id)
    assert (run.state, run.attempt, run.path) == (JobState.RUNNING, 2, None)
    assert artifacts.folders(f"runs/{run_id}") == []


def test_a_child_that_was_left_alone_is_taken_up_again(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker could not beat for long, but nobody else has taken the run."""
    from app.worker import lease

    holding = threading.Event()
    hold = training.runs.hold

    def slow(*given: object, **named: object) -> object:
        if threading.current_thread().name == "pulse" and holding.is_set():
            released.wait(PATIENCE)
        return hold(*given, **named)

    released = threading.Event()
    monkeypatch.setattr(lease, "SILENCE", 2.0)
    monkeypatch.setattr(training.runs, "hold", slow)
    workshop.behave(steps=4000, pace=0.05, save=3)
    run_id = workshop.launch(base={"model": "some/model"})
    workshop.work(run_id)
    workshop.wait_for(run_id, lambda run: run.saved_step)
    holding.set()
    workshop.wait_for(run_id, lambda run: run.state is JobState.QUEUED)
    released.set()
    holding.clear()
    workshop.threads[-1].join(PATIENCE)
    workshop.behave(steps=workshop.run(run_id).saved_step + 3)
    run = workshop.carry_out(run_id)
    assert (run.state, run.attempt, run.error) == (DONE, 2, None)
    is_in_order(run)


def test_signals_have_names() -> None:
    limit = 10**9
    assert "SIGSEGV" in rules.killed(signal.SIGSEGV, peak=0, limit=limit, oom=False)
    assert "outside" in rules.killed(signal.SIGKILL, peak=10**8, limit=limit, oom=False)
    assert "memory ran out" in rules.killed(signal.SIGKILL, peak=9 * 10**8, limit=limit, oom=False)
    assert rules.signal_of(130) is None
    assert (rules.signal_of(137), rules.signal_of(-11), rules.signal_of(1)) == (9, 11, None)
