"""Reads of tasks, their responses, and what people hold."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Double,
    Integer,
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

from app.accounts.models import Role, User
from app.corpus.models import Prompt, Response
from app.db import among
from app.projects.models import Membership, Project
from app.tasks import rules
from app.tasks.models import (
    Assignment,
    AssignmentState,
    GoldKey,
    QualificationAttempt,
    Task,
    TaskResponse,
)
from app.tasks.schemas import Gold, Qualification, Stage

# Written out, not bound: the planner must recognise the partial indexes in prepared statements.
IS_ORDINARY: ColumnElement[bool] = literal_column("task.kind = 'ordinary'")
IS_WANTED: ColumnElement[bool] = literal_column(
    "task.kind = 'ordinary' AND task.leased + task.counted < task.wanted"
)
IS_GOLD: ColumnElement[bool] = literal_column("task.kind = 'gold'")
IS_QUALIFICATION: ColumnElement[bool] = literal_column("task.kind = 'qualification'")
HAS_KEY: ColumnElement[bool] = literal_column("task.kind <> 'ordinary'")
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
        (_ours.where(IS_WANTED, IS_NEW).exists(), null()),
        (
            _ours.where(IS_ORDINARY).exists(),
            case(
                (_ours.where(IS_WANTED).exists(), literal(Nothing.NONE_FOR_YOU)),
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
    """The gold key that judgements of the task are scored by, unseen; None if it is not gold."""
    return gold_keys(session, task_ids=[task_id], of=IS_GOLD).get(task_id)


def question_key(session: Session, *, task_id: UUID) -> Gold | None:
    """The key that a question of the qualification is answered by; None if it is none any more."""
    return gold_keys(session, task_ids=[task_id], of=IS_QUALIFICATION).get(task_id)


def gold_keys(
    session: Session, *, task_ids: Collection[UUID], of: ColumnElement[bool] = HAS_KEY
) -> dict[UUID, Gold]:
    """The keys in force of those tasks that have one, and are `of` that kind."""
    if not task_ids:
        return {}
    rows = session.execute(
        select(
            GoldKey.task_id,
            GoldKey.prefers,
            GoldKey.equal,
            GoldKey.ties_allowed,
            GoldKey.explanation,
        )
        .join(Task, Task.id == GoldKey.task_id)
        .where(GoldKey.task_id.in_(task_ids), GoldKey.suspended_at.is_(None), of)
    )
    return {
        row.task_id: Gold(row.prefers, row.equal, row.ties_allowed, row.explanation) for row in rows
    }


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
    """How many tasks she has handed in from a moment on, questions of the qualification apart."""
    return session.scalars(
        select(func.count()).where(
            Assignment.user_id == user.id,
            Assignment.project_id == project.id,
            Assignment.finished_at >= since,
            Assignment.state == AssignmentState.SUBMITTED,
            Assignment.attempt_id.is_(None),
        )
    ).one()


# A question of the qualification that she has never had, not even for a moment.
NEW_QUESTION = (
    select(Task.id).where(OURS, IS_QUALIFICATION, IS_IN_FORCE, NEVER_HAD).order_by(Task.random_key)
)


def must_qualify(project: Project, *, user: User, membership: Membership | None) -> bool:
    """Whether she is to pass the qualification before she gets real work."""
    return (
        project.qualification_size > 0
        and membership is not None
        and membership.role is Role.ANNOTATOR
        and membership.qualified_at is None
        and not user.is_admin
    )


def qualification_of(
    session: Session, *, project: Project, user: User, membership: Membership | None, now: datetime
) -> Qualification:
    """Where she stands with the qualification, and what comes next."""
    attempts = attempts_of(session, project=project, user=user)
    last = attempts[-1] if attempts else None
    if not must_qualify(project, user=user, membership=membership) or membership is None:
        is_through = membership is not None and membership.qualified_at is not None
        return Qualification(Stage.QUALIFIED if is_through else Stage.NOT_ASKED, last)
    where = {"in_project": project.id, "person": user.id}
    new = session.scalar(select(func.count()).select_from(NEW_QUESTION.subquery()), where) or 0
    if last is not None and last.finished_at is None:
        goes_on = new > 0 or last.answered > 0 or unanswered(session, attempt=last) is not None
        stage = Stage.UNDER_WAY if goes_on else Stage.NO_QUESTIONS
        return Qualification(stage, last, size=last.size, needed=last.needed)
    size, number = project.qualification_size, len(attempts) + 1
    wait = timedelta(hours=project.qualification_wait_hours)
    ended = last.finished_at if last else None
    allowed, granted = project.qualification_attempts, membership.attempts_granted
    entry = rules.entry(
        number, allowed=allowed, granted=granted, last_ended=ended, wait=wait, now=now
    )
    if entry == "over":
        stage = Stage.USED_UP
    elif new < size:
        stage = Stage.NONE_LEFT if attempts else Stage.NO_QUESTIONS
    else:
        stage = Stage.READY if entry == "now" else Stage.WAITING
    return Qualification(
        stage,
        last,
        size=size,
        needed=rules.needed_right(size, share=project.qualification_pass),
        attempts_left=max(0, max(allowed, granted) - len(attempts)),
        retry_at=ended + wait if ended and stage is Stage.WAITING else None,
    )


def attempts_of(
    session: Session, *, project: Project, user: User
) -> Sequence[QualificationAttempt]:
    """Her attempts at the qualification, in their order; the last one may be under way."""
    return session.scalars(
        select(QualificationAttempt)
        .where(
            QualificationAttempt.project_id == project.id, QualificationAttempt.user_id == user.id
        )
        .order_by(QualificationAttempt.number)
    ).all()


def unanswered(session: Session, *, attempt: QualificationAttempt) -> Assignment | None:
    """The question of an attempt that she was given and has not answered, if it still is one."""
    return session.scalar(
        select(Assignment)
        .join(Task, Task.id == Assignment.task_id)
        .where(
            Assignment.attempt_id == attempt.id,
            Assignment.state.in_([AssignmentState.OPEN, AssignmentState.EXPIRED]),
            IS_QUALIFICATION,
            IS_IN_FORCE,
        )
        .order_by(Assignment.question)
        .limit(1)
    )
