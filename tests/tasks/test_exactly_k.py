"""Exactly K under real concurrency: never K + 1, nobody twice, nothing lost, no row left leased."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random

import pytest
from sqlalchemy import func, select

from app.accounts.models import Role, User
from app.annotation import service as annotation
from app.annotation.schemas import JudgementBody
from app.db import SessionLocal, database_now, transaction
from app.errors import TooManyRequests
from app.projects.models import Project
from app.tasks import service as tasks
from app.tasks.models import Assignment, AssignmentState, SkipReason
from tests.exactly_k import check_exactly_k
from tests.factories import make_member, make_project, make_task, make_user

pytestmark = pytest.mark.concurrency

PEOPLE = 32


class Killed(Exception):
    """The process dies here: its connection closes without a word."""


def make_work(*, n_tasks: int, wanted: int, **settings):
    with transaction() as session:
        boss = make_user(session, "Boss", role=Role.ADMIN)
        project = make_project(session, "Rush hour", by=boss, **settings)
        people = [make_user(session, f"Person {number}") for number in range(PEOPLE)]
        for person in people:
            make_member(session, project, person, Role.ANNOTATOR)
        for number in range(n_tasks):
            make_task(session, project, prompt=f"prompt {number}", wanted=wanted)
        return project.id, [person.id for person in people]


class Person:
    """One annotator at work on a connection of her own, sometimes unlucky."""

    def __init__(self, project_id, user_id, *, seed, unlucky=0.0, idle=0.0, skips=0.0):
        self.project_id, self.user_id = project_id, user_id
        self.rng = Random(seed)
        self.unlucky, self.idle, self.skips = unlucky, idle, skips
        self.acknowledged: list[object] = []
        self.hours = 0
        self.is_skipping = False

    def step(self, session, assignment_id=None):
        """Hand in what she has, and claim the next, in one request; answers what she holds."""
        project = session.get_one(Project, self.project_id)
        user = session.get_one(User, self.user_id)
        now = database_now(session) + timedelta(hours=self.hours)
        done = None
        if assignment_id is not None:
            assignment = session.get_one(Assignment, assignment_id)
            if self.is_skipping:  # as decided once: a retry sends the same again
                reason = SkipReason.OTHER
                tasks.skip(session, assignment=assignment, reason=reason, note=None, now=now)
            else:
                body = JudgementBody(ranking=[["A"], ["B"]])
                submission = annotation.submit(
                    session,
                    assignment=assignment,
                    project=project,
                    user=user,
                    judgement=body,
                    key=f"{assignment_id}",
                    now=now,
                )
                done = submission.annotation_id
        if self.rng.random() < self.unlucky:
            raise Killed
        following = tasks.claim(session, project=project, user=user, now=now, rng=self.rng)
        if self.rng.random() < self.unlucky:
            raise Killed
        return done, following.id if following else None

    def work(self):
        held = None
        while True:
            try:
                with transaction() as session:
                    done, following = self.step(session, held)
            except (Killed, TooManyRequests):
                continue  # another process answers; the page still has what it held
            if done is not None:
                self.acknowledged.append(done)
            if following is None:
                return self
            if self.rng.random() < self.idle:
                self.hours += 1  # lunch: her lease runs out for everybody behind her clock
            held = following
            self.is_skipping = self.rng.random() < self.skips


def run(people):
    start = threading.Barrier(len(people))

    def go(person):
        start.wait()
        return person.work()

    with ThreadPoolExecutor(len(people)) as pool:
        return list(pool.map(go, people))


def test_a_crowd_finishes_everything_exactly_k_times(concurrency_engine):
    project_id, users = make_work(n_tasks=60, wanted=3)
    people = run([Person(project_id, user, seed=n) for n, user in enumerate(users)])
    unacknowledged = check_exactly_k(project_id, people)
    assert unacknowledged == set()
    assert sum(len(person.acknowledged) for person in people) == 180


def test_the_last_places_are_not_missed(concurrency_engine):
    """Many people, few tasks: all of them end on rows that others are just taking."""
    project_id, users = make_work(n_tasks=4, wanted=PEOPLE // 4)
    people = run([Person(project_id, user, seed=n) for n, user in enumerate(users)])
    check_exactly_k(project_id, people)


def test_kills_expiries_and_skips_break_nothing(concurrency_engine):
    project_id, users = make_work(n_tasks=50, wanted=3, gold_rate=0.0)
    people = run(
        [
            Person(project_id, user, seed=900 + n, unlucky=0.15, idle=0.1, skips=0.05)
            for n, user in enumerate(users)
        ]
    )
    check_exactly_k(project_id, people, all_done=False)
    with SessionLocal() as session:
        submitted = session.scalar(
            select(func.count()).where(
                Assignment.project_id == project_id,
                Assignment.state == AssignmentState.SUBMITTED,
            )
        )
    assert submitted == sum(len(person.acknowledged) for person in people)


def test_connections_cut_off_in_the_middle_leave_no_trace(concurrency_engine):
    """The server ends the backend while a claim is under way, as when a machine loses power."""
    project_id, users = make_work(n_tasks=10, wanted=2)
    for user_id in users[:8]:
        session = SessionLocal()
        person = Person(project_id, user_id, seed=1)
        _, held = person.step(session)
        assert held is not None
        pid = session.scalar(select(func.pg_backend_pid()))
        with concurrency_engine.connect() as other:
            other.execute(select(func.pg_terminate_backend(pid)))
        session.invalidate()
    check_exactly_k(project_id, [], all_done=False)
    people = run([Person(project_id, user, seed=50 + n) for n, user in enumerate(users)])
    check_exactly_k(project_id, people)


def test_one_person_with_many_tabs_never_holds_more_than_two(concurrency_engine):
    project_id, users = make_work(n_tasks=30, wanted=3)
    barrier = threading.Barrier(12)
    held: list[object] = []

    def ask(number, after=None):
        with transaction() as session:
            claimed = tasks.claim(
                session,
                project=session.get_one(Project, project_id),
                user=session.get_one(User, users[0]),
                now=database_now(session),
                rng=Random(number),
                after=session.get_one(Assignment, after) if after else None,
            )
            held.append(claimed.id)
            return claimed.id

    def tab(number):
        barrier.wait()
        ask(number, after=ask(number))

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(tab, range(12)))
    assert len(set(held)) == 2
    check_exactly_k(project_id, [], all_done=False)
