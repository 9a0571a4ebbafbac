"""The whole way over a store that is elsewhere, and an upload whose worker is killed."""

import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import boto3
import pytest
from sqlalchemy import select

from app import artifacts
from app.accounts.models import User
from app.config import settings
from app.datasets import service as datasets
from app.datasets.models import Snapshot
from app.db import JobState, database_now, transaction
from app.generation import service as generation
from app.generation.models import Generation
from app.generation.schemas import GenerationBody
from app.projects.models import Project
from app.runs import queries
from app.runs import service as runs
from app.runs.models import Checkpoint, Run, RunKind
from app.worker import cleaning, process
from app.worker.generation import generate_responses
from app.worker.imports import run_import
from tests.artifacts.s3 import s3, s3_server
from tests.corpus.files import json_lines, pair, request_check
from tests.runs.factories import make_checkpoint
from tests.waiting import PATIENCE
from tests.worker.conftest import FAKE, Workshop

__all__ = ["s3", "s3_server"]  # fixtures

REAL = process.TRAINER

pytestmark = [pytest.mark.concurrency, pytest.mark.usefixtures("s3")]


def checkpoint_of(run_id):
    with transaction() as session:
        checkpoint = session.scalars(select(Checkpoint).where(Checkpoint.run_id == run_id)).one()
        session.expunge(checkpoint)
        return checkpoint


def files_of(checkpoint):
    return [artifacts.StoredFile(**file) for file in checkpoint.files]


def test_data_models_and_responses_go_the_whole_way(s3, workshop, tmp_path):
    with transaction() as session:
        project = session.get_one(Project, workshop.project_id)
        ada = session.get_one(User, workshop.ada_id)
        file = json_lines(tmp_path / "in.jsonl", [pair(f"Question {n}?") for n in range(3)])
        import_id = request_check(session, project, file, by=ada, dry_run=False)
    run_import(import_id)
    first = workshop.carry_out(workshop.launch())
    assert (first.state, first.error) == (JobState.SUCCEEDED, None)
    made = checkpoint_of(first.id)
    with artifacts.local_folder(made.path, files=files_of(made)) as folder:
        assert "## Where it comes from" in (folder / "README.md").read_text()
    whole = b"".join(artifacts.zipped_whole(made.path, files_of(made)))
    assert len(whole) == artifacts.zip_bytes(files_of(made))
    second = workshop.carry_out(workshop.launch(kind="dpo", base={"checkpoint": str(made.id)}))
    assert second.state is JobState.SUCCEEDED
    with transaction() as session:
        asked = generation.open_generation(
            session,
            project=session.get_one(Project, workshop.project_id),
            body=GenerationBody(checkpoint_id=made.id, n=2),
            by=session.get_one(User, workshop.ada_id),
        )
        generation_id = asked.id
    generate_responses(generation_id, stopping=threading.Event())
    with transaction() as session:
        done = session.get_one(Generation, generation_id)
        assert (done.state, done.error) == (JobState.SUCCEEDED, None)
        snapshot = session.get_one(Snapshot, workshop.snapshot_id)
        path = snapshot.path
        datasets.remove_files(session, snapshot=snapshot, by=None)  # as after an erasure
    assert not artifacts.exists(path)
    keys = boto3.client("s3").list_objects_v2(Bucket=s3)["Contents"]
    assert all(each["Key"].startswith("touchstone/") for each in keys)


def test_ppo_goes_on_where_another_worker_stopped(
    workshop: Workshop, tiny_lm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real trainer: judge, policy, values and their optimiser come from the store."""
    monkeypatch.setattr(process, "TRAINER", REAL)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with transaction() as session:
        judge = make_checkpoint(
            session, session.get_one(Project, workshop.project_id), RunKind.REWARD
        )
        judge.path = f"runs/{judge.id}/model"
        artifacts.put_folder(make_judge(tiny_lm, tmp_path / "judge"), to=judge.path)
        judge_id = judge.id
    config = {
        "max_steps": 100_000, "save_steps": 2, "eval_steps": 100_000, "num_samples": 0,
        "response_length": 6, "per_device_train_batch_size": 4, "num_ppo_epochs": 1,
    }  # fmt: skip
    run_id = workshop.launch(
        kind="ppo", base={"model": tiny_lm}, reward_checkpoint_id=judge_id, config=config
    )
    stopping = threading.Event()
    first = workshop.work(run_id, stopping)
    workshop.wait_for(run_id, lambda run: run.saved_step is not None)
    stopping.set()
    first.join(PATIENCE)
    stopped = workshop.run(run_id)
    assert stopped.state is JobState.QUEUED
    workshop.work(run_id)
    workshop.wait_for(run_id, lambda run: run.step > stopped.step)
    workshop.cancel(run_id)
    run = workshop.wait_for_end(run_id)
    assert (run.state, run.error, run.attempt) == (JobState.CANCELLED, None, 2)
    assert run.start_step == stopped.saved_step
    with transaction() as session:
        steps = [row["step"] for row in queries.metrics_of(session, run=run)]
    assert steps == list(range(1, run.step + 1))


def make_judge(lm: str, folder: Path) -> Path:
    """A reward model that has learned nothing."""
    transformers = pytest.importorskip("transformers", reason="needs the train extra")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(lm, num_labels=1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(lm)
    model.config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_weights_that_were_changed_there_train_nothing(s3, workshop):
    first = workshop.carry_out(workshop.launch())
    made = checkpoint_of(first.id)
    key = f"touchstone/{made.path}/model.safetensors"
    boto3.client("s3").put_object(Bucket=s3, Key=key, Body=b"weighty")
    second = workshop.carry_out(workshop.launch(kind="dpo", base={"checkpoint": str(made.id)}))
    assert second.state is JobState.FAILED
    assert "is not what was stored" in second.error


KILLED = f"""
import signal, sys, threading
from uuid import UUID
from app.db import connect
from app.worker import beginning, process, training
from app.runs import service
connect(sys.argv[1], pool_size=5)
for module in (process, beginning):
    module.TRAINER = {FAKE!r}
def pause(*_, **__):
    print("uploaded", flush=True)
    signal.pause()
service.succeed = pause
training.train_run(UUID(sys.argv[2]), stopping=threading.Event())
"""


def test_a_model_whose_worker_dies_before_it_is_registered_is_made_again(
    s3, workshop, concurrency_engine
):
    """Uploaded and not committed is not there; the next attempt succeeds, and what is left goes."""
    run_id = workshop.launch()
    url = concurrency_engine.url.render_as_string(hide_password=False)
    own = {
        "TOUCHSTONE_HOME": str(settings.home_path),
        "TOUCHSTONE_ARTIFACTS": f"s3://{s3}/touchstone",
    }
    command = [sys.executable, "-c", KILLED, url, str(run_id)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | own
    ) as worker:
        lines = iter(worker.stdout.readline, "")
        assert any(line == "uploaded\n" for line in lines)
        worker.send_signal(signal.SIGKILL)
    left = f"runs/{run_id}/attempt-1"
    assert artifacts.exists(left)
    with transaction() as session:
        assert session.get_one(Run, run_id).state is JobState.RUNNING
        assert session.scalars(select(Checkpoint)).all() == []
        assert runs.requeue_lost(session, silent_for=timedelta(0)) == 1
    assert workshop.carry_out(run_id).state is JobState.SUCCEEDED
    made = checkpoint_of(run_id)
    assert made.path == f"runs/{run_id}/attempt-2/model"
    with transaction() as session:
        now = database_now(session)
        assert list(runs.folders_left_behind(session, now=now)) == []  # fresh: it may be coming
        later = now + timedelta(days=2)
        assert [path for path, _ in runs.folders_left_behind(session, now=later)] == [left]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cleaning, "database_now", lambda _: later)
        assert cleaning.sweep() == 1
    assert not artifacts.exists(left)
    with artifacts.local_folder(made.path, files=files_of(made)):
        pass
