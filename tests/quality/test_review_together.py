"""Two reviewers, and reviewers beside annotators, at the same moment over real connections."""

import threading
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from sqlalchemy import select

from app.accounts.models import Role, User
from app.annotation import service as annotation
from app.annotation.schemas import JudgementBody
from app.db import SessionLocal, database_now, transaction
from app.errors import AppError, Conflict
from app.projects.models import Project
from app.quality.models import Adjudication, SendBack
from app.quality.service import review, settling
from app.tasks import service as tasks
from app.tasks.models import Assignment, Task
from app.work.queries.checks import invariants
from tests.factories import make_annotation, make_member, make_project, make_task, make_user

pytestmark = [pytest.mark.concurrency, pytest.mark.usefixtures("concurrency_engine")]


class Work:
    """A task that two people differ on, eight others, and two reviewers."""

    def __init__(self):
        with transaction() as session:
            boss = make_user(session, "Boss", role=Role.ADMIN)
            project = make_project(session, "Together", by=boss)
            self.people = []
            for number in range(10):
                person = make_user(session, f"Person {number}")
                make_member(session, project, person, Role.ANNOTATOR)
                self.people.append(person.id)
            self.reviewers = []
            for name in ("Rui", "Rita"):
                person = make_user(session, name)
                make_member(session, project, person, Role.REVIEWER)
                self.reviewers.append(person.id)
            task = make_task(session, project, wanted=2)
            for user_id, ranks in zip(self.people, ([1, 2], [2, 1]), strict=False):
                make_annotation(session, task, session.get_one(User, user_id), ranks=ranks)
            self.project_id, self.task_id = project.id, task.id

    def seen(self):
        with SessionLocal() as session:
            return settling.stamp_of(session, task=session.get_one(Task, self.task_id))

    def settle(self, user_id, *, seen):
        with transaction() as session:
            review.adjudicate(
                session, task=session.get_one(Task, self.task_id), ranks=[1, 2],
                reason=f"Says {user_id}.", by=session.get_one(User, user_id), if_unchanged=seen,
            )  # fmt: skip

    def send_back(self, user_id, *, more, seen=None):
        with transaction() as session:
            return settling.send_back(
                session, task=session.get_one(Task, self.task_id), more=more, reason="",
                by=session.get_one(User, user_id), if_unchanged=seen,
            ).id  # fmt: skip

    def take_back(self, user_id, send_back_id):
        with transaction() as session:
            settling.undo_send_back(
                session, task=session.get_one(Task, self.task_id),
                project=session.get_one(Project, self.project_id), send_back_id=send_back_id,
                by=session.get_one(User, user_id),
            )  # fmt: skip

    def claim(self, user_id):
        with transaction() as session:
            lent = tasks.claim(
                session, project=session.get_one(Project, self.project_id),
                user=session.get_one(User, user_id), now=database_now(session), rng=Random(1),
            )  # fmt: skip
            return lent and lent.id

    def submit(self, user_id, assignment_id):
        with transaction() as session:
            done = annotation.submit(
                session, assignment=session.get_one(Assignment, assignment_id),
                project=session.get_one(Project, self.project_id),
                user=session.get_one(User, user_id),
                judgement=JudgementBody(ranking=[["A"], ["B"]]), key=None,
                now=database_now(session),
            )  # fmt: skip
            return done.counted

    def check(self):
        with SessionLocal() as session:
            assert [each for each in invariants(session) if not each.holds] == []
            return session.get_one(Task, self.task_id)


@pytest.fixture
def work():
    return Work()


def at_once(*calls):
    """What each of the calls answers, or the sentence it is refused with."""
    barrier = threading.Barrier(len(calls))

    def run(call):
        barrier.wait()
        try:
            return call()
        except AppError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_of_two_reviewers_at_once_one_is_told_of_the_other(work):
    seen = work.seen()
    answers = at_once(*(lambda who=who: work.settle(who, seen=seen) for who in work.reviewers))
    (refused,) = [answer for answer in answers if answer is not None]
    assert isinstance(refused, Conflict)
    assert "settled it: A > B" in refused.detail
    with SessionLocal() as session:
        assert len(session.scalars(select(Adjudication)).all()) == 1


def test_the_places_asked_for_are_taken_once_each(work):
    work.send_back(work.reviewers[0], more=2)
    lent = at_once(*(lambda who=who: work.claim(who) for who in work.people))
    held = [(who, each) for who, each in zip(work.people, lent, strict=True) if each]
    assert len(held) == 2
    assert not {who for who, _ in held} & set(work.people[:2])  # who has judged it
    work.check()
    assert [work.submit(*each) for each in held] == [True, True]
    task = work.check()
    assert (task.counted, task.wanted, task.leased) == (4, 4, 0)


def test_taking_back_and_taking_up_at_once_leaves_one_of_them(work):
    for _ in range(4):
        send_back_id = work.send_back(work.reviewers[0], more=1)
        taker = work.people[4]
        back, lent = at_once(
            lambda: work.take_back(work.reviewers[1], send_back_id),  # noqa: B023 – called at once
            lambda: work.claim(taker),  # noqa: B023 – called at once
        )
        task = work.check()
        with SessionLocal() as session:
            undone = session.get_one(SendBack, send_back_id).undone_at is not None
        if lent:
            assert isinstance(back, Conflict)
            assert (undone, task.wanted, task.leased) == (False, 3, 1)
            return
        assert back is None
        assert (undone, task.wanted, task.at_least, task.priority) == (True, 2, 0, 0)


def test_both_may_ask_for_more_and_nobody_is_asked_twice(work):
    answers = at_once(
        *(lambda who=who: work.send_back(who, more=3) for who in (*work.reviewers, *work.reviewers))
    )
    refused = [answer for answer in answers if isinstance(answer, AppError)]
    assert len(refused) == 2  # eight people are left: three and three were asked
    assert "Ask for 2 more at most." in refused[0].detail
    assert work.check().wanted == 8


def test_a_judgement_that_comes_in_first_is_told(work):
    work.send_back(work.reviewers[0], more=1)
    assignment_id = work.claim(work.people[5])
    seen = work.seen()
    work.submit(work.people[5], assignment_id)
    with pytest.raises(Conflict, match="Person 5 judged: "):
        work.settle(work.reviewers[0], seen=seen)
