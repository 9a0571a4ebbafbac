"""Reads of tasks, their responses, and what people hold."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Double,
    Integer,
    ScalarSelect,
    Uuid,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    literal_column,
    null,
    select,
)
from sqlalchemy.orm import Session, aliased

from app.accounts.models import User
from app.corpus.models import Prompt, Response
from app.db import among
from app.projects.models import Membership, Project
from app.tasks.models import Assignment, AssignmentState, GoldKey, Task, TaskResponse
from app.tasks.schemas import Gold

# Written out, not bound: the planner must recognise the partial indexes in prepared statements.
IS_ORDINARY: ColumnElement[bool] = literal_column("task.kind = 'ordinary'")
IS_WANTED: ColumnElement[bool] = literal_column(
    "task.kind = 'ordinary' AND task.leased + task.counted < task.wanted"
)
IS_GOLD: ColumnElement[bool] = literal_column("task.kind = 'gold'")
IS_OPEN: ColumnElement[bool] = literal_column("assignment.state = 'open'")

# The statements of a claim, made once: to build one anew costs more than to run it.
OURS = Task.project_id == bindparam("in_project", type_=Uuid())

HELD = (
    select(Assignment)
    .where(
        Assignment.project_id == bindparam("in_project"),
        Assignment.user_id == bindparam("person"),
        IS_OPEN,
    )
    .order_by(Assignment.ordinal)
)

# Asked row by row through the index of (task, person): counts, since the planner would turn an
# EXISTS into a join with all that she has judged. A repeat has a first judgement before it.
HERS = aliased(Assignment)
_hers = (
    select(func.count())
    .where(HERS.task_id == Task.id, HERS.user_id == bindparam("person"), ~HERS.is_repeat)
    .correlate(Task)
)
# Whether a task is new to her: not judged, skipped or held; one whose lease ran out is free again.
IS_NEW = _hers.where(HERS.state != AssignmentState.EXPIRED).scalar_subquery() == 0
NEVER_HAD = _hers.scalar_subquery() == 0
IS_IN_FORCE = exists().where(GoldKey.task_id == Task.id, GoldKey.suspended_at.is_(None))

# The most that the project asks for now. A smaller number than before holds for the next claim
# already; the job that lowers the tasks' own numbers comes later. `ix_task_open` cannot know it.
_most = (
    select(Project.overlap_max)
    .where(Project.id == bindparam("in_project", type_=Uuid()))
    .scalar_subquery()
)
IS_WITHIN_MOST = Task.leased + Task.counted < _most

AN_ORDINARY_TASK = select(Task.id).where(OURS, IS_ORDINARY).limit(1)

TOP_PRIORITY = select(Task.priority).where(OURS, IS_WANTED).order_by(Task.priority.desc()).limit(1)
NEXT_PRIORITY = TOP_PRIORITY.where(Task.priority < bindparam("below", type_=Integer()))

# A task that is wanted and new to her, of one priority (the highest by default), in a stretch of
# the random key. An ordered scan of the partial index `ix_task_open`: what it costs depends on how
# many of the tasks from there on she has judged, not on how many there are.
WANTED_TASK = (
    select(Task.id)
    .where(
        OURS,
        IS_WANTED,
        IS_WITHIN_MOST,
        Task.priority
        == func.coalesce(bindparam("level", type_=Integer()), TOP_PRIORITY.scalar_subquery()),
        Task.random_key >= bindparam("from_key", type_=Double()),
        Task.random_key < bindparam("to_key", type_=Double()),
        IS_NEW,
    )
    .order_by(Task.random_key)
    .limit(1)
)

# A gold task in force that she has never had, not even for a moment.
GOLD_TASK = (
    select(Task.id).where(OURS, IS_GOLD, IS_IN_FORCE, NEVER_HAD).order_by(Task.random_key).limit(1)
)

CONTENTS = (
    select(Response.text, Prompt.messages, Prompt.system, Prompt.language)
    .join(TaskResponse, TaskResponse.response_id == Response.id)
    .join(Prompt, Prompt.id == Response.prompt_id)
    .where(TaskResponse.task_id == bindparam("task_id"))
    .order_by(TaskResponse.position)
)


@dataclass(frozen=True, slots=True)
class Contents:
    """What is shown of a task; `texts` in canonical order."""

    messages: list[Any]
    system: str | None
    language: str | None
    texts: Sequence[str]


class Nothing(StrEnum):
    """Why somebody gets no task."""

    PROJECT_PAUSED = "project_paused"
    PAUSED = "paused"
    NO_TASKS = "no_tasks"
    FINISHED = "finished"
    NONE_FOR_YOU = "none_for_you"


# In one statement, so of one moment: asked one by one, a task that becomes gold or ordinary in
# between would be missed by each. Later questions are asked only where the earlier say so.
_ours = select(Task.id).where(OURS)
WHY_NOTHING = select(
    case(
        (_ours.where(IS_WANTED, IS_WITHIN_MOST, IS_NEW).exists(), null()),
        (
            _ours.where(IS_ORDINARY).exists(),
            case(
                (
                    _ours.where(IS_WANTED, IS_WITHIN_MOST).exists(),
                    literal(Nothing.NONE_FOR_YOU),
                ),
                else_=literal(Nothing.FINISHED),
            ),
        ),
        (and_(bindparam("has_gold", type_=Boolean()), GOLD_TASK.exists()), null()),
        else_=literal(Nothing.NO_TASKS),
    )
)


def contents(session: Session, *, task_id: UUID) -> Contents:
    rows = session.execute(CONTENTS, {"task_id": task_id}).all()
    first = rows[0]
    return Contents(first.messages, first.system, first.language, [row.text for row in rows])


def responses_of(session: Session, *, task_ids: Collection[UUID]) -> dict[UUID, list[UUID]]:
    """The response ids of each task in canonical order."""
    rows = session.execute(
        select(TaskResponse.task_id, TaskResponse.response_id)
        .where(among(TaskResponse.task_id, task_ids))
        .order_by(TaskResponse.task_id, TaskResponse.position)
    )
    found: dict[UUID, list[UUID]] = {}
    for task_id, response_id in rows:
        found.setdefault(task_id, []).append(response_id)
    return found


def gold_in_force(session: Session, *, task_id: UUID) -> Gold | None:
    """The gold key that judgements of the task are scored by."""
    return gold_keys(session, task_ids=[task_id]).get(task_id)


def gold_keys(session: Session, *, task_ids: Collection[UUID]) -> dict[UUID, Gold]:
    """The gold keys in force of those tasks that have one."""
    if not task_ids:
        return {}
    rows = session.execute(
        select(
            GoldKey.task_id,
            GoldKey.prefers,
            GoldKey.equal,
            GoldKey.ties_allowed,
            GoldKey.explanation,
        ).where(GoldKey.task_id.in_(task_ids), GoldKey.suspended_at.is_(None))
    )
    return {
        row.task_id: Gold(row.prefers, row.equal, row.ties_allowed, row.explanation) for row in rows
    }


def most_wanted() -> ScalarSelect[int]:
    """The most judgements that the project of a task asks for now, in a statement about tasks."""
    most = select(Project.overlap_max).where(Project.id == Task.project_id)
    return most.correlate(Task).scalar_subquery()


def project_and_task(session: Session, *, task_id: UUID) -> tuple[Project, Task] | None:
    row = session.execute(
        select(Project, Task).join(Task, Task.project_id == Project.id).where(Task.id == task_id)
    ).one_or_none()
    return None if row is None else (row[0], row[1])


def open_assignments(session: Session, *, project: Project, user: User) -> Sequence[Assignment]:
    """What she holds, expired or not, in the order in which she got it: at most two."""
    return session.scalars(HELD, {"in_project": project.id, "person": user.id}).all()


def why_nothing(session: Session, *, project: Project, user: User) -> Nothing | None:
    """Why she would get no task now; None when there seems to be one."""
    if project.paused_at is not None:
        return Nothing.PROJECT_PAUSED
    membership = session.get(Membership, (project.id, user.id))
    if membership is not None and membership.paused_at is not None:
        return Nothing.PAUSED
    where = {"in_project": project.id, "person": user.id, "has_gold": project.gold_rate > 0}
    reason = session.scalar(WHY_NOTHING, where)
    return None if reason is None else Nothing(reason)


def submitted_since(session: Session, *, project: Project, user: User, since: datetime) -> int:
    """How many tasks she has handed in from a moment on."""
    return session.scalars(
        select(func.count()).where(
            Assignment.user_id == user.id,
            Assignment.project_id == project.id,
            Assignment.finished_at >= since,
            Assignment.state == AssignmentState.SUBMITTED,
        )
    ).one()
