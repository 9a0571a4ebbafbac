"""The job with real connections: one moment, one attempt, one worker after another."""

import errno
import os
import shutil
import subprocess
import sys
import threading

import pytest
from sqlalchemy import text

from app import artifacts
from app.accounts.models import Role
from app.config import settings
from app.datasets import service
from app.datasets.models import Snapshot
from app.datasets.queries import see_one_moment
from app.datasets.queries.recipes import twins_of
from app.datasets.schemas import Recipe
from app.db import JobState, transaction
from app.errors import Invalid, LeaseLost
from app.projects.models import Project
from app.tasks.models import Task
from app.worker.snapshots import build, freeze_now, freeze_snapshot
from tests.datasets.frozen import contents_of, rows_of
from tests.factories import make_annotation, make_member, make_project, make_task, make_user
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.concurrency


@pytest.fixture
def project_id(concurrency_engine):
    with transaction() as session:
        ada, ana = make_user(session, "Ada", role=Role.ADMIN), make_user(session, "Ana")
        project = make_project(session, "Kitchen help", by=ada)
        make_member(session, project, ana, Role.ANNOTATOR)
        for number in range(20):
            task = make_task(session, project, prompt=f"Question {number}", wanted=2)
            make_annotation(session, task, ana, ranks=[1, 2])
        return project.id


def asked_for(project_id, *, queued=True):
    with transaction() as session:
        project = session.get_one(Project, project_id)
        return service.request(
            session, project=project, recipe=Recipe(test_share=0), queued=queued
        ).id


def as_it_is(snapshot_id):
    with transaction() as session:
        snapshot = session.get_one(Snapshot, snapshot_id)
        session.expunge(snapshot)
        return snapshot


def jobs():
    with transaction() as session:
        statement = text("SELECT args ->> 'snapshot_id' FROM procrastinate_jobs ORDER BY id")
        return list(session.scalars(statement))


def test_a_worker_takes_the_job_and_registers_the_files(project_id, concurrency_engine, tmp_path):
    snapshot_id = asked_for(project_id)
    url = concurrency_engine.url.render_as_string(hide_password=False)
    script = f"from app.worker.main import run; run({url!r})"
    own = {
        "TOUCHSTONE_HOME": str(settings.home_path),
        "TOUCHSTONE_ARTIFACTS": settings.artifacts_url,
    }
    with (
        (tmp_path / "worker.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-c", script], env=os.environ | own, stdout=log, stderr=log
        ) as worker,
    ):
        try:
            until(lambda: as_it_is(snapshot_id).state.is_final)
        finally:
            worker.kill()
    made = as_it_is(snapshot_id)
    assert (made.state, made.attempt, made.error) == (JobState.SUCCEEDED, 1, None)
    assert len(rows_of(made, "preference")) == 20
    assert not list((artifacts.local_path("") / ".work").iterdir())


def test_a_snapshot_shows_one_moment_whatever_is_judged_meanwhile(project_id, tmp_path):
    """Rui judges everything the other way round while the first prompt is read."""

    def judge_everything():
        nonlocal has_judged
        if not has_judged:
            has_judged = True
            with transaction() as session:
                rui = make_user(session, "Rui")
                for task in session.query(Task).where(Task.project_id == project_id):
                    make_annotation(session, task, rui, ranks=[2, 1])

    has_judged = False
    with transaction() as session:
        see_one_moment(session)
        frozen = service.freeze(
            session,
            project=session.get_one(Project, project_id),
            recipe=Recipe(),
            folder=tmp_path / "one",
            beat=judge_everything,
        )
    assert has_judged
    assert frozen.counts["judgements"]["read"] == 20
    assert frozen.counts["comparisons"]["included"] == 20


def test_a_worker_that_is_told_to_stop_hands_the_snapshot_on(project_id):
    snapshot_id = asked_for(project_id)
    stopping = threading.Event()
    stopping.set()
    freeze_snapshot(snapshot_id, stopping=stopping)
    given_back = as_it_is(snapshot_id)
    assert (given_back.state, given_back.path) == (JobState.QUEUED, None)
    assert jobs() == [str(snapshot_id)] * 2
    freeze_snapshot(snapshot_id, stopping=threading.Event())
    assert as_it_is(snapshot_id).state is JobState.SUCCEEDED


def test_a_worker_that_wakes_up_late_changes_nothing(project_id):
    snapshot_id = asked_for(project_id, queued=False)
    with transaction() as session:
        old = service.start(session, snapshot_id=snapshot_id)
    taken = False

    def another_takes_over():
        nonlocal taken
        if not taken:
            taken = True
            freeze_snapshot(snapshot_id, stopping=threading.Event())

    with pytest.raises(LeaseLost):
        build(old, beat=another_takes_over)
    made = as_it_is(snapshot_id)
    assert (made.state, made.attempt) == (JobState.SUCCEEDED, 2)
    assert made.path == f"snapshots/{snapshot_id}/attempt-2"
    assert not artifacts.exists(f"snapshots/{snapshot_id}/attempt-1")
    freeze_snapshot(snapshot_id, stopping=threading.Event())
    assert as_it_is(snapshot_id).attempt == 2


def test_a_full_disk_ends_in_a_sentence(project_id, monkeypatch, tmp_path):
    """The store's root is a file, so nothing can be written into it."""
    root = tmp_path / "no-folder"
    root.write_text("")
    monkeypatch.setitem(settings.__dict__, "artifacts_url", root.as_uri())
    snapshot_id = asked_for(project_id)
    freeze_snapshot(snapshot_id, stopping=threading.Event())
    failed = as_it_is(snapshot_id)
    assert failed.state is JobState.FAILED
    assert "could not be written" in failed.error
    assert "artifact store" in failed.error


@pytest.mark.parametrize("is_there", [True, False])
def test_a_copy_that_finds_no_room_is_taken_away_and_the_snapshot_stays(
    project_id, monkeypatch, tmp_path, is_there
):
    copied = shutil.copyfile

    def until_the_disk_is_full(source, target):
        if str(target).endswith("README.md"):
            raise OSError(errno.ENOSPC, "No space left on device", source, None, target)
        return copied(source, target)

    monkeypatch.setattr(shutil, "copyfile", until_the_disk_is_full)
    output = tmp_path / "dataset"
    if is_there:
        output.mkdir()
    with pytest.raises(
        Invalid, match=r"is frozen, but could .*dataset: No space left on device\."
    ) as no:
        freeze_now(project_id=project_id, recipe=Recipe(test_share=0), name="One", output=output)
    assert "“One”" in no.value.detail
    assert output.exists() == is_there
    assert not is_there or list(output.iterdir()) == []
    with transaction() as session:
        assert session.query(Snapshot).one().state is JobState.SUCCEEDED


def everything_of(snapshot):
    """Every stored file with its bytes and when it was written."""
    folder = artifacts.local_path(snapshot.path)
    return {
        path.relative_to(folder): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_snapshot_under_fire_is_that_of_its_moment_and_says_what_it_equals(project_id):
    """Judgements come in over connections of their own all the while."""
    still = freeze_now(project_id=project_id, recipe=Recipe())
    before = everything_of(still)
    ended = threading.Event()
    fired = threading.Event()

    def judge_on_and_on():
        with transaction() as session:
            ids = [task.id for task in session.query(Task).where(Task.project_id == project_id)]
            person = make_user(session, "Rui")
            session.expunge(person)
        for task_id in ids:
            with transaction() as session:
                make_annotation(session, session.get_one(Task, task_id), person, ranks=[2, 1])
            fired.set()
            if ended.is_set():
                return

    firing = threading.Thread(target=judge_on_and_on)

    def beat():
        if not firing.ident:
            firing.start()
        assert fired.wait(PATIENCE)

    under_fire = freeze_now(project_id=project_id, recipe=Recipe(format="parquet"), beat=beat)
    ended.set()
    firing.join()
    with transaction() as session:
        twins = twins_of(session, snapshots=[still, under_fire])
        assert {each: twin.id for each, twin in twins.items()} == {under_fire.id: still.id}
    later = freeze_now(project_id=project_id, recipe=Recipe(min_annotations=1))
    again = freeze_now(project_id=project_id, recipe=Recipe())
    assert later.identity == again.identity != still.identity
    assert later.contents != still.contents == under_fire.contents
    assert everything_of(still) == before


def test_another_process_with_other_habits_freezes_the_same_bytes(
    project_id, concurrency_engine, tmp_path
):
    """Another order of hashes, another zone of time, another locale: the same files."""
    recipe = Recipe(ties="keep", weight_by="prompt", consensus="dawid_skene", test_share=0.3)
    here = freeze_now(project_id=project_id, recipe=recipe)
    url = concurrency_engine.url.render_as_string(hide_password=False)
    script = f"""
import uuid
from app import models
from app.db import connect
from app.datasets.schemas import Recipe
from app.worker.snapshots import freeze_now
connect({url!r}, pool_size=2)
recipe = Recipe.model_validate_json({recipe.model_dump_json()!r})
print(freeze_now(project_id=uuid.UUID({str(project_id)!r}), recipe=recipe).id)
"""
    own = {
        "TOUCHSTONE_HOME": str(settings.home_path),
        "TOUCHSTONE_ARTIFACTS": settings.artifacts_url,
        "PYTHONHASHSEED": "7",
        "TZ": "Asia/Kathmandu",
        "LC_ALL": "C",
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | own,
        capture_output=True,
        text=True,
        check=True,
    )
    there = as_it_is(done.stdout.strip())
    assert there.identity == here.identity
    assert contents_of(there) == contents_of(here)
    for file in here.files:
        if file["path"] != "manifest.json":  # its lineage tells when it was made
            assert file in there.files


def test_a_freezing_snapshot_says_how_far_it_is(project_id):
    snapshot_id = asked_for(project_id, queued=False)
    with transaction() as session:
        lease = service.start(session, snapshot_id=snapshot_id)
        service.hold(session, lease=lease, done=7, total=20)
    running = as_it_is(snapshot_id)
    assert (running.prompts_done, running.prompts_total) == (7, 20)
    with transaction() as session:
        again = service.start(session, snapshot_id=snapshot_id)
        service.hold(session, lease=again, done=7, total=20)
    build(again)
    ended = as_it_is(snapshot_id)  # it last said so a while before it was done
    assert (ended.prompts_done, ended.prompts_total) == (20, 20)
