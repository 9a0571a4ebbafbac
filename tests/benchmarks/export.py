"""Time and memory of a large export: `python -m tests.benchmarks.export [--pairs 333333]`.

Pairs of about 1 kB with three votes each, in a PostgreSQL of their own. A snapshot is frozen in a
process of its own, so that its peak memory is that of the export alone, with the processes that it
starts. Prints; asserts nothing.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.datasets.queries import see_one_moment
from app.datasets.schemas import Recipe
from app.datasets.service import freeze
from app.db import connect, transaction
from app.postgres import running
from app.projects.models import Project
from app.schema import migrate
from app.worker.memory import collect_rarely, take_short_turns
from tests.benchmarks.annotation import family, memory_mb
from tests.conftest import psycopg_url
from tests.factories import make_project, make_user

POOL, PEOPLE, VOTES = 1_000, 50, 3
WORDS = ("the", "model", "answers", "each", "question", "with", "care", "and", "some", "detail")

ROWS = """
INSERT INTO "user" (id, kind, name, role, preferences)
SELECT md5('u' || n)::uuid, 'simulated', 'Simulated ' || n, 'annotator', '{}'
FROM generate_series(0, :people - 1) n;
INSERT INTO prompt (id, project_id, content_hash, messages, tags, meta)
SELECT md5('p' || n)::uuid, :project, sha256(n::text::bytea),
  jsonb_build_array(
    jsonb_build_object('role', 'user', 'content', n || ' ' || left(pool.body, 250))),
  '{}', '{}'
FROM generate_series(1, :pairs) n JOIN pool ON pool.number = n * 7 % :pool;
INSERT INTO response (id, prompt_id, content_hash, text, source, meta)
SELECT md5('r' || n || '-' || k)::uuid, md5('p' || n)::uuid, sha256((n || '-' || k)::bytea),
  pool.body || ' ' || n || ' ' || k, 'model-' || k, '{}'
FROM generate_series(1, :pairs) n, generate_series(0, 1) k, pool
WHERE pool.number = (n * 13 + k * 71) % :pool;
INSERT INTO task (id, project_id, prompt_id, identity, kind, priority, wanted, leased, counted,
  meta)
SELECT md5('t' || n)::uuid, :project, md5('p' || n)::uuid, sha256(n::text::bytea), 'ordinary', 0,
  :votes, 0, :votes, '{}' FROM generate_series(1, :pairs) n;
INSERT INTO task_response (task_id, position, response_id)
SELECT md5('t' || n)::uuid, k, md5('r' || n || '-' || k)::uuid
FROM generate_series(1, :pairs) n, generate_series(0, 1) k;
INSERT INTO assignment (id, project_id, task_id, user_id, state, is_repeat, slot, ordinal,
  display_order, renewals, draft_revision, finished_at)
SELECT md5('a' || n || '-' || v)::uuid, :project, md5('t' || n)::uuid,
  md5('u' || (n * 7 + v * 31) % :people)::uuid, 'submitted', false, 1, 0, '{0,1}', 0, 0, now()
FROM generate_series(1, :pairs) n, generate_series(1, :votes) v;
INSERT INTO annotation (id, project_id, task_id, assignment_id, user_id, guidelines_version,
  revision, is_current, counted, is_repeat, ranks, strength, ratings, flags)
SELECT id, :project, task_id, id, user_id, 1, 1, true, true, false,
  CASE WHEN random() < 0.65 THEN '{1,2}' WHEN random() < 0.7 THEN '{2,1}' ELSE '{1,1}' END
    ::smallint[], 1 + (random() * 2)::int, '{}', '{}'
FROM assignment WHERE project_id = :project;
"""


def sentence(rng: random.Random, size: int) -> str:
    made = ""
    while len(made) < size:
        made += rng.choice(WORDS) + (". " if rng.random() < 0.1 else " ")
    return made.strip()


def fill(session: Session, *, pairs: int) -> Project:
    project = make_project(session, f"{pairs} pairs", by=make_user(session, "Ada"))
    session.execute(text("CREATE TEMPORARY TABLE pool (number int, body text) ON COMMIT DROP"))
    rng = random.Random(0)
    session.execute(
        text("INSERT INTO pool VALUES (:number, :body)"),
        [{"number": number, "body": sentence(rng, 350)} for number in range(POOL)],
    )
    sizes = {"project": project.id, "pairs": pairs, "pool": POOL, "people": PEOPLE, "votes": VOTES}
    for statement in ROWS.split(";\n"):
        if statement.strip():
            session.execute(text(statement), sizes)
    return project


@contextmanager
def peak_memory() -> Iterator[list[float]]:
    """MB of this process and those that it starts, looked at twice a second."""
    seen, ended = [memory_mb(family(os.getpid()))], threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            seen.append(memory_mb(family(os.getpid())))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join()


def export(url: str, project_id: UUID, recipe: Recipe, output: Path) -> None:
    """Freeze, and print what it took."""
    connect(url, pool_size=2)
    collect_rarely()  # as the worker and the command line do
    take_short_turns()
    begun, cpu = time.perf_counter(), os.times()
    with transaction() as session, peak_memory() as memory:
        see_one_moment(session)
        project = session.get_one(Project, project_id)
        frozen = freeze(session, project=project, recipe=recipe, folder=output)
    seconds = time.perf_counter() - begun
    own = sum(os.times()[:4]) - sum(cpu[:4])  # with the processes that it started
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    configs = ", ".join(frozen.counts["rows"])
    print(
        f"  {seconds:6.1f} s wall {own:6.1f} s cpu {max(memory):6.0f} MB peak {size / 1e6:6.0f} MB"
        f" {recipe.format}, {recipe.consensus}: {configs}"
    )


def measure(home: Path, *, pairs: int, recipes: Sequence[str]) -> None:
    with running(home) as server:
        url = psycopg_url(server)
        engine = connect(url, pool_size=2)
        migrate(engine)
        begun = time.perf_counter()
        with transaction() as session:
            project_id = fill(session, pairs=pairs).id
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
        engine.dispose()
        seconds = time.perf_counter() - begun
        print(f"{pairs:,} pairs, {VOTES * pairs:,} votes (made in {seconds:.0f} s)", flush=True)
        for number, recipe in enumerate(recipes):
            given = [url, str(project_id), recipe, str(home / f"out-{number}")]
            command = [sys.executable, "-m", "tests.benchmarks.export", "--child", *given]
            subprocess.run(command, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=333_333)
    parser.add_argument("--recipe", action="append", help="JSON; give several to compare")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        url, project_id, recipe, output = arguments.child
        export(url, UUID(project_id), Recipe.model_validate_json(recipe), Path(output))
        return
    recipes = arguments.recipe or ['{"configs": ["preference", "hh-rlhf"]}', "{}"]
    with tempfile.TemporaryDirectory(prefix="touchstone-export-") as folder:
        Path(folder).chmod(0o755)
        measure(Path(folder), pairs=arguments.pairs, recipes=recipes)


if __name__ == "__main__":
    main()
