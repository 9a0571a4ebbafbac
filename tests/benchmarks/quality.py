"""How long the quality figures of a large project take: `python -m tests.benchmarks.quality`.

Makes a project with simulated people in a database of its own, then times the read, the figures
with 1,000 resamples, every breakdown, every page and the memory. Prints; asserts nothing.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import func, insert, literal_column, select, text
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts import service as accounts
from app.accounts.models import Role, User
from app.annotation.models import Annotation
from app.corpus.models import Prompt, Response
from app.db import Base, connect, database_now, transaction
from app.main import create_app
from app.projects.models import Membership, Project
from app.quality.models import Part
from app.quality.queries.crowd import crowd_of
from app.quality.service import summary
from app.schema import migrate
from app.tasks.models import Assignment, Task, TaskResponse
from app.web.protection import SESSION_COOKIE
from tests.conftest import fresh_database, psycopg_url
from tests.factories import make_member, make_project, make_user

PEOPLE, VOTES = 100, 3
BREAKDOWNS = (
    Part.DAY, Part.WEEK, Part.SOURCE, Part.TAG, Part.GUIDELINES_VERSION, Part.GROUP,
    Part.ANNOTATOR_PAIR,
)  # fmt: skip
PAGES = (
    "", "/annotators", "/review", *(f"/agreement?by={part.value}" for part in BREAKDOWNS),
    "/agreement.csv?by=annotator_pair",
)  # fmt: skip

TASK = "md5('t' || n)::uuid"
EACH_TASK = "generate_series(1, {tasks}) n"
EACH_RESPONSE = EACH_TASK + ", generate_series(0, {size} - 1) k"

# Table by table, an SQL expression per column; columns that are not named get their defaults.
ROWS: list[tuple[type[Base], dict[str, str], str]] = [
    (
        Prompt,
        {
            "id": "md5('p' || n)::uuid",
            "project_id": "{project}",
            "content_hash": "sha256(n::text::bytea)",
            "messages": "'[]'::jsonb",
            "source": "'source ' || n % 7",
            "tags": "ARRAY['tag ' || n % 5, 'tag ' || 5 + n % 11]",
        },
        EACH_TASK,
    ),
    (
        Response,
        {
            "id": "md5('r' || n || '-' || k)::uuid",
            "prompt_id": "md5('p' || n)::uuid",
            "content_hash": "sha256((n || '-' || k)::bytea)",
            "text": "repeat('x', 400 + (random() * 1200)::int)",
        },
        EACH_RESPONSE,
    ),
    (
        Task,
        {
            "id": TASK,
            "project_id": "{project}",
            "prompt_id": "md5('p' || n)::uuid",
            "identity": "sha256(n::text::bytea)",
            "wanted": "{votes}",
            "counted": "{votes}",
        },
        EACH_TASK,
    ),
    (
        TaskResponse,
        {"task_id": TASK, "position": "k", "response_id": "md5('r' || n || '-' || k)::uuid"},
        EACH_RESPONSE,
    ),
    (
        User,
        {
            "id": "md5('u' || n)::uuid",
            "kind": "'simulated'",
            "name": "'Simulated ' || n",
            "preferences": "jsonb_build_object('demographics', "
            "jsonb_build_object('language', 'language ' || n % 4))",
        },
        "generate_series(0, {people} - 1) n",
    ),
    (
        Membership,
        {
            "project_id": "{project}",
            "user_id": "md5('u' || n)::uuid",
            "role": "'annotator'",
            "gold_seen": "20",
            "gold_passed": "18",
        },
        "generate_series(0, {people} - 1) n",
    ),
    (
        Assignment,
        {
            "id": "id",
            "project_id": "{project}",
            "task_id": "task_id",
            "user_id": "user_id",
            "state": "'submitted'",
            "display_order": "display_order",
            "finished_at": "at",
        },
        "vote",
    ),
    (
        Annotation,
        {
            "id": "id",
            "project_id": "{project}",
            "task_id": "task_id",
            "assignment_id": "id",
            "user_id": "user_id",
            "guidelines_version": "version",
            "counted": "true",
            "ranks": "ranks",
            "strength": "1 + (random() * 2)::int",
            "active_ms": "5000 + (random() * 60000)::int",
            "submitted_at": "at",
        },
        "vote",
    ),
]
# Earlier responses are better on the whole, and people differ.
VOTES_TABLE = """
CREATE TEMPORARY TABLE vote ON COMMIT DROP AS
SELECT md5('a' || n || '-' || v)::uuid AS id, md5('t' || n)::uuid AS task_id,
  md5('u' || (n + (v - 1) * (1 + n / {people} % 33)) % {people})::uuid AS user_id,
  1 + n % 3 AS version,
  (SELECT array_agg(1 + (random() * 1.4 + 0.35 * k)::int ORDER BY k)
   FROM generate_series(0, {size} - 1) k WHERE n + v > 0)::smallint[] AS ranks,
  (SELECT array_agg(k ORDER BY random()) FROM generate_series(0, {size} - 1) k
   WHERE n + v > 0)::smallint[] AS display_order,
  now() - random() * interval '60 days' AS at
FROM generate_series(1, {tasks}) n, generate_series(1, {votes}) v
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
    ada = make_user(session, "Ada", role=Role.ADMIN)
    project = make_project(session, f"{annotations} judgements", by=ada, overlap_max=VOTES)
    make_member(session, project, ada, Role.ADMIN)
    sizes = {
        "project": f"'{project.id}'::uuid",
        "tasks": annotations // VOTES,
        "size": size,
        "people": PEOPLE,
        "votes": VOTES,
    }
    session.execute(text(VOTES_TABLE.format(**sizes)))
    for model, columns, source in ROWS:
        values = [literal_column(sql.format(**sizes)).label(name) for name, sql in columns.items()]
        rows = select(*values).select_from(text(source.format(**sizes)))
        session.connection().execute(insert(model.__table__).from_select(list(columns), rows))
    return project


def backend_seconds(session: Session) -> float:
    """CPU seconds of the database process behind a session, where it runs on this machine."""
    pid = session.scalar(text("SELECT pg_backend_pid()"))
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return float("nan")
    user, system = stat.read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@contextmanager
def timed(what: str, session: Session) -> Iterator[None]:
    """Prints wall time, CPU time here and in the database (its parallel helpers left out)."""
    database = backend_seconds(session)
    begun, cpu = time.perf_counter(), time.process_time()
    yield
    seconds, own = time.perf_counter() - begun, time.process_time() - cpu
    database = backend_seconds(session) - database
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"  {what:<40} {seconds:7.2f} s wall {own:6.2f} s cpu {database:6.2f} s database cpu "
        f"{memory:5.0f} MB peak",
        flush=True,
    )


def measure(url: str, *, annotations: int, size: int) -> None:
    print(f"{annotations:,} judgements, {size} responses per task")
    engine = connect(url, pool_size=2)
    migrate(engine)
    with transaction() as session, timed("filling the database", session):
        project = fill(session, annotations=annotations, size=size)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    measure_reads(project)
    measure_pages(project)
    engine.dispose()


def measure_reads(project: Project) -> None:
    with transaction() as session:
        session.add(project)
        with timed("reading the judgements (one statement)", session):
            crowd = crowd_of(session, project=project)
        with timed("computing all figures, 1,000 resamples", session):
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
        with timed("recompute: read, compute, store", session):
            summary.recompute(session, project=project)
    for part in BREAKDOWNS:
        with transaction() as session:
            session.add(project)
            with timed(f"recompute by {part.value}", session):
                summary.recompute(session, project=project, part=part)


def measure_pages(project: Project) -> None:
    """Each page as a browser gets it, from kept figures; the second time."""
    with transaction() as session:
        session.add(project)
        ada = session.get_one(User, project.created_by)
        token = accounts.open_session(session, user=ada, now=database_now(session))
        client = TestClient(create_app(), base_url="https://testserver")
        client.cookies.set(SESSION_COOKIE, token)
        judged = func.count()
        busiest, number = session.execute(
            select(Annotation.user_id, judged).group_by(Annotation.user_id).order_by(judged.desc())
        ).first() or (ada.id, 0)
        pages = {path or "overview": path for path in PAGES}
        day = database_now(session).date() - timedelta(days=3)
        pages["of a day"] = f"/days/{day}"
        pages[f"of one person with {number:,} judgements"] = f"/annotators/{busiest}"
        addresses = {name: f"/projects/{project.id}{path}" for name, path in pages.items()}
    for name, address in addresses.items():
        client.get(address)
        with transaction() as session, timed(f"page {name}", session):
            reply = client.get(address)
        assert reply.status_code == 200, reply.text


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
