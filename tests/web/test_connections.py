"""Requests and database connections: many at once, and connections that die while idle."""

import http.client
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from fastapi import FastAPI
from sqlalchemy import func, select, text, update

from app.accounts.models import User
from app.config import settings
from app.db import Now, SessionDep, commit_halfway, connect, transaction
from app.schema import migrate
from tests.conftest import fresh_database, maintenance, psycopg_url, serving
from tests.factories import make_user

pytestmark = pytest.mark.concurrency


@pytest.fixture
def engine(server_url):
    """As a web process has it, with the pool of the settings."""
    with fresh_database(server_url) as name:
        engine = connect(psycopg_url(server_url, name))
        yield engine
        engine.dispose()


@pytest.fixture
def netloc(engine):
    app = FastAPI()

    @app.get("/")
    def ask(session: SessionDep, now: Now) -> int:
        session.execute(text("SELECT pg_sleep(0.02)"))
        return 1

    with serving(app) as address:
        yield address.removeprefix("http://")


def test_many_more_requests_than_connections_all_get_their_turn(netloc):
    many = 6 * settings.pool_size
    start = threading.Barrier(many)

    def ask(_number):
        connection = http.client.HTTPConnection(netloc)
        connection.connect()
        start.wait()
        connection.request("GET", "/")
        with closing(connection):
            return connection.getresponse().status

    with ThreadPoolExecutor(many) as pool:
        assert set(pool.map(ask, range(many))) == {200}


def test_a_connection_that_the_server_ended_while_it_was_idle_is_replaced(engine, server_url):
    def backend():
        with transaction() as session:
            return session.scalar(select(func.pg_backend_pid()))

    first = backend()
    assert backend() == first  # it waits in the pool
    with maintenance(server_url) as other:
        assert other.scalar(select(func.pg_terminate_backend(first, 5_000)))
    assert backend() != first


def test_columns_are_described_to_whoever_looks_at_them(engine):
    with engine.connect() as connection:
        found = connection.execute(text("SELECT 1 AS one, 'b' AS two, 3 AS one"))
        assert found.cursor is not None
        assert [column.name for column in found.cursor.description] == ["one", "two", "one"]
        assert found.cursor.description[1].type_code
        assert len(found.cursor.description) == 3
        assert found.one() == (1, "b", 3)
        nothing = connection.connection.cursor()
        nothing.execute("SET LOCAL lock_timeout = 0")
        assert nothing.description is None


def test_after_a_commit_halfway_what_others_changed_is_seen(engine):
    migrate(engine)
    with transaction() as session:
        user = make_user(session, "Before")
        hers = User.id == user.id
        commit_halfway(session)
        with engine.begin() as other:
            other.execute(update(User).where(hers).values(name="After"))
        assert user.name == "After"
