"""A task that people differ on, for tests of its review."""

from random import Random

from sqlalchemy.orm import Session

from app.accounts.models import Role, User
from app.db import database_now
from app.projects.models import Project
from app.tasks import service as tasks
from app.tasks.models import Task
from app.work.queries.checks import invariants
from tests.factories import make_annotation, make_member, make_task, make_user
from tests.people import People

FIRST, SECOND, TIE = [1, 2], [2, 1], [1, 1]


def disputed(session: Session, people: People) -> Task:
    """Judged by Ana and Rui, who differ; it wants no more."""
    task = make_task(session, people.project, wanted=2)
    make_annotation(session, task, people.ana, ranks=FIRST, rationale="It says *how long*.")
    make_annotation(session, task, people.rui, ranks=SECOND)
    session.commit()
    return task


def crowd(session: Session, people: People, number: int) -> list[User]:
    users = [make_user(session, f"Person {place}") for place in range(number)]
    for user in users:
        make_member(session, people.project, user, Role.ANNOTATOR)
    session.commit()
    return users


def claimed(session: Session, project: Project, user: User) -> Task | None:
    now = database_now(session)
    lent = tasks.claim(session, project=project, user=user, now=now, rng=Random(1))
    return lent and session.get(Task, lent.task_id)


def holds(session: Session) -> None:
    assert [result.name for result in invariants(session) if not result.holds] == []
