"""Another overlap while people work: it holds at once, and everything goes on adding up."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, text

from app.accounts.models import User
from app.db import SessionLocal, database_now, transaction
from app.projects import service as projects
from app.projects.models import Project
from app.projects.schemas import Overlap, ProjectPatch
from app.tasks.models import Task
from app.work.queries.checks import invariants
from app.worker.overlap import adjust_overlap
from tests.tasks.test_exactly_k import Person, make_work
from tests.waiting import until

pytestmark = pytest.mark.concurrency

N_TASKS, WORKERS = 80, 10

OTHERS_SINCE = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < :moment
"""


def change_overlap(project_id, number):
    """As an admin would; answers when it was committed."""
    with transaction() as session:
        project = session.get_one(Project, project_id)
        projects.update_settings(
            session,
            project=project,
            patch=ProjectPatch(overlap=Overlap(min=number)),
            by=session.get_one(User, project.created_by),
            now=database_now(session),
        )
    with transaction() as session:
        return database_now(session)


def wait_for_those_before(moment):
    """Until every transaction that began before a moment has ended: it may not know the change."""

    def none_is_left():
        with transaction() as session:
            return not session.scalar(text(OTHERS_SINCE), {"moment": moment})

    until(none_is_left)


def places(project_id):
    with SessionLocal() as session:
        rows = session.execute(
            select(Task.id, Task.leased + Task.counted, Task.counted, Task.wanted).where(
                Task.project_id == project_id
            )
        ).all()
    return {row[0]: row[1:] for row in rows}


def run_until(project_id, people, enough, then):
    """People work; once `enough` is judged, `then` happens beside them; answers what it did."""
    start = threading.Barrier(len(people))

    def go(person):
        start.wait()
        return person.work()

    with ThreadPoolExecutor(len(people)) as pool:
        working = [pool.submit(go, person) for person in people]
        until(lambda: sum(len(person.acknowledged) for person in people) >= enough)
        done = then()
        for each in working:
            each.result()
    return done


def assert_all_adds_up():
    with SessionLocal() as session:
        assert [each.broken for each in invariants(session) if not each.holds] == []


def test_fewer_judgements_hold_for_every_claim_after_the_change(concurrency_engine):
    project_id, users = make_work(n_tasks=N_TASKS, wanted=4)
    people = [Person(project_id, user, seed=n) for n, user in enumerate(users[:WORKERS])]

    def lower():
        wait_for_those_before(change_overlap(project_id, 2))
        there = places(project_id)
        assert_all_adds_up()
        adjust_overlap(project_id=str(project_id))
        return there

    there = run_until(project_id, people, N_TASKS, lower)
    adjust_overlap(project_id=str(project_id))
    assert_all_adds_up()
    after = places(project_id)
    assert {counted == wanted for _, counted, wanted in after.values()} == {True}
    beyond = {
        task: (after[task][1], there[task][0])
        for task in after
        if after[task][1] > max(2, there[task][0])
    }
    assert beyond == {}
    assert min(counted for _, counted, _ in after.values()) >= 2


def test_more_judgements_open_complete_tasks_again(concurrency_engine):
    project_id, users = make_work(n_tasks=20, wanted=1)
    people = [Person(project_id, user, seed=n) for n, user in enumerate(users[:WORKERS])]

    def higher():
        change_overlap(project_id, 3)
        adjust_overlap(project_id=str(project_id))

    run_until(project_id, people, 10, higher)
    for person in people:  # some had gone home before there was more to do
        person.work()
    assert_all_adds_up()
    assert {row[1:] for row in places(project_id).values()} == {(3, 3)}
