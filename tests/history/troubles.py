"""What goes wrong meanwhile: processes die, leases run out, admins change their minds."""

import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from uuid import UUID

import psutil
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import DBAPIError

from app import postgres
from app.accounts.models import User
from app.annotation import service as annotation
from app.db import SessionLocal, connect, database_now, transaction
from app.errors import found
from app.postgres import Cluster
from app.postgres.machine import wait_for_end
from app.projects import service as projects
from app.projects.models import Membership, Project
from app.projects.queries import member
from app.schema import migrate
from tests.conftest import free_port
from tests.history.events import OK, UNKNOWN, Recorder
from tests.history.work import Work
from tests.setup.processes import COMMAND, ROOT, environment, status, wait_until

STARTS = 120  # seconds; on a busy machine it may take long


class Web:
    """A web process that can be killed and started again at its port."""

    def __init__(self, home: Path, url: str) -> None:
        self.home, self.url, self.port = home, url, free_port()
        self.start()

    def start(self) -> None:
        with (self.home.parent / "web.log").open("a") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "serve", "--port", str(self.port)],
                env=environment(self.home, DATABASE_URL=self.url, TOUCHSTONE_LOG_LEVEL="error"),
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def wait(self) -> None:
        wait_until(lambda: status(self.port, "/readyz") == 200, seconds=STARTS)


class Place:
    """A database server and web processes of their own."""

    def __init__(self, attachment: postgres.Attachment, engine: Engine, webs: list[Web]) -> None:
        self.attachment, self.engine, self.webs = attachment, engine, webs

    def kill_web(self, rng: Random) -> None:
        web = rng.choice(self.webs)
        web.kill()
        web.start()

    def kill_backend(self, rng: Random) -> None:
        kill_backend(self.attachment.cluster, rng)
        self.attachment.ensure()

    def restart_database(self, rng: Random) -> None:
        """As in a power cut, or by an immediate shutdown."""
        postmaster = self.attachment.cluster.postmaster()
        if postmaster is not None:
            with suppress(psutil.NoSuchProcess):
                postmaster.send_signal(rng.choice((signal.SIGQUIT, signal.SIGKILL)))
                wait_for_end(postmaster, seconds=STARTS)
        self.attachment.ensure()


def kill_backend(cluster: Cluster, rng: Random) -> None:
    """One connection's server; PostgreSQL then ends all of them, and recovers."""
    postmaster = cluster.postmaster()
    with suppress(psutil.Error):  # they come and go
        parts = postmaster.children() if postmaster else []
        backends = [part for part in parts if "[local]" in " ".join(part.cmdline())]
        if backends:
            rng.choice(backends).kill()


def children(pid: int, command: str) -> list[psutil.Process]:
    """The parts of `up` that run `command`."""
    found = []
    for part in psutil.Process(pid).children():
        with suppress(psutil.NoSuchProcess):  # a zombie has no command
            if command in part.cmdline():
                found.append(part)
    return found


def kills(cluster: Cluster, supervisor: int) -> dict[str, Callable[[Random], None]]:
    """What can be killed under a running `touchstone up`, which starts it again."""

    def kill(running: list[psutil.Process], rng: Random) -> None:
        if running:
            with suppress(psutil.NoSuchProcess):
                rng.choice(running).kill()

    return {
        "web process": lambda rng: kill(children(supervisor, "serve"), rng),
        "worker": lambda rng: kill(children(supervisor, "worker"), rng),
        "connection": lambda rng: kill_backend(cluster, rng),
        "database": lambda rng: kill(list(filter(None, [cluster.postmaster()])), rng),
    }


@contextmanager
def place(home: Path, *, webs: int = 2) -> Iterator[Place]:
    attachment = postgres.attach(home)
    started: list[Web] = []
    engine = connect(attachment.url, pool_size=4)
    try:
        migrate(engine)
        started += [Web(home, attachment.url) for _ in range(webs)]
        for web in started:
            web.wait()
        yield Place(attachment, engine, started)
    finally:
        for web in started:
            web.kill()
        engine.dispose()
        SessionLocal.configure(bind=None)
        attachment.release()


class Admin:
    """Changes of mind in the midst of the work, recorded where the checker asks for them."""

    def __init__(self, work: Work, recorder: Recorder) -> None:
        self.work, self.recorder = work, recorder

    def let_leases_run_out(self, _rng: Random) -> None:
        """As if half an hour had passed for some of those who hold a task."""
        with transaction() as session:
            session.execute(
                text(
                    "UPDATE assignment SET leased_until = now() WHERE id IN (SELECT id FROM "
                    "assignment WHERE project_id = :project AND state = 'open' AND random() < 0.8 "
                    "FOR UPDATE SKIP LOCKED)"
                ),
                {"project": self.work.project_id},
            )

    def change_overlap(self, rng: Random, *, least: int = 2, most: int = 3) -> None:
        wanted = rng.randint(least, most)
        with transaction() as session:
            project = session.get_one(Project, self.work.project_id, with_for_update=True)
            project.overlap_min = project.overlap_max = wanted
        after: bytes | None = b""
        while after is not None:
            with transaction() as session:
                project = session.get_one(Project, self.work.project_id)
                after = annotation.apply_overlap(session, project=project, after=after)

    def pause_somebody(self, rng: Random) -> None:
        person, _ = rng.choice(self.work.people)
        self._tell("pause", person)

    def resume_everybody(self, _rng: Random) -> None:
        with SessionLocal() as session:
            paused = session.scalars(
                select(Membership.user_id).where(
                    Membership.project_id == self.work.project_id, Membership.paused_at.is_not(None)
                )
            ).all()
        for person in paused:
            self._tell("resume", str(person))

    def _tell(self, op: str, person: str) -> None:
        number = self.recorder.invoke(person=person, op=op)
        outcome = UNKNOWN
        try:
            with transaction() as session:
                project = session.get_one(Project, self.work.project_id)
                boss = session.get_one(User, self.work.boss_id)
                who = found(member(session, project=project, user_id=UUID(person)))
                about = {"project": project, "membership": who, "by": boss}
                if op == "pause":
                    now = database_now(session)
                    projects.pause_member(session, reason="A test", now=now, **about)
                else:
                    projects.resume_member(session, **about)
            outcome = OK
        finally:
            self.recorder.end(number, outcome)


class Troubles:
    """Makes trouble of all kinds in turn, and counts it."""

    def __init__(self, kinds: dict[str, Callable[[Random], None]], *, rng: Random) -> None:
        self.kinds, self.rng = kinds, rng
        self.made: Counter[str] = Counter()

    def make(self, kind: str | None = None) -> None:
        """One trouble; while the database is away, those that need it do nothing."""
        kind = kind or self.rng.choice(list(self.kinds))
        with suppress(DBAPIError):
            self.kinds[kind](self.rng)
            self.made[kind] += 1
