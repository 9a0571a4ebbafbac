"""A reply leaves only after COMMIT: what was answered is true, what failed is not answered 200."""

import time

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import event, text

from app.db import SessionDep, SessionLocal
from app.web.problems import install
from tests.conftest import serving

pytestmark = pytest.mark.concurrency


@pytest.fixture
def address(concurrency_engine):
    """A small application that uses the real session dependency and the real error handlers."""
    app = FastAPI()
    install(app)

    @app.post("/api/rows/{name}")
    def add(session: SessionDep, name: str) -> dict[str, str]:
        session.execute(text("INSERT INTO note (name) VALUES (:name)"), {"name": name})
        return {"saved": name}

    with concurrency_engine.begin() as connection:
        connection.execute(
            text("CREATE TABLE note (name text UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        )
    with serving(app) as address:
        yield address


def test_the_row_is_committed_when_the_reply_arrives(address, concurrency_engine):
    def slow_commit(_connection):
        time.sleep(0.3)

    event.listen(concurrency_engine, "commit", slow_commit)
    started = time.monotonic()
    reply = httpx2.post(f"{address}/api/rows/first")
    took = time.monotonic() - started
    event.remove(concurrency_engine, "commit", slow_commit)

    assert reply.status_code == 200
    assert took >= 0.3  # the reply waited for the commit
    with SessionLocal() as session:
        assert session.scalar(text("SELECT count(*) FROM note")) == 1


def test_a_commit_that_fails_is_answered_as_a_conflict(address):
    assert httpx2.post(f"{address}/api/rows/same").status_code == 200
    reply = httpx2.post(f"{address}/api/rows/same")  # the constraint fires at COMMIT
    assert reply.status_code == 409
    assert reply.json()["title"] == "That has changed meanwhile"
