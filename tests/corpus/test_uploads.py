"""Files on their way in: slow ones, broken ones, too many, and what they leave behind."""

import os
import socket
import time
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import select, text

from app import artifacts
from app.accounts import service as accounts
from app.config import settings
from app.corpus import service
from app.corpus.models import Import
from app.db import SessionLocal, database_now, transaction
from app.worker.imports import run_import
from app.worker.imports.upkeep import requeue_lost_imports, tidy_uploads
from tests.corpus.files import json_lines, pair
from tests.people import make_people
from tests.waiting import until

LINE = b'{"prompt": "x", "responses": ["a", "b"]}\n'
assert len(LINE) == 41
AGES = 10**6  # seconds
AT_ONCE = timedelta(seconds=-1)


@pytest.fixture
def caller(live_server):
    """Where Ada's program sends files, and its key."""
    with SessionLocal.begin() as session:
        people = make_people(session)
        key = accounts.create_token(
            session, user=people.ada, name="slow", now=database_now(session)
        )
        return live_server, str(people.project.id), {"Authorization": f"Bearer {key}"}


@contextmanager
def begun_upload(caller, *, size=41):
    """A request whose body has only begun to come."""
    address, project_id, headers = caller
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        head = (
            f"POST /api/v1/projects/{project_id}/imports HTTP/1.1\r\nHost: {host}\r\n"
            f"Authorization: {headers['Authorization']}\r\nContent-Length: {size}\r\n"
            "Connection: close\r\n\r\n"
        )
        connection.sendall(head.encode() + LINE[:10])
        yield connection


def workspaces():
    return set((settings.home_path / "artifacts" / ".work").glob("touchstone-*"))


@pytest.mark.concurrency
def test_slow_uploads_keep_nobody_from_the_database(caller):
    address, _, headers = caller
    many = settings.pool_size + 2
    before = workspaces()
    uploads = [begun_upload(caller) for _ in range(many)]
    connections = [upload.__enter__() for upload in uploads]
    until(lambda: len(workspaces() - before) == many)  # all of them wait for their bodies
    reply = httpx2.get(f"{address}/api/v1/projects", headers=headers, timeout=20)
    assert reply.status_code == 200
    with transaction() as session:
        held = session.scalar(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND state LIKE 'idle in transaction%'"
            )
        )
    assert held == 0
    for connection in connections:
        connection.sendall(LINE[10:])
    assert {connection.recv(12) for connection in connections} == {b"HTTP/1.1 202"}
    for upload in uploads:
        upload.__exit__(None, None, None)


@pytest.mark.concurrency
def test_a_client_that_stops_in_the_middle_leaves_nothing(caller):
    before = workspaces()
    with begun_upload(caller, size=10**6):
        until(lambda: len(workspaces() - before) == 1)
    until(lambda: workspaces() <= before)
    with transaction() as session:
        assert session.scalars(select(Import)).all() == []


def test_nothing_is_read_of_somebody_who_may_not_import(api, ana, sam, project):
    def body():
        raise AssertionError("it was read")
        yield b""

    address = f"/api/v1/projects/{project.id}/imports"
    assert api(ana).post(address, content=body()).status_code == 403
    assert api(sam).post(address, content=body()).status_code == 404


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told_and_nothing_stays(api, ada, project, session, tmp_path, monkeypatch):
    @contextmanager
    def full():
        (tmp_path / "upload").symlink_to("/dev/full")
        yield tmp_path

    monkeypatch.setattr("app.web.uploads.workspace", full)
    reply = api(ada).post(f"/api/v1/projects/{project.id}/imports", content=LINE * 100_000)
    assert reply.status_code == 507
    assert "no room for this file on the server's disk" in reply.json()["detail"]
    assert session.scalars(select(Import).where(Import.project_id == project.id)).all() == []


def staged(session, project, user, tmp_path) -> Import:
    file = json_lines(tmp_path / f"{uuid4()}.jsonl", [pair()])
    row = service.request_import(
        session,
        project=project,
        by=user,
        upload=file,
        filename="a.jsonl",
        format="auto",
        skip_bad_lines=False,
    )
    session.commit()
    return row


def orphan(*, age: float) -> str:
    path = f"imports/{uuid4()}/upload"
    file = artifacts.local_path(path)
    file.parent.mkdir(parents=True)
    file.write_bytes(LINE)
    os.utime(file, (time.time() - age,) * 2)
    return path


def test_the_start_of_a_worker_removes_files_that_no_import_knows(session, project, ada, tmp_path):
    row = staged(session, project, ada, tmp_path)
    os.utime(artifacts.local_path(row.path), (0, 0))
    old, fresh = orphan(age=AGES), orphan(age=0)
    tidy_uploads()
    assert [artifacts.exists(path) for path in (row.path, old, fresh)] == [True, False, True]


def test_workspaces_of_the_dead_are_removed_and_those_of_the_living_stay():
    with artifacts.workspace() as held:
        left = held.with_name("touchstone-left-by-a-killed-process")
        (left / "upload").mkdir(parents=True)
        young = held.with_name("touchstone-made-just-now")
        young.mkdir()
        for folder in (held, left):
            os.utime(folder, (0, 0))
        artifacts.remove_abandoned_workspaces()
        assert [folder.exists() for folder in (held, left, young)] == [True, False, True]
        young.rmdir()


def test_an_import_cancelled_before_it_began_leaves_no_file(session, project, ada, tmp_path):
    row = staged(session, project, ada, tmp_path)
    service.cancel_import(session, row=row, by=ada)
    session.commit()
    run_import(row.id)
    assert not artifacts.exists(f"imports/{row.id}")


def test_an_import_without_a_job_is_queued_again(session, project, ada, tmp_path):
    row = staged(session, project, ada, tmp_path)

    def jobs():
        return session.scalars(
            text("SELECT status::text FROM procrastinate_jobs WHERE args->>'import_id' = :id"),
            {"id": str(row.id)},
        ).all()

    assert requeue_lost_imports(session, silent_for=AT_ONCE) == 0  # its job waits
    session.execute(text("UPDATE procrastinate_jobs SET status = 'failed'"))
    assert requeue_lost_imports(session, silent_for=AT_ONCE) == 1
    assert requeue_lost_imports(session, silent_for=AT_ONCE) == 0
    assert sorted(jobs()) == ["failed", "todo"]


def test_an_import_whose_program_is_gone_ends(session, project, ada):
    row = service.new_import(
        session,
        project=project,
        by=ada,
        filename="a.jsonl",
        format="auto",
        skip_bad_lines=False,
        size=1,
    )
    session.flush()
    now = database_now(session)
    service.start_import(session, import_id=row.id, now=now)
    requeue_lost_imports(session, silent_for=AT_ONCE)
    session.refresh(row)
    assert row.state == "running"  # it may only be slow
    session.execute(text("UPDATE import SET seen_at = now() - interval '1 day'"))
    requeue_lost_imports(session, silent_for=AT_ONCE)
    session.refresh(row)
    assert (row.state, row.error) == (
        "failed",
        "The import was interrupted, so nothing was imported. Start it again.",
    )
