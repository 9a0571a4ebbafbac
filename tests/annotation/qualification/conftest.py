"""A project that asks its people to qualify, and what came of it."""

import pytest

from app.projects.models import Membership
from app.tasks.models import Assignment, Task
from tests.factories import make_question, make_task


@pytest.fixture
def asks(session, project):
    """The project asks three questions of a set of nine, two right ones pass; and has real work."""
    project.qualification_size, project.qualification_pass = 3, 0.6
    for number in range(9):
        make_question(session, project, prompt=f"question {number}", explanation="Zero is right.")
    for number in range(4):
        make_task(session, project, prompt=f"work {number}", responses=["0", "1"], wanted=2)
    session.commit()
    return project


@pytest.fixture
def answers():
    """Submits the order zero > one, which every key of these tests wants, or its reverse."""

    def answer(worker, mine, *, right=True, **body):
        texts = {each["text"]: each["label"] for each in mine["responses"]}
        order = sorted(texts, reverse=not right)
        return worker.submit(mine, [[texts[text]] for text in order], **body)

    return answer


@pytest.fixture
def sits(answers):
    """Takes an attempt with these answers; the feedback to each."""

    def sit(worker, *marks):
        return [
            answers(worker, worker.claim().json(), right=mark).json()["feedback"] for mark in marks
        ]

    return sit


def hers(session, project, user):
    session.expire_all()
    return session.get(Membership, (project.id, user.id))


def kind_of(session, assignment):
    return session.get(Task, session.get(Assignment, assignment["id"]).task_id).kind
