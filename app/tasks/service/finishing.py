"""The end of an assignment: renewed, given back, skipped, handed in.

Each change of state is one guarded UPDATE of the assignment, then one of its task's counters.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Table,
    Update,
    Uuid,
    and_,
    bindparam,
    case,
    func,
    null,
    select,
    update,
)
from sqlalchemy.orm import Session

from app.errors import Conflict
from app.projects.models import Project
from app.tasks import queries, rules
from app.tasks.models import Assignment, AssignmentState, GoldKey, SkipReason, Task, TaskKind
from app.tasks.schemas import Completion, Gold

# As tables with their own columns: the ORM would make its statement anew each time.
_assignments, _tasks = cast(Table, Assignment.__table__), cast(Table, Task.__table__)
_held, _task, _key = _assignments.c, _tasks.c, cast(Table, GoldKey.__table__).c


def _end_as(
    state: AssignmentState,
    *,
    counted: int = 0,
    told: Sequence[ColumnElement[Any]] = (),
    **values: Any,
) -> Update:
    """One statement: end an open assignment and give its place back, or let it count.

    Answers the kind of the task and what else is to be `told`, or nothing when the assignment was
    not open any more. Gold has no places. Its row is written all the same: it must be the newest
    one that is asked, since the task may just be turning gold or ordinary. A place that is given
    back is gone where the project asks for fewer judgements by now, and where the task is closed.
    """
    ended = (
        update(_assignments)
        .where(_held.id == bindparam("assignment_id"), queries.IS_OPEN)
        .values(state=state, finished_at=bindparam("now"), **values)
        .returning(_held.task_id, _held.is_repeat)
        .cte("ended")
    )
    place = case((and_(_task.kind == TaskKind.ORDINARY, ~ended.c.is_repeat), 1), else_=0)
    left = _task.leased - place + _task.counted
    most = func.least(_task.wanted, func.greatest(left, queries.most_wanted()))
    fewer = case((_task.closed_at.is_(None), most), else_=left)
    wanted = {} if counted else {"wanted": case((_task.kind == TaskKind.ORDINARY, fewer))}
    return (
        update(_tasks)
        .where(_task.id == ended.c.task_id)
        .values(leased=_task.leased - place, counted=_task.counted + counted * place, **wanted)
        .returning(_task.kind, *told)
    )


# What a submission needs to know next comes with it, whatever the kind of the task: the gold key,
# so that gold costs no statement more, and what else she holds.
_gold = (
    select(func.jsonb_build_array(_key.prefers, _key.equal, _key.ties_allowed, _key.explanation))
    .where(_key.task_id == _task.id, _key.suspended_at.is_(None))
    .correlate(_tasks)
    .scalar_subquery()
    .label("gold")
)
_holds = (
    select(func.array_agg(_held.id))
    .where(
        _held.project_id == bindparam("in_project", type_=Uuid()),
        _held.user_id == bindparam("person", type_=Uuid()),
        _held.id != bindparam("assignment_id", type_=Uuid()),
        queries.IS_OPEN,
    )
    .scalar_subquery()
    .label("holds")
)
SUBMIT = _end_as(AssignmentState.SUBMITTED, counted=1, told=(_gold, _holds), draft=null())
RELEASE = _end_as(AssignmentState.EXPIRED)
SKIP = _end_as(
    AssignmentState.SKIPPED, skip_reason=bindparam("reason"), skip_note=bindparam("note")
)
ENDED = ["state", "finished_at", "draft", "skip_reason", "skip_note"]  # what these may change


def renew(
    session: Session, *, assignment: Assignment, project: Project, now: datetime
) -> Assignment:
    """Prolong the lease by the project's time from now on; `Conflict` when it is over for good."""
    renewed: Assignment | None = session.scalar(
        update(Assignment)
        .where(
            Assignment.id == assignment.id,
            Assignment.state == AssignmentState.OPEN,
            Assignment.renewals < rules.MAX_RENEWALS,
        )
        .values(
            leased_until=now + timedelta(minutes=project.lease_minutes),
            renewals=Assignment.renewals + 1,
        )
        .returning(Assignment),
        execution_options={"populate_existing": True},
    )
    if renewed is not None:
        return renewed
    session.refresh(assignment)
    if assignment.state is AssignmentState.OPEN:
        raise Conflict(
            f"This task was prolonged {rules.MAX_RENEWALS} times already. Submit what you have, "
            "skip it, or give it back; a late answer is kept in any case."
        )
    if assignment.state is AssignmentState.EXPIRED:
        raise Conflict(
            "The time for this task has run out. Submit it all the same: it is kept, and counts "
            "if nobody else has judged the task meanwhile."
        )
    raise Conflict("You have finished this task already, so there is nothing to prolong.")


def release(session: Session, *, assignment: Assignment, now: datetime) -> None:
    """Give an open task back; its draft stays for when she meets it again. Twice is once."""
    give_back(session, assignment_id=assignment.id, now=now)
    session.expire(assignment, ENDED)


def give_back(session: Session, *, assignment_id: UUID, now: datetime) -> None:
    session.execute(RELEASE, {"assignment_id": assignment_id, "now": now})


def skip(
    session: Session,
    *,
    assignment: Assignment,
    reason: SkipReason,
    note: str | None,
    now: datetime,
) -> None:
    """Pass on a task for good; the draft survives. Twice is once, a submitted one is `Conflict`."""
    if assignment.attempt_id is not None:
        raise Conflict(
            "A question of the qualification cannot be skipped. Answer it as well as you can, or "
            "leave it and go on later."
        )
    given = {"assignment_id": assignment.id, "now": now, "reason": reason, "note": note}
    skipped = session.scalar(SKIP, given)
    session.expire(assignment, ENDED)
    if skipped is not None:
        return
    late = session.scalar(
        update(Assignment)
        .where(Assignment.id == assignment.id, Assignment.state == AssignmentState.EXPIRED)
        .values(state=AssignmentState.SKIPPED, skip_reason=reason, skip_note=note)
        .returning(Assignment.id)
    )
    if late is None and assignment.state is AssignmentState.SUBMITTED:
        raise Conflict("You have submitted this task already. Change your answer instead.")


def complete(session: Session, *, assignment: Assignment, now: datetime) -> Completion | None:
    """Hand in an assignment; None when it was handed in before.

    A lease that ran out or a skip takes nothing away: the work counts if the task still wants it,
    else it is surplus. Gold counts never and has no places.
    """
    row = session.execute(
        SUBMIT,
        {
            "assignment_id": assignment.id,
            "in_project": assignment.project_id,
            "person": assignment.user_id,
            "now": now,
        },
    ).one_or_none()
    session.expire(assignment, ENDED)
    if row is None:
        return _complete_late(session, assignment=assignment, now=now)
    return Completion(
        counts=row.kind is TaskKind.ORDINARY and not assignment.is_repeat,
        is_late=False,
        is_gold=row.kind is TaskKind.GOLD,
        is_qualification=row.kind is TaskKind.QUALIFICATION,
        gold=row.gold and Gold(*row.gold),
        holds=row.holds or (),
    )


def _complete_late(session: Session, *, assignment: Assignment, now: datetime) -> Completion | None:
    if not _close_late(session, assignment=assignment, now=now):
        return None
    kind, counts = _count_late(session, assignment=assignment)
    is_gold = kind is TaskKind.GOLD
    gold = queries.gold_in_force(session, task_id=assignment.task_id) if is_gold else None
    return Completion(
        counts=counts,
        is_late=True,
        is_gold=is_gold,
        is_qualification=kind is TaskKind.QUALIFICATION,
        gold=gold,
    )


def _close_late(session: Session, *, assignment: Assignment, now: datetime) -> bool:
    closed = session.scalar(
        update(Assignment)
        .where(
            Assignment.id == assignment.id,
            Assignment.state.in_([AssignmentState.EXPIRED, AssignmentState.SKIPPED]),
        )
        .values(
            state=AssignmentState.SUBMITTED,
            finished_at=now,
            draft=null(),
            skip_reason=None,
            skip_note=None,
        )
        .returning(Assignment.id)
    )
    return closed is not None


def _count_late(session: Session, *, assignment: Assignment) -> tuple[TaskKind, bool]:
    """Count a judgement whose place is gone, if the task has another; its kind, and whether."""
    kind, is_wanted = session.execute(
        select(
            Task.kind,
            Task.leased + Task.counted < func.least(Task.wanted, queries.most_wanted()),
        )
        .where(Task.id == assignment.task_id)
        .with_for_update(key_share=True)
    ).one()
    counts = kind is TaskKind.ORDINARY and is_wanted and not assignment.is_repeat
    counts = counts and assignment.attempt_id is None  # it was a question of the qualification
    if counts:
        session.execute(
            update(Task).where(Task.id == assignment.task_id).values(counted=Task.counted + 1)
        )
    return kind, counts
