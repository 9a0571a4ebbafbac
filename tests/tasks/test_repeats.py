"""Silent repeats: a task of hers comes again, unseen, in another order, and counts nowhere."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest
from scipy.stats import chisquare
from sqlalchemy import select, text

from app.accounts.models import Role, User
from app.annotation import queries as annotation_queries
from app.annotation import service as annotation
from app.annotation.models import Annotation
from app.annotation.schemas import JudgementBody
from app.db import database_now, transaction
from app.errors import TooManyRequests
from app.projects.models import Membership, Project
from app.quality.service import summary
from app.quality.service.annotators import annotators
from app.tasks import rules, service
from app.tasks.models import Assignment, AssignmentState, SkipReason, Task
from app.tasks.service.lending import take
from tests.exactly_k import check_exactly_k
from tests.factories import (
    make_many_judged,
    make_many_tasks,
    make_member,
    make_project,
    make_task,
    make_user,
)

MORNING = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)


@pytest.fixture
def often(session, project):
    """A project where nearly half of what comes is a repeat."""
    project.repeat_rate = 0.2
    for number in range(120):
        responses = ["a", "b"] if number % 2 else ["a", "b", "c"]
        make_task(session, project, prompt=f"p{number}", responses=responses, wanted=3)
    session.flush()
    return project


def work(session, project, user, *, seed=1, most=90):
    """Her assignments in their order, each handed in a minute after the last."""
    rng, given = Random(seed), []
    for minute in range(most):
        now = MORNING + timedelta(minutes=minute)
        held = service.claim(session, project=project, user=user, now=now, rng=rng)
        if held is None:
            break
        service.complete(session, assignment=held, now=now)
        given.append(held)
    return given


def test_a_repeat_is_an_own_task_from_long_ago_once_and_in_another_order(session, often, ana):
    given = work(session, often, ana)
    repeats = [each for each in given if each.is_repeat]
    assert 8 <= len(repeats) <= 40
    assert len({each.task_id for each in repeats}) == len(repeats)
    for each in repeats:
        (first,) = [old for old in given if old.task_id == each.task_id and not old.is_repeat]
        assert given.index(each) - given.index(first) > rules.FEWEST_BETWEEN
        assert sorted(each.display_order) == sorted(first.display_order)
        assert each.display_order != first.display_order
        if len(first.display_order) == 2:
            assert each.display_order == first.display_order[::-1]
    assert {len(each.display_order) for each in repeats} == {2, 3}


def test_a_repeat_holds_no_place_and_counts_never(session, often, ana):
    given = work(session, often, ana)
    judged = Counter(each.task_id for each in given if not each.is_repeat)
    for task in session.scalars(select(Task).where(Task.project_id == often.id)):
        session.refresh(task)
        assert (task.leased, task.counted) == (0, judged[task.id])
    assert max(judged.values()) == 1


def test_where_no_rate_is_set_nothing_comes_again(session, often, ana):
    often.repeat_rate = 0
    assert not [each for each in work(session, often, ana) if each.is_repeat]


def test_nothing_comes_again_when_the_work_is_done(session, often, ana):
    """Else what comes after the last task would be known for a repeat."""
    given = work(session, often, ana, most=400)
    assert sum(not each.is_repeat for each in given) == 120
    now = MORNING + timedelta(days=1)
    for seed in range(30):
        assert service.claim(session, project=often, user=ana, now=now, rng=Random(seed)) is None


@pytest.mark.parametrize("end", ["release", "skip"])
def test_a_repeat_that_she_does_not_finish_never_comes_back(session, often, ana, end):
    now, rng, seen = MORNING, Random(4), Counter()
    for _ in range(90):
        now += timedelta(minutes=1)
        held = service.claim(session, project=often, user=ana, now=now, rng=rng)
        if not held.is_repeat:
            service.complete(session, assignment=held, now=now)
            continue
        seen[held.task_id] += 1
        if end == "release":
            service.release(session, assignment=held, now=now)
        else:
            reason = SkipReason.OTHER
            service.skip(session, assignment=held, reason=reason, note=None, now=now)
    assert len(seen) > 5
    assert set(seen.values()) == {1}
    for task in session.scalars(select(Task).where(Task.id.in_(seen))):
        session.refresh(task)
        assert (task.leased, task.counted) == (0, 1)


def test_who_is_paused_gets_no_repeat(session, often, ana):
    work(session, often, ana, most=40)
    session.get(Membership, (often.id, ana.id)).paused_at = MORNING
    session.flush()
    for seed in range(40):
        held = service.claim(session, project=often, user=ana, now=MORNING, rng=Random(seed))
        assert held is None


def test_each_claim_draws_for_itself():
    """Neither how many came before nor how long ago the last one was tells about the next."""
    rng, claims, rate = Random(17), 40_000, 0.1
    draws = [
        rng.random() < rules.repeat_chance(1000 + number, rate=rate) for number in range(claims)
    ]
    places = [number for number, is_repeat in enumerate(draws) if is_repeat]
    gaps = Counter(min(b - a, 20) for a, b in pairwise(places))
    expected = [rate * (1 - rate) ** (gap - 1) for gap in range(1, 20)] + [(1 - rate) ** 19]
    total = sum(gaps.values())
    observed = [gaps[gap] for gap in range(1, 21)]
    assert chisquare(observed, [share * total for share in expected]).pvalue > 0.001
    far = Counter(rules.repeat_distance(5000, rng=rng) // 20 for _ in range(10_000))
    assert chisquare([far[band] for band in range(1, 11)]).pvalue > 0.001


def test_repeats_begin_when_there_is_something_to_repeat_and_are_denser_then():
    assert rules.repeat_chance(20, rate=0.2) == 0
    assert rules.repeat_chance(21, rate=0.05) == 0.1
    assert rules.repeat_chance(101, rate=0.05) == 0.05
    assert rules.repeat_chance(5000, rate=0) == 0
    assert rules.repeat_distance(3, rng=Random(1)) == 20


def test_self_consistency_is_known_from_repeats_and_they_are_votes_nowhere(session, often, ana):
    often.repeat_rate = 0.2
    rng = Random(9)
    for minute in range(90):
        now = MORNING + timedelta(minutes=minute)
        held = service.claim(session, project=often, user=ana, now=now, rng=rng)
        # She prefers what stands first in canonical order, wherever it is on her screen.
        labels = sorted("ABC"[: len(held.display_order)])
        best_first = sorted(labels, key=lambda label: held.display_order[ord(label) - ord("A")])
        body = JudgementBody(ranking=[[label] for label in best_first])
        annotation.submit(
            session, assignment=held, project=often, user=ana, judgement=body, key=None, now=now
        )
    kept = session.scalars(select(Annotation).where(Annotation.project_id == often.id)).all()
    repeats = [each for each in kept if each.is_repeat]
    assert len(repeats) > 8
    assert {each.counted for each in repeats} == {False}
    view = summary.current(session, project=often)
    (row,) = [
        each for each in annotators(session, project=often, view=view) if each.name == ana.name
    ]
    assert row.n_annotations == len(kept) - len(repeats)
    assert row.self_consistency.value == 1
    history = annotation_queries.history(
        session, user=ana, project_id=often.id, before=None, limit=200
    )
    assert len(history) == 90
    assert {each.counted for each in history} == {True}


@pytest.mark.concurrency
def test_a_crowd_with_repeats_finishes_everything_exactly_k_times(concurrency_engine):
    with transaction() as session:
        boss = make_user(session, "Boss", role=Role.ADMIN)
        project = make_project(session, "Again", by=boss, repeat_rate=0.2, gold_rate=0.05)
        users = [make_user(session, f"Person {number}") for number in range(8)]
        for user in users:
            make_member(session, project, user, Role.ANNOTATOR)
        for number in range(60):
            make_task(session, project, prompt=f"prompt {number}", wanted=4)
        project_id, user_ids = project.id, [user.id for user in users]

    class Person:
        def __init__(self, number):
            self.user_id, self.rng = user_ids[number], Random(number)
            self.acknowledged = []

        def step(self):
            with transaction() as session:
                project = session.get_one(Project, project_id)
                user = session.get_one(User, self.user_id)
                now = database_now(session)
                held = service.claim(session, project=project, user=user, now=now, rng=self.rng)
                if held is None:
                    return None
                done = annotation.submit(
                    session,
                    assignment=held,
                    project=project,
                    user=user,
                    judgement=JudgementBody(ranking=[["A"], ["B"]]),
                    key=None,
                    now=now,
                )
                return done.annotation_id

        def work(self):
            barrier.wait()
            while True:
                try:
                    done = self.step()
                except TooManyRequests:
                    continue
                if done is None:
                    return self
                self.acknowledged.append(done)

    barrier = threading.Barrier(len(user_ids))
    with ThreadPoolExecutor(len(user_ids)) as pool:
        people = list(pool.map(lambda number: Person(number).work(), range(len(user_ids))))
    assert check_exactly_k(project_id, people) == set()
    with transaction() as session:
        repeats = session.scalars(
            select(Assignment).where(Assignment.project_id == project_id, Assignment.is_repeat)
        ).all()
        assert len(repeats) >= 5
        assert {each.state for each in repeats} == {AssignmentState.SUBMITTED}


@pytest.mark.concurrency
def test_a_repeat_is_found_by_a_short_look_however_much_she_has_judged(concurrency_engine):
    with transaction() as session:
        boss = make_user(session, "Boss", role=Role.ADMIN)
        project = make_project(session, "Many", by=boss)
        make_many_tasks(session, project, count=5_000, wanted=3)
        make_many_judged(session, project, boss, count=4_000)
        session.execute(
            text("UPDATE assignment SET finished_at = now() - make_interval(secs => ordinal)")
        )
        session.execute(text("ANALYZE task, assignment"))
        where = {"in_project": project.id, "person": boss.id, "gold_key": 0.5}
        where |= {"wants_gold": False, "gold_alone": False, "wants_repeat": True}
        where |= {"level": None, "from_key": 0.0, "to_key": 1.0, "repeat_distance": 150}
        compiled = take(lanes=True, due=True).compile(dialect=concurrency_engine.dialect)
        rows = session.connection().exec_driver_sql(
            f"EXPLAIN {compiled}", compiled.construct_params(where)
        )
        plan = "\n".join(rows.scalars())
    assert "Index Scan Backward using ix_assignment_history" in plan
    assert "using uq_assignment_repeat" in plan
    assert "Seq Scan on task" not in plan
    assert "Seq Scan on assignment" not in plan
    assert "Hash" not in plan
