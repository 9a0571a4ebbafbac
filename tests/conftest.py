"""A real PostgreSQL for the whole run; each test sees a database that forgets what it did."""

import gc
import sys

if "pytest" in sys.modules:  # not where a benchmark takes a function from here
    gc.disable()  # what is loaded now stays: to look through it again and again takes seconds

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from anyio.from_thread import start_blocking_portal
from argon2 import PasswordHasher
from fastapi import FastAPI
from hypothesis import settings as property_tests
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts import service as accounts
from app.accounts.models import User
from app.accounts.service import passwords
from app.config import settings
from app.db import SessionLocal, connect, database_now, get_set_time
from app.main import create_app
from app.projects.models import Project
from app.schema import migrate
from app.tasks import queries
from app.web.protection import SESSION_COOKIE, form_token_for
from tests.people import People, find_people, make_noise, make_people
from tests.waiting import PATIENCE, until

property_tests.register_profile("busy", property_tests(), deadline=None)  # a machine may be
property_tests.load_profile("busy")


def pytest_xdist_auto_num_workers() -> int:
    """Half as many again as there are cores: many a test waits for a page or a process."""
    return 3 * (os.cpu_count() or 2) // 2


class TellAtOnce:
    """Each failure when it happens: a run that is stopped half-way has told what it found."""

    def __init__(self, terminal: Any) -> None:
        self.terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.terminal.ensure_newline()
            self.terminal.write_sep("_", f"{report.nodeid} ({report.when})", red=True)
            self.terminal.write_line(report.longreprtext)


@pytest.hookimpl(trylast=True)  # once there is a terminal
def pytest_configure(config: pytest.Config) -> None:
    if "CI" in os.environ and (terminal := config.pluginmanager.get_plugin("terminalreporter")):
        config.pluginmanager.register(TellAtOnce(terminal))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that none of them is left when all others are done.

    Those of a place that takes long to build come before everything: from the end of a worker's
    tests others steal, and whoever does would build it once more.
    """
    items.sort(key=lambda item: (item.path.name != "test_up.py", "journeys" not in item.path.parts))


def pytest_collection_finish() -> None:
    """From here on there is something to collect, but not what all tests have loaded."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home of its own for this run: no test touches the developer's data."""
    folder = tmp_path_factory.mktemp("home")
    folder.chmod(0o755)
    object.__setattr__(settings, "home", folder)  # the settings are frozen for everybody else
    for name in ("home_path", "artifacts_url", "secrets_path"):
        settings.__dict__.pop(name, None)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> None:
    """To hash one takes 64 MB and a tenth of a second where it protects somebody."""
    passwords.HASHER = PasswordHasher(time_cost=1, memory_cost=64)


@pytest.fixture(scope="session")
def server_url(home: Path) -> Iterator[str]:
    """A PostgreSQL server of this run; `TOUCHSTONE_TEST_SERVER` names another one to use."""
    given = os.environ.get("TOUCHSTONE_TEST_SERVER")
    if given:
        yield given
        return
    from tests.in_memory import quick_server

    with quick_server(home) as url:
        yield url


def psycopg_url(url: str, database: str | None = None) -> str:
    parsed = make_url(url).set(drivername="postgresql+psycopg")
    if database:
        parsed = parsed.set(database=database)
    return parsed.render_as_string(hide_password=False)


@contextmanager
def maintenance(server_url: str) -> Iterator[Connection]:
    engine = create_engine(psycopg_url(server_url), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def fresh_database(server_url: str, template: str | None = None) -> Iterator[str]:
    """A database for as long as the block lasts; a copy of `template` takes 0.05 s."""
    name = f"test_{uuid4().hex[:12]}"
    with maintenance(server_url) as connection:
        copy = f' TEMPLATE "{template}"' if template else ""
        connection.execute(text(f'CREATE DATABASE "{name}"{copy}'))
    try:
        yield name
    finally:
        drop_database(server_url, name)


def drop_database(server_url: str, name: str) -> None:
    """Drop it with all connections to it, but for those of autovacuum, which end soon."""
    with maintenance(server_url) as connection:
        for pause in (0.1, 0.3, 1.0, 3.0, 10.0, None):
            try:
                connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
            except ProgrammingError as error:
                if pause is None or not isinstance(error.orig, InsufficientPrivilege):
                    raise
                time.sleep(pause)
            else:
                return


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[str]:
    """The name of a migrated, empty database that nothing is connected to."""
    with fresh_database(server_url) as name:
        engine = create_engine(psycopg_url(server_url, name))
        migrate(engine)
        engine.dispose()
        yield name


@contextmanager
def furnished(
    server_url: str, template: str, *furnish: Callable[[Session], object]
) -> Iterator[Engine]:
    """A database in which these functions have made their rows."""
    with fresh_database(server_url, template) as name:
        engine = create_engine(
            psycopg_url(server_url, name), connect_args={"options": "-c timezone=UTC"}
        )
        with Session(engine) as session:
            for each in furnish:
                each(session)
            session.commit()
        yield engine
        engine.dispose()


@pytest.fixture(scope="session")
def engine(server_url: str, template: str) -> Iterator[Engine]:
    """A database where only somebody else's project is at work."""
    with furnished(server_url, template, make_noise) as engine:
        yield engine


@pytest.fixture(scope="session")
def peopled_engine(server_url: str, template: str) -> Iterator[Engine]:
    """One where our people have theirs beside it: to make them anew for each test takes long."""
    with furnished(server_url, template, make_noise, make_people) as engine:
        yield engine


@pytest.fixture
def connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
    """One connection in one transaction that is rolled back; commits are savepoint releases."""
    needs_people = "people" in request.fixturenames
    engine = request.getfixturevalue("peopled_engine" if needs_people else "engine")
    for known in (queries.wanted._lanes_known, queries.people._wanted):
        known.clear()  # the project is the same in each test, what lies in it is not
    with engine.connect() as connection:
        outer = connection.begin()
        SessionLocal.configure(bind=connection, join_transaction_mode="create_savepoint")
        yield connection
        outer.rollback()
        SessionLocal.configure(bind=None, join_transaction_mode="conditional_savepoint")


@pytest.fixture
def session(connection: Connection) -> Iterator[Session]:
    """What a test looks at the database with, and makes its rows in."""
    with SessionLocal() as session:
        yield session


@pytest.fixture
def people(session: Session) -> People:
    return find_people(session)


@pytest.fixture
def ana(people: People) -> User:
    return people.ana


@pytest.fixture
def rui(people: People) -> User:
    return people.rui


@pytest.fixture
def ada(people: People) -> User:
    return people.ada


@pytest.fixture
def vic(people: People) -> User:
    return people.vic


@pytest.fixture
def sam(people: People) -> User:
    return people.sam


@pytest.fixture
def project(people: People) -> Project:
    return people.project


class Clock:
    """The database's clock as the application sees it through `Now`."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def advance(self, **amount: float) -> datetime:
        self.now += timedelta(**amount)
        return self.now


@cache
def application() -> FastAPI:
    """The one of this process: to put it together takes a second."""
    return create_app()


@pytest.fixture(scope="session")
def app() -> FastAPI:
    return application()


@pytest.fixture
def clock(session: Session, app: FastAPI) -> Iterator[Clock]:
    clock = Clock(database_now(session))
    app.dependency_overrides[get_set_time] = lambda: clock.now
    yield clock
    del app.dependency_overrides[get_set_time]


@pytest.fixture(scope="session", autouse=True)
def one_loop() -> Iterator[None]:
    """All requests of the run share an event loop and its threads; else each would make its own."""
    with start_blocking_portal("asyncio") as portal:
        TestClient.portal = portal
        yield
        TestClient.portal = None


@pytest.fixture
def client(app: FastAPI, session: Session) -> TestClient:
    """Nobody's browser."""
    return TestClient(app, base_url="https://testserver", follow_redirects=False)


@pytest.fixture
def sign_in(app: FastAPI, session: Session) -> Callable[[User], TestClient]:
    """The signed-in browser of a person, whose pages know the form token."""

    def browser_of(user: User) -> TestClient:
        now = app.dependency_overrides.get(get_set_time, lambda: database_now(session))()
        token = accounts.open_session(session, user=user, now=now)
        session.commit()
        client = TestClient(app, base_url="https://testserver", follow_redirects=False)
        client.cookies.set(SESSION_COOKIE, token)
        client.headers["X-Form-Token"] = form_token_for(token)
        return client

    return browser_of


@pytest.fixture
def api(app: FastAPI, session: Session) -> Callable[[User], TestClient]:
    """A program with an API token of a person."""

    def program_of(user: User) -> TestClient:
        key = accounts.create_token(session, user=user, name="test", now=database_now(session))
        session.commit()
        return TestClient(
            app,
            base_url="https://testserver",
            headers={"Authorization": f"Bearer {key}"},
            follow_redirects=False,
        )

    return program_of


@pytest.fixture
def concurrency_engine(server_url: str, template: str) -> Iterator[Engine]:
    """A database of its own with real, separate connections."""
    with fresh_database(server_url, template) as name:
        engine = connect(psycopg_url(server_url, name), pool_size=40)
        yield engine
        engine.dispose()
        SessionLocal.configure(bind=None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(app: FastAPI | None = None) -> Iterator[str]:
    """The application behind a real port, over the database that sessions are bound to."""
    import uvicorn

    config = uvicorn.Config(
        app or application(),
        log_level="warning",
        ws="none",
        timeout_graceful_shutdown=5,  # a test may leave a stream behind
    )
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    until(lambda: server.started)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(PATIENCE)


@pytest.fixture
def live_server(concurrency_engine: Engine) -> Iterator[str]:
    """The application behind a real port, over a database of its own; answers its address."""
    with serving() as address:
        yield address


def chromium_path() -> str | None:
    names = (
        os.environ.get("CHROMIUM", ""),  # `make test` finds or installs one
        "chromium-headless-shell",
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
    )
    return next((path for name in names if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """Chromium, driven by Playwright."""
    from playwright.sync_api import sync_playwright

    path = chromium_path()
    if path is None:
        pytest.fail("No Chromium here. Install it (Debian: apt-get install chromium), then rerun.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--no-first-run",
            ],
        )
        yield browser
        browser.close()
