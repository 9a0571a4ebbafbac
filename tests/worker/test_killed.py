"""An undoing and a comparison whose worker is killed in the middle: the next one ends them."""

import signal
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text

from app import artifacts
from app.accounts.models import User
from app.annotation.models import Annotation
from app.corpus import service
from app.corpus.models import Import, Prompt, Response
from app.datasets.models import Snapshot, SnapshotComparison
from app.datasets.schemas import Recipe
from app.datasets.service import comparisons
from app.db import JobState, SessionLocal, transaction
from app.projects.models import Project
from app.tasks.models import Task
from app.worker.imports import import_file, undo_import
from app.worker.imports.upkeep import requeue_lost_imports
from app.worker.snapshots import freeze_now
from tests.corpus.files import json_lines, pair
from tests.people import make_people
from tests.waiting import until

pytestmark = pytest.mark.concurrency
ROWS = 1_100  # three batches of an undoing


@pytest.fixture
def site(concurrency_engine):
    with SessionLocal.begin() as session:
        return make_people(session).project.id


def brought_in(site, tmp_path, rows=ROWS):
    judged = [{"annotator": "T1", "ranks": [1, 2]}]
    lines = [pair(f"Question {n}?", annotations=judged) for n in range(rows)]
    return import_file(project_id=site, file=json_lines(tmp_path / "in.jsonl", lines)).id


def ask_to_undo(import_id):
    with transaction() as session:
        ada = session.scalars(select(User).where(User.name == "Ada")).one()
        service.request_undo(session, row=session.get_one(Import, import_id), by=ada)


def reread(model, its):
    with transaction() as session:
        fresh = session.get_one(model, its)
        session.expunge(fresh)
        return fresh


def numbers():
    with transaction() as session:
        return [
            session.scalars(select(func.count()).select_from(model)).one()
            for model in (Task, Prompt, Response, Annotation)
        ]


def waits_for_row(blocker):
    waiting = (
        "SELECT pid FROM pg_locks"
        " WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    )
    return blocker.scalars(text(waiting)).all()


def test_an_undoing_whose_worker_is_killed_goes_on_where_it_was(site, tmp_path, start_worker):
    import_id = brought_in(site, tmp_path)
    with SessionLocal() as blocker:
        last = select(Task.prompt_id).order_by(Task.id.desc()).limit(1).scalar_subquery()
        blocker.execute(select(Prompt.id).where(Prompt.id == last).with_for_update())
        ask_to_undo(import_id)
        first = start_worker()
        until(lambda: waits_for_row(blocker))
        first.send_signal(signal.SIGKILL)
        first.wait()
        blocker.rollback()
    half = reread(Import, import_id)
    assert (half.undone["tasks"], half.undone_at) == (1_000, None)
    assert numbers() == [100, 100, 200, 100]

    start_worker()
    until(lambda: reread(Import, import_id).undone_at)
    done = reread(Import, import_id)
    gone = [done.undone[name] for name in ("tasks", "prompts", "responses", "people")]
    assert gone == [ROWS, ROWS, 2 * ROWS, 1]
    assert numbers() == [0, 0, 0, 0]


def test_an_undoing_whose_job_was_lost_is_queued_again(site, tmp_path):
    import_id = brought_in(site, tmp_path, rows=3)
    ask_to_undo(import_id)
    with transaction() as session:
        assert requeue_lost_imports(session, silent_for=timedelta(0)) == 0  # it has its job
        session.execute(text("UPDATE procrastinate_jobs SET status = 'failed'"))
    with transaction() as session:
        assert requeue_lost_imports(session, silent_for=timedelta(minutes=1)) == 0
        assert requeue_lost_imports(session, silent_for=timedelta(0)) == 1
    undo_import(import_id)
    with transaction() as session:
        session.execute(text("DELETE FROM procrastinate_jobs"))
        assert requeue_lost_imports(session, silent_for=timedelta(0)) == 0


def test_a_comparison_whose_worker_is_killed_is_made_by_the_next(
    site, tmp_path, start_worker, monkeypatch
):
    """Killed when its files are stored, and not registered yet."""
    brought_in(site, tmp_path, rows=30)
    made = [freeze_now(project_id=site, recipe=Recipe(seed=seed)).id for seed in (1, 2)]
    monkeypatch.setattr(comparisons, "AT_ONCE", 0)
    with SessionLocal() as reads, SessionLocal() as writes:
        reads.execute(text("LOCK TABLE project IN ACCESS EXCLUSIVE MODE"))
        with transaction() as session:
            before, after = (session.get_one(Snapshot, its) for its in made)
            its = comparisons.comparison_of(session, before=before, after=after).id
        first = start_worker()
        until(lambda: reread(SnapshotComparison, its).state is JobState.RUNNING)
        row = select(SnapshotComparison.id).where(SnapshotComparison.id == its)
        writes.execute(row.with_for_update())
        reads.rollback()
        until(lambda: artifacts.exists(f"comparisons/{its}/attempt-1"))
        first.send_signal(signal.SIGKILL)
        first.wait()
        writes.rollback()
    assert reread(SnapshotComparison, its).path is None

    start_worker()
    until(lambda: reread(SnapshotComparison, its).state.is_final)
    done = reread(SnapshotComparison, its)
    assert (done.state, done.attempt) == (JobState.SUCCEEDED, 2)
    assert done.path == f"comparisons/{its}/attempt-2"
    until(lambda: artifacts.folders(f"comparisons/{its}") == ["attempt-2"])
    with transaction() as session:
        assert session.get_one(Project, site)
