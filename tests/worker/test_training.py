import json
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app import artifacts
from app.config import settings
from app.db import JobState, transaction
from app.projects.models import Project
from app.runs import queries, service
from app.runs.models import Checkpoint, Metric, Run
from app.worker import training
from app.worker.inputs import checkpoint_steps
from app.worker.process import LEASH
from tests.runs.factories import jobs_for, make_checkpoint
from tests.waiting import PATIENCE, until
from tests.worker.conftest import Workshop

pytestmark = pytest.mark.concurrency


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_run_ends_with_its_curves_its_texts_and_its_checkpoint(workshop: Workshop) -> None:
    run = workshop.carry_out(workshop.launch())
    assert (run.state, run.error, run.step, run.attempt) == (JobState.SUCCEEDED, None, 5, 1)
    with transaction() as session:
        curve = queries.metrics_of(session, run=run)
        assert [(row["step"], row["loss"]) for row in curve] == [(s, 1 / s) for s in range(1, 6)]
        samples = queries.samples_of(session, run=run)
        assert [row["response"] for row in samples] == [f"at {s}" for s in range(5, 0, -1)]
        checkpoint = session.scalars(select(Checkpoint).where(Checkpoint.run_id == run.id)).one()
        session.expunge(checkpoint)
    assert checkpoint.path == f"runs/{run.id}/attempt-1/model"
    for file in checkpoint.files:
        stored = artifacts.local_path(f"{checkpoint.path}/{file['path']}")
        assert stored is not None
        assert artifacts.digest(stored) == file["sha256"]
    assert artifacts.exists(f"runs/{run.id}/attempt-1/metrics.jsonl")
    assert not (settings.home_path / "work" / "runs" / str(run.id)).exists()


def test_lines_that_are_half_written_are_read_when_they_are_whole(workshop: Workshop) -> None:
    workshop.behave(partial=True, steps=8)
    run = workshop.carry_out(workshop.launch())
    with transaction() as session:
        assert len(queries.metrics_of(session, run=run)) == 8


def test_curves_are_there_within_a_second_or_two(workshop: Workshop) -> None:
    workshop.behave(steps=60, pace=0.05)
    run_id = workshop.launch(base={"model": "some/model"})
    workshop.work(run_id)
    started = workshop.wait_for(run_id, lambda run: run.step > 0).started_at
    assert started is not None
    with transaction() as session:
        age = session.scalars(select(func.now())).one() - started
    assert age < timedelta(seconds=2)
    assert workshop.wait_for_end(run_id).state is JobState.SUCCEEDED


def test_a_step_is_kept_when_its_figures_are(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that dies right after it must not cost the run a point of its curves."""
    relay, save, unrecorded = training.Attempt._relay, service.save, []

    def relay_late(attempt: training.Attempt, metrics: list, samples: list) -> bool:
        """Meanwhile the child logs and saves one more step."""
        while metrics and max(checkpoint_steps(attempt.output), default=0) <= metrics[-1]["step"]:
            if attempt.pulse.stop is not None:
                break
            time.sleep(0.01)
        return relay(attempt, metrics, samples)

    def note(session: Session, *, step: int, **given: object) -> object:
        recorded = select(func.max(Metric.step))
        if session.scalars(recorded).one() < step:
            unrecorded.append(step)
        return save(session, step=step, **given)

    monkeypatch.setattr(training.Attempt, "_relay", relay_late)
    monkeypatch.setattr(service, "save", note)
    workshop.behave(steps=1000, save=1, pace=0.1)
    run_id = workshop.launch(base={"model": "some/model"})
    workshop.work(run_id)
    workshop.wait_for(run_id, lambda run: run.saved_step)
    workshop.cancel(run_id)
    assert workshop.wait_for_end(run_id).state is JobState.CANCELLED
    assert unrecorded == []


def test_a_cancelled_run_stops_keeps_its_curves_and_can_go_on(workshop: Workshop) -> None:
    workshop.behave(steps=10_000, pace=0.05)
    run_id = workshop.launch()
    workshop.work(run_id)
    workshop.wait_for(run_id, lambda run: run.step >= 3)
    asked = time.monotonic()
    workshop.cancel(run_id)
    run = workshop.wait_for_end(run_id)
    assert time.monotonic() - asked < 2.5  # seen within a second, one step, one save
    assert run.state is JobState.CANCELLED
    assert run.saved_step is not None
    assert run.saved_step >= 3

    workshop.threads[-1].join()
    workshop.behave(steps=run.saved_step + 4)
    workshop.resume(run_id)
    done = workshop.carry_out(run_id)
    assert (done.state, done.attempt, done.step) == (JobState.SUCCEEDED, 2, run.saved_step + 4)
    with transaction() as session:
        steps = [row["step"] for row in queries.metrics_of(session, run=done)]
    assert steps == list(range(1, run.saved_step + 5))
    config = json.loads(artifacts.open_file(f"{done.path}/model/config.json").read())
    assert config["began"] == run.saved_step
    assert not artifacts.exists(f"runs/{run_id}/saved")  # nobody resumes a finished run


def test_each_attempt_starts_from_the_same_new_model(workshop: Workshop) -> None:
    workshop.behave(end=4, says="nan")
    run_id = workshop.launch()
    first = workshop.carry_out(run_id)
    assert first.state is JobState.FAILED
    workshop.behave()
    workshop.resume(run_id)
    second = workshop.carry_out(run_id)
    assert second.base["path"] == first.base["path"] == f"runs/{run_id}/base-1"


def test_a_child_that_does_not_listen_is_ended(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.worker import training
    from app.worker.lease import Stop

    monkeypatch.setitem(training.GRACE, Stop.CANCEL, 0.5)
    workshop.behave(steps=10_000, pace=0.05, deaf=True)
    run_id = workshop.launch()
    workshop.work(run_id)
    workshop.wait_for(run_id, lambda run: run.step >= 1)
    workshop.cancel(run_id)
    assert workshop.wait_for_end(run_id).state is JobState.CANCELLED


@pytest.mark.parametrize(
    ("end", "says", "told"),
    [
        (2, "The dataset folder has no preference.", "The dataset folder has no preference."),
        (3, "Out of memory.", "max_tokens_per_forward"),
        (4, "The loss became nan at step 3.", "learning_rate"),
        (1, "KeyError: 'x'", "KeyError"),
        (130, "", "from outside"),
    ],
)
def test_a_failure_is_told_with_what_to_do(
    workshop: Workshop, end: int, says: str, told: str
) -> None:
    workshop.behave(end=end, says=says)
    run = workshop.carry_out(workshop.launch())
    assert run.state is JobState.FAILED
    assert run.error is not None
    assert told in run.error
    with transaction() as session:
        events = {event.kind: event.message for event in queries.events_of(session, run=run)}
        assert "loading" in events["log"]
        assert len(queries.metrics_of(session, run=run)) == 3  # what it had reached is kept
        assert queries.final_checkpoint(session, run=run) is None
    assert artifacts.exists(f"runs/{run.id}/attempt-1/log.txt")


def test_missing_files_of_a_snapshot_are_told(workshop: Workshop) -> None:
    run_id = workshop.launch()
    with transaction() as session:
        from app.datasets.models import Snapshot

        path = session.get_one(Snapshot, workshop.snapshot_id).path
    assert path is not None
    artifacts.remove(path)
    run = workshop.carry_out(run_id)
    assert run.state is JobState.FAILED
    assert run.error is not None
    assert "missing in the artifact store" in run.error


def test_a_worker_that_is_told_to_stop_puts_the_run_back(workshop: Workshop) -> None:
    workshop.behave(steps=10_000, pace=0.05)
    run_id, stopping = workshop.launch(), threading.Event()
    thread = workshop.work(run_id, stopping)
    workshop.wait_for(run_id, lambda run: run.step >= 2)
    stopping.set()
    thread.join(PATIENCE)
    run = workshop.run(run_id)
    assert (run.state, run.attempt) == (JobState.QUEUED, 1)
    assert run.saved_step is not None
    with transaction() as session:
        assert jobs_for(session, run_id) == 2  # the first, which nobody took here, and its own
    workshop.behave(steps=run.saved_step + 2)
    assert workshop.carry_out(run_id).state is JobState.SUCCEEDED


def test_a_zombie_ends_its_child_and_leaves_no_trace(workshop: Workshop, tmp_path: Path) -> None:
    """F12: the worker hangs, another takes the run, then the first wakes up."""
    workshop.behave(steps=10_000, pace=0.05, forks=str(tmp_path / "pid"))
    run_id = workshop.launch()
    zombie = workshop.work(run_id)
    workshop.wait_for(run_id, lambda run: run.step >= 2)
    with transaction() as session:
        session.execute(update(Run).where(Run.id == run_id).values(attempt=2))  # taken over
    zombie.join(PATIENCE)
    assert not zombie.is_alive()
    assert not is_alive(int((tmp_path / "pid").read_text()))
    run = workshop.run(run_id)
    assert (run.state, run.attempt, run.path) == (JobState.RUNNING, 2, None)
    assert not artifacts.exists(f"runs/{run_id}/attempt-1")


def test_a_silent_run_is_taken_over_and_goes_on_from_its_last_saved_step(
    workshop: Workshop,
) -> None:
    workshop.behave(steps=10_000, pace=0.03, save=5)
    run_id = workshop.launch()
    zombie = workshop.work(run_id)
    saved = workshop.wait_for(run_id, lambda run: (run.saved_step or 0) >= 10).saved_step
    assert saved is not None
    with transaction() as session:
        session.execute(
            update(Run).where(Run.id == run_id).values(seen_at=func.now() - timedelta(hours=1))
        )
        assert service.requeue_lost(session, silent_for=timedelta(minutes=1)) == 1
    zombie.join(PATIENCE)  # its next beat finds nothing
    workshop.behave(steps=saved + 20)
    run = workshop.carry_out(run_id)
    assert (run.state, run.attempt) == (JobState.SUCCEEDED, 2)
    assert run.start_step >= saved
    assert not artifacts.exists(f"runs/{run_id}/attempt-1")


def test_nothing_of_a_child_outlives_it(workshop: Workshop, tmp_path: Path) -> None:
    workshop.behave(forks=str(tmp_path / "pid"))
    assert workshop.carry_out(workshop.launch()).state is JobState.SUCCEEDED
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_a_child_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    child = tmp_path / "pid"
    script = f"echo $$ > {child}; exec sleep 600"
    starts = (
        "import subprocess, sys, time;"
        f"subprocess.Popen([sys.executable, {str(LEASH)!r}, '0', 'sh', '-c', {script!r}],"
        " stdin=subprocess.PIPE, start_new_session=True); time.sleep(600)"
    )
    starter = subprocess.Popen(
        [
            sys.executable,
            "-c",
            starts,
        ]
    )
    until(lambda: child.exists() and child.read_text())
    pid = int(child.read_text())
    assert is_alive(pid)
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    until(lambda: not is_alive(pid))  # though nobody follows it


ASKED_TO_END_BEFORE_IT_BEGINS = """
import os, runpy, signal, subprocess, sys

begin = subprocess.Popen

def late(*given, **options):
    os.kill(os.getpid(), signal.SIGTERM)
    return begin(*given, **options)

subprocess.Popen = late
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


def test_a_child_is_told_to_end_though_the_word_came_before_it() -> None:
    command = [sys.executable, "-c", ASKED_TO_END_BEFORE_IT_BEGINS, str(LEASH), "0", "sleep", "600"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as leash:
        try:
            assert leash.wait(60) == 128 + signal.SIGTERM
        finally:
            leash.kill()


def test_an_adapter_is_handed_on_with_its_base(workshop: Workshop) -> None:
    """The folder of its base is named as it lies on this machine, now."""
    from app.datasets.models import Snapshot
    from app.worker.inputs import materialised, model_source
    from tests.runs.factories import make_run

    with artifacts.workspace() as space:
        (space / "adapter").mkdir()
        (space / "adapter" / "adapter_config.json").write_text(
            '{"base_model_name_or_path": "/somewhere/else", "r": 8}'
        )
        files = artifacts.put_folder(space / "adapter", to="runs/adapter/model")
        (space / "base").mkdir()
        (space / "base" / "config.json").write_text("{}")
        artifacts.put_folder(space / "base", to="runs/base/model")
    with transaction() as session:
        project = session.get_one(Project, workshop.project_id)
        snapshot = session.get_one(Snapshot, workshop.snapshot_id)
        run = make_run(session, snapshot, base={"new": "tiny", "path": "runs/base/model"})
        checkpoint = make_checkpoint(session, project, run=run)
        checkpoint.path, checkpoint.files = "runs/adapter/model", [f.as_json() for f in files]
        session.flush()
        source = model_source(session, checkpoint_id=checkpoint.id)
    assert source is not None
    with materialised(source) as folder:
        config = json.loads((folder / "adapter_config.json").read_text())
        assert Path(config["base_model_name_or_path"], "config.json").is_file()
        assert config["r"] == 8
    stored = json.loads(artifacts.open_file("runs/adapter/model/adapter_config.json").read())
    assert stored["base_model_name_or_path"] == "/somewhere/else"
