"""Time and memory of imports: `python -m tests.benchmarks.importing [--rows 20000]`.

Each file comes in by a process of its own, so that its peak memory is that of this import alone;
beside it stands the most that one process of PostgreSQL had for itself. With `--rows 1000000` and a
`--kind` it takes minutes, and what it needs must be what it needs for 20,000.
Beside it the same bytes go by COPY into a table without an index: compare the ratio, for wall
times depend on the machine and on whom else it serves. Prints; asserts nothing.
"""

import argparse
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import psutil
from sqlalchemy import text

from app import models  # noqa: F401 # relationships need every domain's tables
from app.db import connect, transaction
from app.postgres import running
from app.schema import migrate
from app.worker.imports import import_file
from app.worker.memory import collect_rarely, take_short_turns
from tests.benchmarks.annotation import cpu_seconds, family
from tests.benchmarks.export import sentence
from tests.conftest import psycopg_url
from tests.factories import make_project, make_user

PEOPLE = 40
PLAIN_COPY = "COPY plain FROM STDIN (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')"


def prompts(rng: random.Random, rows: int) -> Iterator[dict[str, Any]]:
    for number in range(rows):
        yield {"id": f"row-{number}", "prompt": f"{number} {sentence(rng, 300)}", "topic": "any"}


def pairs(rng: random.Random, rows: int) -> Iterator[dict[str, Any]]:
    pool = [sentence(rng, 1000) for _ in range(500)]
    for row in prompts(rng, rows):
        replies = [f"{rng.choice(pool)} {side} {row['id']}" for side in "ab"]
        yield row | {"responses": [{"text": each, "source": "model:x"} for each in replies]}


def judged_pairs(rng: random.Random, rows: int) -> Iterator[dict[str, Any]]:
    for row in pairs(rng, rows):
        names = rng.sample(range(PEOPLE), rng.randint(1, 3))
        ranks = [[1, 2], [2, 1], [1, 1]]
        judgements = [{"annotator": f"T{n}", "ranks": rng.choice(ranks)} for n in names]
        yield row | {"annotations": judgements}


KINDS: dict[str, Callable[[random.Random, int], Iterator[dict[str, Any]]]] = {
    "pairs with 1-3 judgements": judged_pairs,
    "pairs": pairs,
    "prompts": prompts,
}


def bring_in(url: str, project_id: str, file: str) -> None:
    """Import, and print what it took this process."""
    connect(url, pool_size=2)
    collect_rarely()  # as the worker and the command line do
    take_short_turns()
    begun, cpu = time.perf_counter(), time.process_time()
    row = import_file(project_id=UUID(project_id), file=Path(file))
    assert row.error is None, row.error
    status = Path("/proc/self/status").read_text(encoding="ascii")  # getrusage tells our starter's
    peak = next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line) / 1024
    print(time.perf_counter() - begun, time.process_time() - cpu, peak)


def copied(file: Path) -> None:
    """The same bytes by COPY into a table that has no index."""
    with transaction() as session:
        session.execute(text("DROP TABLE IF EXISTS plain"))
        session.execute(text("CREATE TABLE plain (line text)"))
        raw = session.connection().connection.driver_connection
        assert raw is not None
        with file.open("rb") as source, raw.cursor().copy(PLAIN_COPY) as copy:
            while piece := source.read(1 << 20):
                copy.write(piece)


class Watch:
    """The most memory that one process of the database has for itself, looked at twice a second."""

    def __init__(self, postmaster: int) -> None:
        self.postmaster, self.peak, self.is_over = postmaster, 0.0, threading.Event()
        self.thread = threading.Thread(target=self.look)

    def look(self) -> None:
        while not self.is_over.wait(0.5):
            for process in psutil.Process(self.postmaster).children():
                with contextlib.suppress(psutil.Error):
                    self.peak = max(self.peak, process.memory_full_info().uss / 2**20)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        self.thread.join()


def measure(url: str, postmaster: int, file: Path, name: str, rows: int) -> None:
    with transaction() as session:
        project_id = make_project(
            session, name, by=make_user(session, name.rsplit(maxsplit=1)[-1])
        ).id
    command = [sys.executable, "-m", "tests.benchmarks.importing", "--child"]
    before = cpu_seconds(family(postmaster))
    with Watch(postmaster) as watch:
        done = subprocess.run(
            [*command, url, str(project_id), str(file)], check=True, capture_output=True, text=True
        )
    database = cpu_seconds(family(postmaster)) - before
    seconds, client, peak = map(float, done.stdout.split())
    before, begun = cpu_seconds(family(postmaster)), time.perf_counter()
    copied(file)
    plain, plain_seconds = cpu_seconds(family(postmaster)) - before, time.perf_counter() - begun
    print(
        f"{name:<26} {rows / seconds:7,.0f} rows/s wall {rows / client:7,.0f} client cpu "
        f"{rows / database:7,.0f} database cpu {rows / (client + database):7,.0f} both "
        f"{peak:5.0f} MB, database {watch.peak:4.0f} MB; "
        f"{seconds / plain_seconds:4.0f} x COPY in wall, "
        f"{database / max(plain, 0.01):4.0f} x in database cpu",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--kind", choices=KINDS, action="append", help="give several to compare")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        bring_in(*arguments.child)
        return
    with tempfile.TemporaryDirectory(prefix="touchstone-importing-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        with running(home) as server:
            url = psycopg_url(server)
            engine = connect(url, pool_size=2)
            migrate(engine)
            with transaction() as session:
                backend = session.scalars(text("SELECT pg_backend_pid()")).one()
            postmaster = psutil.Process(backend).ppid()
            for name in arguments.kind or KINDS:
                file = home / "rows.jsonl"
                with file.open("w", encoding="utf-8") as target:
                    for row in KINDS[name](random.Random(0), arguments.rows):
                        target.write(json.dumps(row) + "\n")
                measure(url, postmaster, file, name, arguments.rows)
            engine.dispose()


if __name__ == "__main__":
    main()
