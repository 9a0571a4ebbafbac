"""Judgements per second and what each costs: `python -m tests.benchmarks.annotation [--tasks N]`.

Annotators without think time get the next comparison and submit, over HTTP, against the web
processes and a PostgreSQL of its own, with the load generator on the same machine. Beside it, in
the same run, an endpoint that only commits one row: the neighbourhood of the limit. CPU is that of
the server and of PostgreSQL. Prints, with `--plan` also how PostgreSQL finds a task; asserts
nothing.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from statistics import quantiles
from typing import Any
from uuid import UUID, uuid4

import httptools
import uvicorn
from fastapi import FastAPI
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from app.accounts import service as accounts
from app.accounts.models import RateLimit, Role, User
from app.cli.loading import loaded
from app.db import SessionDep, connect, database_now, transaction
from app.main import create_app
from app.postgres import running
from app.schema import migrate
from app.supervisor import listening, shared_page
from app.tasks.service.lending import take
from app.web.listening import Counts, SharingServer
from tests.conftest import psycopg_url
from tests.factories import (
    make_many_judged,
    make_many_tasks,
    make_member,
    make_project,
    make_user,
)
from tests.setup.processes import wait_until

WANTED = 9  # so many judgements are there that nobody runs out of tasks


def application() -> FastAPI:
    """The application as a web process runs it, and the bare endpoint beside it."""
    app = create_app(os.environ["BENCHMARK_DATABASE"])
    numbers = count()

    @app.post("/bare", dependencies=[])
    def bare(session: SessionDep) -> dict[str, bool]:
        session.add(RateLimit(key=f"bare {next(numbers)} {uuid4()}", tokens=1.0))
        return {"committed": True}

    @app.get("/process")
    def process() -> int:
        return os.getpid()

    return app


def serve(listener: int, counts: int, number: int) -> None:
    """A web process, as `touchstone serve` makes them."""
    own = socket.socket(fileno=listener)
    config = uvicorn.Config(application(), log_config=None, access_log=False, server_header=False)
    loaded()
    SharingServer(config, Counts(counts, number=number)).run(sockets=[own])


@dataclass
class Took:
    """Milliseconds of each request, by kind."""

    next: list[float] = field(default_factory=list)
    submit: list[float] = field(default_factory=list)
    failed: int = 0

    def __add__(self, other: "Took") -> "Took":
        return Took(self.next + other.next, self.submit + other.submit, self.failed + other.failed)


class Connection:
    """One kept open, with as little Python as can be: both sides share the machine."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.parser = httptools.HttpResponseParser(self)

    def request(self, head: str, body: bytes) -> tuple[int, bytes]:
        """Send a request → status and content."""
        self.content, self.over = b"", False
        self.socket.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        while not self.over:
            got = self.socket.recv(1 << 16)
            if not got:
                raise ConnectionError("The server hung up.")
            self.parser.feed_data(got)
        return self.parser.get_status_code(), self.content

    def on_body(self, part: bytes) -> None:
        self.content += part

    def on_message_complete(self) -> None:
        self.over = True

    def close(self) -> None:
        self.socket.close()


class Annotator:
    """One person's program on a connection of its own."""

    def __init__(self, port: int, key: str, project_id: str) -> None:
        self.connection = Connection(port)
        self.headers = (
            f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"
            "Content-Type: application/json\r\n"
        )
        self.path = f"/api/v1/projects/{project_id}/assignments"

    def call(self, method: str, path: str, body: Any, times: list[float]) -> tuple[int, Any]:
        head = f"{method} {path} HTTP/1.1\r\n{self.headers}Idempotency-Key: {uuid4()}\r\n"
        given = json.dumps(body).encode() if body else b""
        begun = time.perf_counter()
        status, content = self.connection.request(head, given)
        times.append((time.perf_counter() - begun) * 1000)
        return status, json.loads(content) if content else None

    def two_requests(self, until: float) -> Took:
        took = Took()
        while time.perf_counter() < until:
            status, task = self.call("POST", self.path, None, took.next)
            if status not in {200, 201}:
                took.failed += 1
                if status == 204:
                    break
                continue
            self.submit(task, took)
        return took

    def one_request(self, until: float) -> Took:
        took = Took()
        _, task = self.call("POST", self.path, None, took.next)
        while task and time.perf_counter() < until:
            task = self.submit(task, took, "?next=true")
        return took

    def submit(self, task: Any, took: Took, query: str = "") -> Any:
        body = {"ranking": [["A"], ["B"]], "strength": 1, "times": {"visible_ms": 1}}
        path = f"/api/v1/assignments/{task['id']}/annotation{query}"
        status, answer = self.call("PUT", path, body, took.submit)
        if status != 201:
            took.failed += 1
            return None
        return answer.get("next")

    def bare(self, until: float) -> Took:
        took = Took()
        while time.perf_counter() < until:
            status, _ = self.call("POST", "/bare", None, took.submit)
            took.failed += status != 200
        return took


def process_of(port: int) -> bytes:
    """The web process that takes a new connection; nothing while there is none."""
    try:
        head = "GET /process HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        return Connection(port).request(head, b"")[1]
    except OSError:
        return b""


@contextmanager
def server(url: str, *, webs: int) -> Iterator[tuple[int, list[int]]]:
    """So many web processes: their port, and their pids."""
    with listening("127.0.0.1", 0) as listener, shared_page() as page:
        port, shared = listener.getsockname()[1], [listener.fileno(), page.fileno()]
        command = [sys.executable, "-m", "tests.benchmarks.annotation", "--serve"]
        environment = {**os.environ, "BENCHMARK_DATABASE": url, "TOUCHSTONE_LOG_LEVEL": "error"}
        processes = [
            subprocess.Popen(
                [*command, *map(str, [*shared, number])], env=environment, pass_fds=shared
            )
            for number in range(webs)
        ]
        try:
            wait_until(
                lambda: len({process_of(port) for _ in range(4 * webs)} - {b""}) == webs,
                seconds=300,
            )
            yield port, [process.pid for process in processes]
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time of the processes and of their children that have ended."""
    total = 0
    for pid in pids:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
        except OSError:
            continue
        total += sum(int(each) for each in stat.rsplit(")", 1)[1].split()[11:15])
    return total / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and its children, as a PostgreSQL server has them."""
    children = []
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(each.read_text(encoding="ascii").rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if parent == pid:
            children.append(int(each.parent.name))
    return [pid, *children]


def memory_mb(pids: Sequence[int]) -> float:
    """Proportional share of memory: what is shared between processes counts once."""
    total = 0
    for pid in pids:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        except OSError:
            continue
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line[:4] == "Pss:")
    return total / 1024


def percentiles(times: Sequence[float]) -> str:
    if len(times) < 2:
        return f"{'–':>17}"
    cuts = quantiles(times, n=100)
    return f"{cuts[49]:5.0f} {cuts[94]:5.0f} {cuts[98]:5.0f}"


def measure(
    name: str, annotators: Sequence[Annotator], way: Callable[[Annotator, float], Took], *,
    seconds: float, webs: Sequence[int], database: int,
) -> None:  # fmt: skip
    before = cpu_seconds(webs), cpu_seconds(family(database))
    begun = time.perf_counter()
    with ThreadPoolExecutor(len(annotators)) as pool:
        parts = list(pool.map(lambda each: way(each, begun + seconds), annotators))
    wall = time.perf_counter() - begun
    took = sum(parts, Took())
    done = max(1, len(took.submit) - took.failed)
    web_ms = (cpu_seconds(webs) - before[0]) * 1000 / done
    database_ms = (cpu_seconds(family(database)) - before[1]) * 1000 / done
    print(
        f"  {name:14} {len(annotators):3}  {done / wall:7.1f}/s   next {percentiles(took.next)}"
        f"   submit {percentiles(took.submit)} ms   CPU {web_ms + database_ms:5.2f} ms"
        f" (web {web_ms:.2f}, database {database_ms:.2f})"
        f"   {memory_mb([*webs, *family(database)]):4.0f} MB   failed {took.failed}",
        flush=True,
    )


def fill(session: Session, *, tasks: int, judged: int, people: int) -> tuple[str, list[str]]:
    """A project of so many pairs; everybody has judged the first `judged` of them."""
    boss = make_user(session, "Boss", role=Role.ADMIN)
    project = make_project(session, f"{tasks} pairs", by=boss)
    make_many_tasks(session, project, count=tasks, wanted=WANTED)
    keys, now = [], database_now(session)
    for number in range(people):
        user = make_user(session, f"Annotator {number}")
        make_member(session, project, user, Role.ANNOTATOR)
        keys.append(accounts.create_token(session, user=user, name="benchmark", now=now))
        if number == 0 and judged:
            make_many_judged(session, project, user, count=judged)
    return str(project.id), keys


def plan_of_a_claim(engine: Engine, project_id: str) -> str:
    """How PostgreSQL takes a place for the first annotator, who has judged the most."""
    compiled = take(lanes=False, due=False).compile(dialect=engine.dialect)
    where = {"in_project": UUID(project_id), "from_key": 0.5, "to_key": 1.0, "level": None}
    with engine.connect() as connection:
        person = connection.scalar(select(User.id).where(User.name == "Annotator 0"))
        rows = connection.exec_driver_sql(
            f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {compiled}",
            compiled.construct_params(where | {"person": person}),
        )
        plan = "\n".join(f"  | {row}" for row in rows.scalars())
        connection.rollback()
    return plan


def run(home: Path, arguments: argparse.Namespace) -> None:
    with running(home) as address:
        url = psycopg_url(address)
        engine = connect(url, pool_size=2)
        migrate(engine)
        with transaction() as session:
            project_id, keys = fill(
                session,
                tasks=arguments.tasks,
                judged=arguments.judged,
                people=sum(arguments.people),  # each time others, who have judged nothing yet
            )
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
        if arguments.plan:
            print(plan_of_a_claim(engine, project_id))
        engine.dispose()
        lines = (home / "postgres" / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        database = int(lines[0])
        print(f"{arguments.tasks:,} tasks, the first annotator has judged {arguments.judged:,}")
        print("  way        people  judgements     p50   p95   p99              p50   p95   p99")
        with server(url, webs=arguments.webs) as (port, webs):
            left = iter(keys)
            for people in arguments.people:
                hers = list(islice(left, people))
                for name, way in (
                    ("bare commit", Annotator.bare),
                    ("two requests", Annotator.two_requests),
                    ("one request", Annotator.one_request),
                ):
                    annotators = [Annotator(port, key, project_id) for key in hers]
                    measure(
                        name, annotators, way,
                        seconds=arguments.seconds, webs=webs, database=database,
                    )  # fmt: skip
                    for each in annotators:
                        each.connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=2_000)
    parser.add_argument("--judged", type=int, default=0, help="by the first annotator, before")
    parser.add_argument("--webs", type=int, default=2, help="web processes")
    parser.add_argument("--plan", action="store_true", help="show the query plan of a claim")
    parser.add_argument("--people", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--serve", type=int, nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve is not None:
        serve(*arguments.serve)
        return
    with tempfile.TemporaryDirectory(prefix="touchstone-annotation-") as folder:
        Path(folder).chmod(0o755)
        run(Path(folder), arguments)


if __name__ == "__main__":
    main()
