"""Reads of tasks, their responses, and what people hold."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from time import monotonic
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    DateTime,
    Double,
    Integer,
    ScalarSelect,
    Select,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    exists,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session, aliased
from sqlalchemy.sql.selectable import LateralFromClause

from app.accounts.models import Role, User
from app.corpus.models import Prompt, Response
from app.db import among, database_now
from app.projects.models import Membership, Project
from app.tasks import rules
from app.tasks.models import (
    Assignment,
    AssignmentState,
    GoldKey,
    QualificationAttempt,
    Task,
    TaskLane,
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

# The lanes that are open to her: the one that asks nothing, and those whose language and expertise
# are hers. Who has no languages listed may judge every language.
_expertise = bindparam("her_expertise", [], type_=ARRAY(Text))
_languages = bindparam("her_languages", [], type_=ARRAY(Text))
_lanes = select(TaskLane.key).where(TaskLane.project_id == bindparam("in_project", type_=Uuid()))
_open_lanes = _lanes.where(
    TaskLane.expertise.contained_by(_expertise),
    or_(
        TaskLane.language == "",
        func.cardinality(_languages) == 0,
        TaskLane.language == any_(_languages),
    ),
)
_her = union_all(select(literal("", Text()).label("key")), _open_lanes).cte("her")
IN_HER_LANES = Task.lane == any_(
    func.array(select(_her.c.key).correlate(None).scalar_subquery(), type_=ARRAY(Text))
)
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

# The highest priority of what is wanted in any of her lanes: a look at the head of each.
_head = (
    select(Task.priority)
    .where(OURS, IS_WANTED, Task.lane == _her.c.key)
    .order_by(Task.priority.desc())
    .limit(1)
    .correlate(_her)
)


def _highest(head: LateralFromClause) -> Select[int]:
    return (
        select(head.c.priority)
        .select_from(_her.join(head, true()))
        .order_by(head.c.priority.desc())
        .limit(1)
    )


TOP_PRIORITY = _highest(_head.lateral("head"))
NEXT_PRIORITY = _highest(
    _head.where(Task.priority < bindparam("below", type_=Integer())).lateral("head")
)

# What is wanted in a lane, of one priority (the highest by default), in a stretch of the random
# key: an ordered scan of the partial index `ix_task_open`.
_level = select(
    func.coalesce(
        bindparam("level", type_=Integer()), TOP_PRIORITY.correlate(None).scalar_subquery()
    ).label("level")
).cte("level")
_stretch = (
    OURS,
    IS_WANTED,
    IS_WITHIN_MOST,
    Task.priority == select(_level.c.level).correlate(None).scalar_subquery(),
    Task.random_key >= bindparam("from_key", type_=Double()),
    Task.random_key < bindparam("to_key", type_=Double()),
)
LOOKED_AT = 50  # tasks of a lane, when lanes are compared

# Her lanes, the one with the nearest task that is new to her first, so that each lane is drawn as
# often as it has tasks. One in which she has judged all that lies ahead comes last, and costs no
# more than a short look. A project with the empty lane alone has nothing to compare.
_ahead = (
    select(Task.id, Task.random_key)
    .where(*_stretch, Task.lane == _her.c.key)
    .order_by(Task.random_key)
    .limit(LOOKED_AT)
    .correlate(_her)
    .subquery("ahead")
)
_seen = aliased(Assignment)
_is_new_ahead = (
    select(func.count())
    .where(
        _seen.task_id == _ahead.c.id,
        _seen.user_id == bindparam("person"),
        ~_seen.is_repeat,
        _seen.state != AssignmentState.EXPIRED,
    )
    .correlate(_ahead)
    .scalar_subquery()
    == 0
)
_nearest = select(_ahead.c.random_key).where(_is_new_ahead).order_by(_ahead.c.random_key).limit(1)
_by_distance = (
    select(_her.c.key)
    .order_by(
        case(
            (_lanes.correlate(None).exists(), _nearest.correlate(_her).scalar_subquery()),
            else_=null(),
        ).nulls_last()
    )
    .subquery("by_distance")
)


def _wanted_task(*, locks: bool) -> Select[UUID]:
    """A task that is wanted, hers to judge and new to her.

    What it costs depends on how many of the tasks from there on she has judged, not on how many
    there are.
    """
    found = (
        select(Task.id)
        .where(*_stretch, Task.lane == _by_distance.c.key, IS_NEW)
        .order_by(Task.random_key)
        .limit(1)
        .correlate(_by_distance)
    )
    if locks:
        found = found.with_for_update(key_share=True, skip_locked=True)
    first = found.lateral("first")
    return select(first.c.id).select_from(_by_distance.join(first, true())).limit(1)


WANTED_TASK = _wanted_task(locks=False)
FREE_TASK = _wanted_task(locks=True)  # … and that nobody holds at this moment

# A task that she has submitted here before, so many submissions ago at least, and that has not
# come again yet. A look at a few dozen entries of `ix_assignment_history`, however many there are.
_before, _again = aliased(Assignment), aliased(Assignment)
_past = (
    select(_before.task_id, _before.is_repeat, _before.display_order)
    .where(
        _before.project_id == bindparam("in_project"),
        _before.user_id == bindparam("person"),
        _before.state == AssignmentState.SUBMITTED,
    )
    .order_by(_before.finished_at.desc())
    .offset(bindparam("repeat_distance", 0, type_=Integer()))
    .limit(LOOKED_AT)
    .subquery("past")
)
_came_again = (
    select(func.count())
    .where(
        _again.task_id == _past.c.task_id,
        _again.user_id == bindparam("person"),
        _again.is_repeat,
        _again.display_order.is_not(None),
    )
    .correlate(_past)
    .scalar_subquery()
)
REPEATED_TASK = (
    select(Task.id)
    .join(_past, _past.c.task_id == Task.id)
    .where(
        IS_ORDINARY,
        ~_past.c.is_repeat,
        _past.c.display_order.is_not(None),  # imported judgements were made elsewhere
        _came_again == 0,
    )
    .limit(1)
)

# A gold task in force that she has never had, not even for a moment.
GOLD_TASK = (
    select(Task.id)
    .where(OURS, IS_GOLD, IN_HER_LANES, IS_IN_FORCE, NEVER_HAD)
    .order_by(Task.random_key)
    .limit(1)
)

# All of hers, or what she has handed in since a moment: from the end of `ix_assignment_history`.
SUBMITTED = select(func.count()).where(
    Assignment.project_id == bindparam("in_project"),
    Assignment.user_id == bindparam("person"),
    Assignment.finished_at
    >= func.coalesce(
        bindparam("since", type_=DateTime(timezone=True)), literal_column("'-infinity'")
    ),
    Assignment.state == AssignmentState.SUBMITTED,
    Assignment.attempt_id.is_(None),
)

WANTED_IN_ALL = select(func.sum(Task.wanted)).where(OURS, IS_ORDINARY)
WANTED_HOLDS_SECONDS = 60
_wanted: dict[UUID, tuple[float, int]] = {}  # by project: when it was counted, and the number

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
    DAILY_LIMIT = "daily_limit"
    TOTAL_LIMIT = "total_limit"
    LARGEST_SHARE = "largest_share"
    NO_TASKS = "no_tasks"
    FINISHED = "finished"
    NEEDS_OTHER_SKILLS = "needs_other_skills"
    NONE_FOR_YOU = "none_for_you"


# What is wanted and new to her in her lanes, and in the others.
_hers_to_judge = (
    select(Task.id)
    .where(OURS, IS_WANTED, IS_WITHIN_MOST, Task.lane == _her.c.key, IS_NEW)
    .limit(1)
    .correlate(_her)
).lateral("hers_to_judge")
_FOR_HER = select(_her.c.key).select_from(_her.join(_hers_to_judge, true())).limit(1)
_others = _lanes.where(TaskLane.key.not_in(select(_her.c.key).correlate(None))).subquery("others")
_theirs_to_judge = (
    select(Task.id)
    .where(OURS, IS_WANTED, IS_WITHIN_MOST, Task.lane == _others.c.key, IS_NEW)
    .limit(1)
    .correlate(_others)
).lateral("theirs_to_judge")
_FOR_OTHERS = select(_others.c.key).select_from(_others.join(_theirs_to_judge, true())).limit(1)

# In one statement, so of one moment: asked one by one, a task that becomes gold or ordinary in
# between would be missed by each. Later questions are asked only where the earlier say so.
_ours = select(Task.id).where(OURS)
WHY_NOTHING = select(
    case(
        (_FOR_HER.exists(), null()),
        (
            _ours.where(IS_ORDINARY).exists(),
            case(
                (_FOR_OTHERS.exists(), literal(Nothing.NEEDS_OTHER_SKILLS)),
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


def why_nothing(
    session: Session, *, project: Project, user: User, now: datetime | None = None
) -> Nothing | None:
    """Why she would get no task now; None when there seems to be one."""
    if project.paused_at is not None:
        return Nothing.PROJECT_PAUSED
    membership = session.get(Membership, (project.id, user.id))
    if membership is not None and membership.paused_at is not None:
        return Nothing.PAUSED
    where = {"in_project": project.id, "person": user.id, "has_gold": project.gold_rate > 0}
    reason = session.scalar(WHY_NOTHING, where | skills(membership))
    if reason is not None:
        return Nothing(reason)
    if membership is None:
        return None
    return limit_reached(
        session,
        project=project,
        membership=membership,
        held=0,
        now=now or database_now(session),
    )


def skills(membership: Membership | None) -> dict[str, list[str]]:
    """What the statements of a claim ask of a person."""
    if membership is None:  # an admin of the installation, who has not worked here yet
        return {"her_expertise": [], "her_languages": []}
    return {"her_expertise": membership.expertise, "her_languages": membership.languages}


def limit_reached(
    session: Session, *, project: Project, membership: Membership, held: int, now: datetime
) -> Nothing | None:
    """The limit that keeps her from one more task than she has handed in and holds.

    Where none is set, nothing is asked of the database; and all that she has ever handed in is
    counted only from the moment when she may have reached a limit of it.
    """
    if (daily := daily_limit(project, membership)) is not None:
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if _submitted(session, membership, since=midnight) + held >= daily:
            return Nothing.DAILY_LIMIT
    limits = {Nothing.TOTAL_LIMIT: total_limit(project, membership)}
    if project.largest_share is not None:
        wanted = wanted_in_all(session, project=project)
        share = rules.share_limit(project.largest_share, wanted=wanted)
        limits[Nothing.LARGEST_SHARE] = share
    for reason, limit in limits.items():
        if limit is None or membership.claimed < limit:  # she cannot have handed in more than that
            continue
        if _submitted(session, membership) + held >= limit:
            return reason
    return None


def daily_limit(project: Project, membership: Membership | None) -> int | None:
    own = membership and membership.daily_limit
    return own or project.daily_limit


def total_limit(project: Project, membership: Membership | None) -> int | None:
    own = membership and membership.total_limit
    return own or project.total_limit


def wanted_in_all(session: Session, *, project: Project) -> int:
    """How many judgements the project's ordinary tasks want, as it was a minute ago at most."""
    known = _wanted.get(project.id)
    if known is None or known[0] < monotonic() - WANTED_HOLDS_SECONDS:
        total = session.scalar(WANTED_IN_ALL, {"in_project": project.id}) or 0
        known = _wanted[project.id] = (monotonic(), total)
    return known[1]


def _submitted(session: Session, membership: Membership, *, since: datetime | None = None) -> int:
    hers = {"in_project": membership.project_id, "person": membership.user_id, "since": since}
    return session.scalars(SUBMITTED, hers).one()


def submitted_since(session: Session, *, project: Project, user: User, since: datetime) -> int:
    """How many tasks she has handed in from a moment on, questions of the qualification apart."""
    hers = {"in_project": project.id, "person": user.id, "since": since}
    return session.scalars(SUBMITTED, hers).one()


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
