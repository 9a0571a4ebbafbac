"""What the page of the work in progress costs: `python -m tests.benchmarks.work [--tasks N]`.

A project of N pairs (a million), three judgements wanted, with three tenths as many judgements by
200 people, of which 32 are at work. Prints seconds: the figures of the page, the check of all
invariants, and the effects of another overlap. Asserts nothing.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.accounts.models import Role
from app.db import connect, database_now, transaction
from app.postgres import running
from app.projects.models import Project
from app.projects.schemas import Overlap, ProjectPatch
from app.schema import migrate
from app.work.queries.checks import invariants
from app.work.service import board
from app.work.service.effects import effects_of
from tests.conftest import psycopg_url
from tests.factories import MANY_TASKS, _run, make_member, make_project, make_user

PEOPLE, AT_WORK, WANTED = 200, 32, 3
JUDGED = """
INSERT INTO assignment (id, project_id, task_id, user_id, state, is_repeat, slot, ordinal,
  display_order, renewals, draft_revision, created_at, finished_at)
SELECT md5('a' || n)::uuid, :project, md5('t' || (n - 1) / 3 + 1)::uuid,
  (CAST(:users AS uuid[]))[n % 200 + 1],
  'submitted', false, 1, n, '{0,1}', 0, 0, now() - n * interval '1 s', now() - n * interval '1 s'
FROM generate_series(1, :judged) n;
INSERT INTO annotation (id, project_id, task_id, assignment_id, user_id, guidelines_version,
  revision, is_current, counted, is_repeat, ranks, ratings, flags, wall_ms, active_ms, submitted_at)
SELECT gen_random_uuid(), project_id, task_id, id, user_id, 1, 1, true, true, false, '{1,2}', '{}',
  '{}', 40000, 30000, finished_at FROM assignment WHERE project_id = :project;
UPDATE task SET counted = n FROM (SELECT task_id, count(*) n FROM assignment GROUP BY task_id) a
WHERE task.id = a.task_id;
INSERT INTO assignment (id, project_id, task_id, user_id, state, is_repeat, slot, ordinal,
  display_order, renewals, draft_revision, leased_until)
SELECT md5('o' || n)::uuid, :project, md5('t' || :tasks - n)::uuid, (CAST(:users AS uuid[]))[n],
  'open', false, 1, n, '{0,1}', 0, 0, now() + interval '9 min' FROM generate_series(1, 32) n;
UPDATE task SET leased = 1 WHERE id IN (SELECT task_id FROM assignment WHERE state = 'open');
"""


def effects(session: Session, project: Project) -> object:
    patch = ProjectPatch(overlap=Overlap(min=2, max=5, confidence=0.9))
    return effects_of(session, project=project, patch=patch, now=database_now(session))


def fill(tasks: int) -> object:
    with transaction() as session:
        boss = make_user(session, "Boss", role=Role.ADMIN)
        project = make_project(session, "Large", by=boss)
        people = [make_user(session, f"Person {number}") for number in range(PEOPLE)]
        for person in people:
            make_member(session, project, person, Role.ANNOTATOR)
        given = {"project": project.id, "tasks": tasks, "wanted": WANTED, "words": ""}
        _run(session, MANY_TASKS, **given)
        users = [str(person.id) for person in people]
        _run(session, JUDGED, **given, users=users, judged=tasks * 3 // 10)
        return project.id


def timed(name: str, what: Callable[[], object]) -> None:
    took = []
    for _ in range(3):
        start = time.perf_counter()
        what()
        took.append(time.perf_counter() - start)
    print(f"{name:<30}{min(took):8.2f} s   ({', '.join(f'{each:.2f}' for each in took)})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    tasks = parser.parse_args().tasks
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with running(Path(folder)) as url:
            engine = connect(psycopg_url(url))
            migrate(engine)
            project_id = fill(tasks)
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("VACUUM ANALYZE"))
            with transaction() as session:
                project = session.get_one(Project, project_id)
                now = database_now(session)

                def figures() -> object:
                    board.forget()
                    view = board.board(session, project=project, now=now)
                    return view.demand.sentence

                print(f"{tasks:,} tasks, {tasks * 3 // 10:,} judgements: {figures()}")
                timed("figures of the page", figures)
                timed("all invariants", lambda: invariants(session, project=project))
                timed("effects of another overlap", lambda: effects(session, project))
            engine.dispose()


if __name__ == "__main__":
    main()
