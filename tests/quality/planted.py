"""A fortnight of work with a planted fault: Bea turns careless on one Tuesday.

On the Monday evening before, version 2 of the guidelines came out. Five others judge as always.
"""

import os
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from app.accounts.models import AuditEvent, Role, User
from app.annotation.models import Annotation
from app.corpus.models import Prompt, Response
from app.db import database_now
from app.projects import service as projects
from app.projects.models import Project
from app.projects.schemas import ProjectPatch
from app.tasks.models import Assignment, AssignmentState, Task, TaskResponse
from tests.factories import make_member, make_user
from tests.people import make_people

NAMES = ("Bea", "Cem", "Dai", "Eva", "Fox", "Gil")
TASKS_A_DAY, VOTES = 54, 3
RIGHT = 0.92


@dataclass(frozen=True)
class Planted:
    project: Project
    ada: User
    bea: User
    tuesday: date
    days: list[date]
    tasks: dict[date, list[UUID]]


def plant(session: Session, *, careless: bool = True, **settings: Any) -> Planted:
    """Work on the twelve weekdays up to the last Tuesday before today."""
    cast = make_people(session)
    project = cast.project
    for name, value in settings.items():
        setattr(project, name, value)
    people = [make_user(session, name) for name in NAMES]
    for user in people:
        make_member(session, project, user, Role.ANNOTATOR)
    today = database_now(session).date()
    back = (today.weekday() - 1) % 7 or 7
    tuesday = today - timedelta(days=back)
    days = [
        day for offset in range(-15, 1) if (day := tuesday + timedelta(days=offset)).weekday() < 5
    ]
    publish(session, project, cast.ada, at=moment(tuesday - timedelta(days=1), hour=18))
    draw = np.random.default_rng(5)
    rows = Rows()
    tasks = {}
    for day in days:
        rows.version = 2 if day >= tuesday else 1
        tasks[day] = [
            judge(rows, project, people, draw, day, number, careless=careless and day == tuesday)
            for number in range(TASKS_A_DAY)
        ]
    rows.write(session)
    session.commit()
    return Planted(project, cast.ada, people[0], tuesday, days, tasks)


def moment(day: date, *, hour: int, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


def publish(session: Session, project: Project, by: User, *, at: datetime) -> None:
    text = "Prefer the better one.\n\nA longer answer is not a better one."
    projects.update_settings(
        session, project=project, patch=ProjectPatch(guidelines=text), by=by, now=at
    )
    session.execute(
        update(AuditEvent)
        .where(AuditEvent.project_id == project.id, AuditEvent.action == "project.update")
        .values(at=at)
    )


class Rows:
    """Rows by table, written in one statement each."""

    def __init__(self) -> None:
        self.version = 1  # of the guidelines, of what is judged next
        tables = (Prompt, Response, Task, TaskResponse, Assignment, Annotation)
        self.rows: dict[Any, list[dict[str, Any]]] = {table: [] for table in tables}

    def write(self, session: Session) -> None:
        for table, rows in self.rows.items():
            session.execute(insert(table), rows)


def judge(
    rows: Rows,
    project: Project,
    people: list[User],
    draw: np.random.Generator,
    day: date,
    number: int,
    *,
    careless: bool,
) -> UUID:
    """A pair judged by three of six; Bea says the opposite on her careless day."""
    prompt, task = uuid4(), uuid4()
    rows.rows[Prompt].append(
        {
            "id": prompt,
            "project_id": project.id,
            "content_hash": os.urandom(32),
            "messages": [{"role": "user", "content": f"Question {number} of {day}"}],
            "source": "forum" if number % 2 else "desk",
            "tags": ["law"] if number % 5 == 0 else [],
            "meta": {},
        }
    )
    rows.rows[Task].append(
        {
            "id": task,
            "project_id": project.id,
            "prompt_id": prompt,
            "identity": os.urandom(32),
            "wanted": VOTES,
            "counted": VOTES,
            "meta": {},
        }
    )
    for place, text in enumerate(("The longer one of the two.", "Short.")):
        response = uuid4()
        rows.rows[Response].append(
            {
                "id": response,
                "prompt_id": prompt,
                "content_hash": os.urandom(32),
                "text": text,
                "source": f"model-{place}",
                "meta": {},
            }
        )
        rows.rows[TaskResponse].append(
            {"task_id": task, "position": place, "response_id": response}
        )
    truth = int(draw.integers(0, 2))
    judges = draw.permutation(len(people))
    for turn in range(VOTES):
        who = int(judges[turn])
        right = draw.random() < RIGHT
        if who == 0 and careless:
            right = draw.random() < 0.1
        first = truth if right else 1 - truth
        at = moment(day, hour=9 + number // 6, minute=10 * (number % 6) + turn)
        vote(rows, project, people[who], task, at, [1, 2] if first == 0 else [2, 1])
    return task


def vote(
    rows: Rows, project: Project, user: User, task: UUID, at: datetime, ranks: list[int]
) -> None:
    assignment = uuid4()
    common = {"project_id": project.id, "task_id": task, "user_id": user.id}
    rows.rows[Assignment].append(
        common
        | {
            "id": assignment,
            "state": AssignmentState.SUBMITTED,
            "display_order": [0, 1],
            "created_at": at - timedelta(seconds=50),
            "finished_at": at,
        }
    )
    rows.rows[Annotation].append(
        common
        | {
            "assignment_id": assignment,
            "guidelines_version": rows.version,
            "counted": True,
            "ranks": ranks,
            "ratings": {},
            "flags": {},
            "wall_ms": 50_000,
            "active_ms": 40_000,
            "submitted_at": at,
        }
    )
