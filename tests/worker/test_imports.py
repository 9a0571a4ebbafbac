"""Imports whose worker or database connection is killed in the middle, and several at once."""

import gc
import signal
import threading
from uuid import UUID

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.sql.selectable import TableValuedAlias

from app import artifacts
from app.accounts.models import User
from app.annotation.models import Annotation
from app.corpus import service
from app.corpus.models import Import, Prompt, Response
from app.db import Base, JobState, SessionLocal, transaction, vouched_keys
from app.projects.models import Project
from app.tasks.models import Assignment, Task, TaskResponse
from app.worker.imports import import_file, run_import
from tests.corpus.files import json_lines, pair
from tests.factories import make_project
from tests.people import make_people
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.concurrency
ROWS = 60


@pytest.fixture
def site(concurrency_engine):
    with SessionLocal.begin() as session:
        return make_people(session).project.id


def lines():
    judged = [{"annotator": name, "ranks": [1, 2]} for name in ("T1", "T2")]
    return [pair(f"{n}?", annotations=judged) for n in range(ROWS)]


def requested(site, tmp_path) -> Import:
    with transaction() as session:
        row = service.request_import(
            session,
            project=session.get_one(Project, site),
            by=session.scalars(select(User).where(User.name == "Ada")).one(),
            upload=json_lines(tmp_path / "upload", lines()),
            filename="a.jsonl",
            format="auto",
            skip_bad_lines=False,
        )
        session.flush()
        session.expunge(row)
        return row


def reread(row) -> Import:
    with transaction() as session:
        fresh = session.get_one(Import, row.id)
        session.expunge(fresh)
        return fresh


def kept() -> dict[str, int]:
    with transaction() as session:
        return {
            model.__tablename__: session.scalars(select(func.count()).select_from(model)).one()
            for model in (Prompt, Response, Task, TaskResponse, Assignment, Annotation)
        }


ALL = {
    "prompt": ROWS,
    "response": 2 * ROWS,
    "task": ROWS,
    "task_response": 2 * ROWS,
    "assignment": 2 * ROWS,
    "annotation": 2 * ROWS,
}
NOTHING = dict.fromkeys(ALL, 0)


def held_up(blocker) -> list[int]:
    """Who waits to write judgements: prompts and tasks are written, not committed, by then."""
    return list(
        blocker.scalars(
            text("SELECT pid FROM pg_locks WHERE relation = 'annotation'::regclass AND NOT granted")
        )
    )


def test_a_worker_killed_in_the_middle_leaves_nothing_and_another_one_does_it_all(
    site, tmp_path, start_worker
):
    row = requested(site, tmp_path)
    with SessionLocal() as blocker:
        blocker.execute(text("LOCK TABLE annotation IN SHARE MODE"))
        first = start_worker()
        until(lambda: held_up(blocker))
        first.send_signal(signal.SIGKILL)
        first.wait()
        blocker.rollback()
    assert (reread(row).state, kept()) == (JobState.RUNNING, NOTHING)
    assert artifacts.exists(row.path)

    start_worker()
    until(lambda: reread(row).state.is_final)

    done = reread(row)
    assert (done.state, done.attempt) == (JobState.SUCCEEDED, 2)
    assert (done.rows_read, done.rows_imported, done.bytes_read) == (ROWS, ROWS, done.bytes)
    assert kept() == ALL
    until(lambda: not artifacts.exists(f"imports/{row.id}"))


def test_a_database_connection_killed_in_the_middle_puts_the_import_back(
    site, tmp_path, server_url
):
    row = requested(site, tmp_path)
    with SessionLocal() as blocker:
        blocker.execute(text("LOCK TABLE annotation IN SHARE MODE"))
        worker = threading.Thread(target=run_import, args=[row.id])
        worker.start()
        until(lambda: held_up(blocker))
        blocker.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": held_up(blocker)[0]})
        worker.join(PATIENCE)
        blocker.rollback()
    assert (reread(row).state, kept()) == (JobState.QUEUED, NOTHING)
    assert artifacts.exists(row.path)
    run_import(row.id)
    assert (reread(row).state, kept()) == (JobState.SUCCEEDED, ALL)
    assert not artifacts.exists(f"imports/{row.id}")


def test_a_file_that_ends_its_worker_again_and_again_is_given_up(site, tmp_path):
    row = requested(site, tmp_path)
    with transaction() as session:
        session.get_one(Import, row.id).attempt = 10
    run_import(row.id)
    done = reread(row)
    assert (done.state, kept()) == (JobState.FAILED, NOTHING)
    assert "ended again and again while it read this file" in done.error


def test_who_waits_for_another_import_can_be_cancelled_and_shows_that_it_lives(
    site, tmp_path, monkeypatch
):
    monkeypatch.setattr("app.worker.imports.bringing.PROGRESS_EVERY", 0.01)
    first, second = (requested(site, tmp_path) for _ in range(2))
    with SessionLocal() as blocker:
        blocker.execute(text("LOCK TABLE annotation IN SHARE MODE"))
        workers = [threading.Thread(target=run_import, args=[first.id])]
        workers[0].start()
        until(lambda: held_up(blocker))
        workers.append(threading.Thread(target=run_import, args=[second.id]))
        workers[1].start()
        until(lambda: (seen := reread(second).seen_at) and seen > reread(second).created_at)
        before = reread(second).seen_at
        until(lambda: reread(second).seen_at > before)
        with transaction() as session:
            waiting = session.get_one(Import, second.id)
            ada = session.scalars(select(User).where(User.name == "Ada")).one()
            service.cancel_import(session, row=waiting, by=ada)
        workers[1].join(PATIENCE)
        assert not workers[1].is_alive()
        blocker.rollback()
        workers[0].join(PATIENCE)
    assert (reread(first).state, reread(second).state) == (
        JobState.SUCCEEDED,
        JobState.CANCELLED,
    )
    assert kept() == ALL


def test_imports_into_two_projects_at_once_do_not_wait_in_a_circle(site, tmp_path, monkeypatch):
    monkeypatch.setattr("app.worker.imports.bringing.BATCH", 7)
    with SessionLocal.begin() as session:
        ada = session.scalars(select(User).where(User.name == "Ada")).one()
        other = make_project(session, "Another", by=ada).id
    there = json_lines(tmp_path / "there.jsonl", lines())
    back = json_lines(tmp_path / "back.jsonl", lines()[::-1])
    done = []
    threads = [
        threading.Thread(target=lambda p=p, f=f: done.append(import_file(project_id=p, file=f)))
        for p, f in ((site, there), (other, back), (site, back), (other, there))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted((row.state, row.rows_imported) for row in done) == [
        (JobState.SUCCEEDED, 0),
        (JobState.SUCCEEDED, 0),
        (JobState.SUCCEEDED, ROWS),
        (JobState.SUCCEEDED, ROWS),
    ]
    assert kept() == {name: 2 * count for name, count in ALL.items()}


def orphans(session) -> dict[str, int]:
    """Rows that name one that is not there, by their foreign key."""
    missing = {}
    for table in Base.metadata.tables.values():
        for key in table.foreign_keys:
            named = key.column.table.alias()
            is_there = select(named).where(named.c[key.column.name] == key.parent).exists()
            lost = select(func.count()).where(key.parent.is_not(None), ~is_there)
            missing[f"{table.name}.{key.parent.name}"] = session.scalars(lost).one()
    return {name: count for name, count in missing.items() if count}


def test_whatever_is_new_and_whatever_was_there_no_row_names_one_that_is_missing(
    site, tmp_path, monkeypatch
):
    monkeypatch.setattr("app.worker.imports.bringing.BATCH", 7)
    judged = lines()
    for number, line in enumerate(judged):
        if number % 5 == 0:
            line["gold"] = {"prefers": [[0, 1]]}
        line["annotations"].append({"annotator": "dataset:old", "ranks": [2, 1]})
    first = json_lines(tmp_path / "first.jsonl", judged[::2])
    import_file(project_id=site, file=first)
    import_file(project_id=site, file=json_lines(tmp_path / "all.jsonl", judged))
    with transaction() as session:
        assert orphans(session) == {}
    assert kept() == ALL | {"annotation": 3 * ROWS}


def statements() -> int:
    """Parts of statements with many rows that are in memory."""
    return sum(isinstance(each, TableValuedAlias) for each in gc.get_objects())


def test_rows_that_are_written_are_not_kept_by_statements_that_hold_each_other(
    site, tmp_path, monkeypatch
):
    """A worker looks for such circles rarely; the rows of a long file would pile up."""
    monkeypatch.setattr("app.worker.imports.bringing.BATCH", 1)
    gc.collect()
    gc.disable()
    before = statements()
    try:
        import_file(project_id=site, file=json_lines(tmp_path / "a.jsonl", lines()))
        assert statements() - before < ROWS
    finally:
        gc.enable()
    assert kept() == ALL


def test_vouched_keys_are_believed_and_those_after_them_are_not(site):
    stray = {"prompt_id": UUID(int=1), "text": "To nothing."}
    with SessionLocal() as session:
        with vouched_keys(session):
            session.execute(insert(Response).values(content_hash=b"1", **stray))
        assert orphans(session) == {"response.prompt_id": 1}
        with pytest.raises(IntegrityError, match="fk_response_prompt_id_prompt"):
            session.execute(insert(Response).values(content_hash=b"2", **stray))


def test_keys_are_checked_where_the_role_may_not_vouch_for_them(site):
    asked = text("SHOW session_replication_role")
    with SessionLocal() as session, vouched_keys(session):
        assert session.scalar(asked) == "replica"
    with SessionLocal() as session:
        session.execute(text("SET LOCAL ROLE pg_database_owner"))  # ours, without that right
        with vouched_keys(session):
            assert session.scalar(asked) == "origin"


@pytest.mark.parametrize("model", [Project, Import])
def test_what_the_rows_of_an_import_name_stays_while_it_runs(site, tmp_path, monkeypatch, model):
    """No key is checked of prompts that nobody has judged, and still nobody takes these away."""
    finish = service.finish_import
    answers = []

    def remove_before_the_end(session, *, import_id, **about):
        named = {Project: site, Import: import_id}[model]
        with SessionLocal() as other:
            other.execute(text("SET LOCAL lock_timeout = '200ms'"))
            with pytest.raises(OperationalError, match="lock timeout"):
                other.execute(model.__table__.delete().where(model.__table__.c.id == named))
        answers.append(model)
        finish(session, import_id=import_id, **about)

    monkeypatch.setattr(service, "finish_import", remove_before_the_end)
    file = json_lines(tmp_path / "a.jsonl", [{"prompt": f"{n}?"} for n in range(3)])
    assert import_file(project_id=site, file=file).rows_imported == 3
    assert answers == [model]
