"""How long the quality figures of a large project take: `python -m tests.benchmarks.quality`.

Makes a project with simulated people in a database of its own, then times the read, the figures
with 1,000 resamples, the cached view and the memory. Prints; asserts nothing.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.db import connect, database_now, transaction
from app.projects.models import Project
from app.quality.models import Part
from app.quality.queries.crowd import crowd_of
from app.quality.service import summary
from app.schema import migrate
from tests.conftest import fresh_database, psycopg_url
from tests.factories import make_project, make_user

PEOPLE, VOTES = 100, 3

# One statement per table: quality decides with noise per person, position by a random order.
TASKS = """
INSERT INTO prompt (id, project_id, content_hash, messages, source, tags, meta)
SELECT md5('p' || n)::uuid, :project, sha256(n::text::bytea), '[]', 'source ' || n % 7, '{}', '{}'
FROM generate_series(1, :tasks) n;
INSERT INTO response (id, prompt_id, content_hash, text, meta)
SELECT md5('r' || n || '-' || k)::uuid, md5('p' || n)::uuid, sha256((n || '-' || k)::bytea),
  repeat('x', 400 + (random() * 1200)::int), '{}'
FROM generate_series(1, :tasks) n, generate_series(0, :size - 1) k;
INSERT INTO task (id, project_id, prompt_id, identity, kind, priority, wanted, leased, counted)
SELECT md5('t' || n)::uuid, :project, md5('p' || n)::uuid, sha256(n::text::bytea), 'ordinary', 0,
  :votes, 0, :votes FROM generate_series(1, :tasks) n;
INSERT INTO task_response (task_id, position, response_id)
SELECT md5('t' || n)::uuid, k, md5('r' || n || '-' || k)::uuid
FROM generate_series(1, :tasks) n, generate_series(0, :size - 1) k;
"""
PEOPLE_ROWS = """
INSERT INTO "user" (id, kind, name, role, preferences)
SELECT md5('u' || n)::uuid, 'simulated', 'Simulated ' || n, 'annotator', '{}'
FROM generate_series(0, :people - 1) n;
INSERT INTO membership (project_id, user_id, role, guidelines_read, standing, gold_seen,
  gold_passed, claimed, weight)
SELECT :project, md5('u' || n)::uuid, 'annotator', 1, 'good', 20, 18, 0, 1
FROM generate_series(0, :people - 1) n;
"""
JUDGEMENTS = """
CREATE TEMPORARY TABLE vote ON COMMIT DROP AS
SELECT md5('a' || n || '-' || v)::uuid AS id, md5('t' || n)::uuid AS task_id,
  md5('u' || (n * 7 + v * 31) % :people)::uuid AS user_id,
  (SELECT array_agg(1 + (random() * 1.4 + 0.35 * k)::int ORDER BY k)
   FROM generate_series(0, :size - 1) k WHERE n + v > 0)::smallint[] AS ranks,
  now() - random() * interval '60 days' AS at
FROM generate_series(1, :tasks) n, generate_series(1, :votes) v;
INSERT INTO assignment (id, project_id, task_id, user_id, state, is_repeat, slot, ordinal, display_order,
  renewals, draft_revision, finished_at)
SELECT id, :project, task_id, user_id, 'submitted', false, 1, 0,
  (SELECT array_agg(k ORDER BY random()) FROM generate_series(0, :size - 1) k
   WHERE vote.id IS NOT NULL)::smallint[], 0, 0, at FROM vote;
INSERT INTO annotation (id, project_id, task_id, assignment_id, user_id, guidelines_version,
  revision, is_current, counted, is_repeat, ranks, strength, ratings, flags, active_ms,
  submitted_at)
SELECT id, :project, task_id, id, user_id, 1, 1, true, true, false, ranks,
  1 + (random() * 2)::int, '{}', '{}', 5000 + (random() * 60000)::int, at FROM vote;
"""


@contextmanager
def server(given: str | None) -> Iterator[str]:
    """The PostgreSQL server named on the command line, or one of our own."""
    if given:
        yield given
        return
    from app.postgres import running

    with tempfile.TemporaryDirectory() as home:
        Path(home).chmod(0o755)
        with running(Path(home)) as url:
            yield url


def fill(session: Session, *, annotations: int, size: int) -> Project:
    """A project with that many judgements, three per task, by a hundred people."""
    project = make_project(session, f"{annotations} judgements", by=make_user(session, "Ada"))
    sizes = {
        "project": project.id,
        "tasks": annotations // VOTES,
        "size": size,
        "people": PEOPLE,
        "votes": VOTES,
    }
    for statements in (TASKS, PEOPLE_ROWS, JUDGEMENTS):
        for statement in statements.split(";\n"):
            if statement.strip():
                session.execute(text(statement), sizes)
    return project


@contextmanager
def timed(what: str) -> Iterator[None]:
    begun, cpu = time.perf_counter(), time.process_time()
    yield
    seconds, own = time.perf_counter() - begun, time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  {what:<44} {seconds:7.2f} s wall {own:7.2f} s cpu {memory:7.0f} MB peak")


def measure(url: str, *, annotations: int, size: int) -> None:
    print(f"{annotations:,} judgements, {size} responses per task")
    engine = connect(url, pool_size=2)
    migrate(engine)
    with timed("filling the database"), transaction() as session:
        project = fill(session, annotations=annotations, size=size)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    with transaction() as session:
        session.add(project)
        with timed("reading the judgements (one statement)"):
            crowd = crowd_of(session, project=project)
        with timed("computing all figures, 1,000 resamples"):
            summary.compute(
                session,
                project=project,
                crowd=crowd,
                part=Part.OVERVIEW,
                now=database_now(session),
            )
        del crowd
    with transaction() as session:
        session.add(project)
        with timed("recompute: read, compute, store"):
            summary.recompute(session, project=project)
    with transaction() as session:
        session.add(project)
        with timed("showing the cached figures"):
            summary.current(session, project=project)
    engine.dispose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--annotations", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--size", type=int, default=2, help="responses per task")
    parser.add_argument("--server", help="URL of a PostgreSQL server to use")
    arguments = parser.parse_args()
    np.seterr(all="raise", under="ignore")
    with server(arguments.server) as url:
        for annotations in arguments.annotations:
            with fresh_database(url) as name:
                measure(psycopg_url(url, name), annotations=annotations, size=arguments.size)


if __name__ == "__main__":
    main()
