"""Why somebody gets no task."""

from datetime import datetime

from sqlalchemy import Boolean, DateTime, and_, bindparam, case, literal, null, select, true
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.db import database_now
from app.projects.models import Membership, Project
from app.tasks.models import Assignment, Task, TaskLane
from app.tasks.queries.people import limit_reached
from app.tasks.queries.wanted import (
    HER_LANES,
    IN_HER_LANES,
    IS_NEW,
    IS_OPEN,
    IS_ORDINARY,
    IS_WANTED,
    IS_WITHIN_MOST,
    LANES,
    OURS,
    RE_ASKED_TASK,
    gold_task,
    most_wanted,
    skills,
)
from app.tasks.schemas import Nothing

# What is wanted and new to her in her lanes, and in the others.
_hers_to_judge = (
    select(Task.id)
    .where(OURS, IS_WANTED, IS_WITHIN_MOST, Task.lane == HER_LANES.c.key, IS_NEW)
    .limit(1)
    .correlate(HER_LANES)
).lateral("hers_to_judge")
_FOR_HER = select(HER_LANES.c.key).select_from(HER_LANES.join(_hers_to_judge, true())).limit(1)
_others = LANES.where(TaskLane.key.not_in(select(HER_LANES.c.key).correlate(None))).subquery(
    "others"
)
_theirs_to_judge = (
    select(Task.id)
    .where(OURS, IS_WANTED, IS_WITHIN_MOST, Task.lane == _others.c.key, IS_NEW)
    .limit(1)
    .correlate(_others)
).lateral("theirs_to_judge")
_FOR_OTHERS = select(_others.c.key).select_from(_others.join(_theirs_to_judge, true())).limit(1)

# What somebody holds now. Once its time is over, a claim of hers frees it on its way, and finds it:
# where it is new to her, in a lane of hers, and still wanted without the place that was taken.
_HELD = (
    select(Assignment.id)
    .join(Task, Task.id == Assignment.task_id)
    .where(
        Assignment.project_id == bindparam("in_project"),
        IS_OPEN,
        IS_ORDINARY,
        ~Assignment.is_repeat,
    )
    .limit(1)
)
RUN_OUT_FOR_HER = _HELD.where(
    Assignment.leased_until <= bindparam("now", type_=DateTime(timezone=True)),
    Task.closed_at.is_(None),
    Task.leased + Task.counted <= most_wanted(),
    IN_HER_LANES,
    IS_NEW,
)

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
                (_HELD.exists(), literal(Nothing.NONE_FOR_YOU)),
                else_=literal(Nothing.FINISHED),
            ),
        ),
        (and_(bindparam("has_gold", type_=Boolean()), gold_task(lanes=True).exists()), null()),
        else_=literal(Nothing.NO_TASKS),
    )
)


def why_nothing(
    session: Session, *, project: Project, user: User, now: datetime | None = None
) -> Nothing | None:
    """Why she would get no task now; None when there seems to be one.

    Where `now` is given, what others hold beyond their time is one as well: a claim frees it.
    """
    if project.paused_at is not None:
        return Nothing.PROJECT_PAUSED
    membership = session.get(Membership, (project.id, user.id))
    if membership is not None and membership.paused_at is not None:
        return Nothing.PAUSED
    reason = _reason(session, project, user, membership)
    if (
        reason is not None
        and not _comes_again(session, membership)
        and not (now and _has_run_out(session, project, user, membership, now=now))
    ):
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


def only_re_asked(
    session: Session, *, project: Project, user: User, membership: Membership
) -> bool:
    """Whether nothing is left for her but what she is to judge again under changed guidelines."""
    return (
        _comes_again(session, membership)
        and _reason(session, project, user, membership) is not None
    )


def _reason(
    session: Session, project: Project, user: User, membership: Membership | None
) -> str | None:
    where = {"in_project": project.id, "person": user.id, "has_gold": project.gold_rate > 0}
    reason: str | None = session.scalar(WHY_NOTHING, where | skills(membership))
    return reason


def _has_run_out(
    session: Session,
    project: Project,
    user: User,
    membership: Membership | None,
    *,
    now: datetime,
) -> bool:
    where = {"in_project": project.id, "person": user.id, "now": now}
    return session.scalar(RUN_OUT_FOR_HER, where | skills(membership)) is not None


def _comes_again(session: Session, membership: Membership | None) -> bool:
    if membership is None or not membership.re_asks:
        return False
    hers = {"in_project": membership.project_id, "person": membership.user_id}
    return session.scalar(RE_ASKED_TASK, hers | {"nothing_else": True}) is not None
