"""The same submission at the same time, over real connections."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from sqlalchemy import func, select

from app.accounts.models import Role, User
from app.annotation import service
from app.annotation.models import Annotation
from app.annotation.schemas import GoldBody, ImportedJudgement, JudgementBody
from app.db import SessionLocal, database_now, transaction
from app.errors import AppError
from app.projects.models import Membership, Project
from app.tasks import service as tasks
from app.tasks.models import Assignment, AssignmentState, SkipReason, Task
from app.tasks.queries import responses_of, why_nothing
from tests.factories import make_member, make_project, make_task, make_user

pytestmark = [pytest.mark.concurrency, pytest.mark.usefixtures("concurrency_engine")]

A_BEFORE_B = JudgementBody(ranking=[["A"], ["B"]])
B_BEFORE_A = JudgementBody(ranking=[["B"], ["A"]])


@pytest.fixture
def rush(concurrency_engine):
    with transaction() as session:
        boss = make_user(session, "Boss", role=Role.ADMIN)
        project = make_project(session, "Rush", by=boss)
        people = [make_user(session, f"Person {number}") for number in range(8)]
        for person in people:
            make_member(session, project, person, Role.ANNOTATOR)
        task = make_task(session, project, wanted=11)
        return project.id, task.id, [person.id for person in people], boss.id


def claim(project_id, user_id, *, seed=1):
    with transaction() as session:
        assignment = tasks.claim(
            session,
            project=session.get_one(Project, project_id),
            user=session.get_one(User, user_id),
            now=database_now(session),
            rng=Random(seed),
        )
        return assignment and assignment.id


def submit(project_id, user_id, assignment_id, *, body=A_BEFORE_B, key="k"):
    with transaction() as session:
        done = service.submit(
            session,
            assignment=session.get_one(Assignment, assignment_id),
            project=session.get_one(Project, project_id),
            user=session.get_one(User, user_id),
            judgement=body,
            key=key,
            now=database_now(session),
        )
        return done.annotation_id, done.is_new


def all_at_once(calls):
    barrier = threading.Barrier(len(calls))

    def go(call):
        barrier.wait()
        try:
            return call()
        except AppError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(go, calls))


def flip(project_id, task_id, boss_id, *, times):
    """Make the task gold, then ordinary again, and so on."""
    for number in range(times):
        with transaction() as session:
            task = session.get_one(Task, task_id)
            by = {
                "task": task,
                "project": session.get_one(Project, project_id),
                "by": session.get_one(User, boss_id),
            }
            if number % 2:
                service.unset_gold(session, **by)
            else:
                first, second = responses_of(session, task_ids=[task_id])[task_id]
                body = GoldBody(prefers=[(str(first), str(second))])
                service.set_gold(session, body=body, now=database_now(session), **by)


def test_one_key_many_times_at_once_is_one_judgement(rush):
    project_id, task_id, people, _ = rush
    mine = claim(project_id, people[0])
    replies = all_at_once([lambda: submit(project_id, people[0], mine)] * 12)
    assert len({annotation_id for annotation_id, _ in replies}) == 1
    assert sorted(is_new for _, is_new in replies) == [False] * 11 + [True]
    with SessionLocal() as session:
        assert session.scalar(select(func.count()).select_from(Annotation)) == 1
        task = session.get(Task, task_id)
        assert (task.leased, task.counted) == (0, 1)


def test_of_two_tabs_one_wins_and_the_other_hears_of_it(rush):
    project_id, _, people, _ = rush
    mine = claim(project_id, people[0])
    replies = all_at_once(
        [
            lambda: submit(project_id, people[0], mine, body=A_BEFORE_B, key="tab 1"),
            lambda: submit(project_id, people[0], mine, body=B_BEFORE_A, key="tab 2"),
        ]
    )
    errors = [reply for reply in replies if isinstance(reply, AppError)]
    assert [error.status for error in errors] == [409]
    with SessionLocal() as session:
        assert session.scalar(select(func.count()).select_from(Annotation)) == 1


def test_gold_comes_and_goes_while_people_work(rush):
    """The counters hold, whatever the task was when each of them claimed and submitted."""
    project_id, task_id, people, boss_id = rush

    def work(user_id):
        assignment_id = claim(project_id, user_id)
        return submit(project_id, user_id, assignment_id, key=f"{user_id}")

    with transaction() as session:
        session.get_one(Project, project_id).gold_rate = 0.5
    all_at_once(
        [
            lambda: flip(project_id, task_id, boss_id, times=6),
            *(lambda user_id=user_id: work(user_id) for user_id in people),
        ]
    )
    with transaction() as session:
        project, task = session.get_one(Project, project_id), session.get_one(Task, task_id)
        service.unset_gold(session, task=task, project=project, by=session.get_one(User, boss_id))
    with SessionLocal() as session:
        task = session.get(Task, task_id)
        states = select(func.count()).where(Assignment.task_id == task_id)
        assert task.leased == session.scalar(states.where(Assignment.state == AssignmentState.OPEN))
        assert task.counted == session.scalar(
            select(func.count()).where(
                Annotation.task_id == task_id, Annotation.counted, Annotation.is_current
            )
        )
        assert task.leased == 0
        tallies = session.scalars(
            select(Membership.gold_seen).where(Membership.project_id == project_id)
        )
        assert set(tallies) == {0}


def test_of_two_admins_at_once_one_hears_of_the_other_and_not_of_an_import_alone(rush):
    project_id, task_id, _, boss_id = rush
    with SessionLocal() as session:
        service.set_gold(
            session,
            task=session.get_one(Task, task_id),
            project=session.get_one(Project, project_id),
            body=GoldBody(
                prefers=[tuple(map(str, responses_of(session, task_ids=[task_id])[task_id]))]
            ),
            by=session.get_one(User, boss_id),
            now=database_now(session),
        )
        with pytest.raises(AppError, match="or another admin's change"):
            flip(project_id, task_id, boss_id, times=1)


def test_a_task_that_becomes_gold_and_ordinary_is_there_all_the_time(rush):
    project_id, task_id, people, boss_id = rush
    with transaction() as session:
        session.get_one(Project, project_id).gold_rate = 0.5
    with ThreadPoolExecutor(1) as pool:
        flipping = pool.submit(flip, project_id, task_id, boss_id, times=60)
        answers = set()
        while not flipping.done():
            with transaction() as session:
                project, ana = (
                    session.get_one(Project, project_id),
                    session.get_one(User, people[0]),
                )
                answers.add(why_nothing(session, project=project, user=ana))
        flipping.result()
    assert answers == {None}


def test_an_import_and_people_meet_at_one_task(rush):
    project_id, task_id, people, _ = rush

    def bring(number):
        with transaction() as session:
            service.record_imported(
                session,
                project=session.get_one(Project, project_id),
                judgements=[ImportedJudgement(task_id, f"w{number % 3}", [1, 2])],
                now=database_now(session),
            )

    def work(user_id):
        return submit(project_id, user_id, claim(project_id, user_id), key=f"{user_id}")

    replies = all_at_once(
        [lambda number=number: bring(number) for number in range(6)]
        + [lambda user_id=user_id: work(user_id) for user_id in people]
    )
    assert not [reply for reply in replies if isinstance(reply, Exception)]
    with SessionLocal() as session:
        task = session.get(Task, task_id)
        assert (task.leased, task.counted, task.wanted) == (0, 11, 11)


def test_what_is_passed_on_late_is_not_lent_to_her_at_the_same_time(rush):
    project_id, task_id, people, _ = rush
    mine = claim(project_id, people[0])
    with ThreadPoolExecutor(1) as pool, transaction() as session:
        project = session.get_one(Project, project_id)
        assignment = session.get_one(Assignment, mine)
        given = {"assignment": assignment, "project": project, "now": database_now(session)}
        with transaction() as other:  # it was given back
            again = other.get_one(Assignment, mine)
            service.release(other, **given | {"assignment": again})
        service.skip(session, **given, reason=SkipReason.OTHER, note=None)
        claiming = pool.submit(claim, project_id, people[0])
        time.sleep(0.5)  # it waits for the skip
        session.commit()
        assert claiming.result() is None
    with SessionLocal() as session:
        assert session.get_one(Assignment, mine).state is AssignmentState.SKIPPED
        assert session.get_one(Task, task_id).leased == 0
