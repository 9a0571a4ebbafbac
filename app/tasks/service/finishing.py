"""The end of an assignment: renewed, given back, skipped, handed in.

Each change of state is one guarded UPDATE of the assignment, then one of its task's counters.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import case, select, update
from sqlalchemy.orm import Session

from app.errors import Conflict
from app.projects.models import Project
from app.tasks import queries, rules
from app.tasks.models import Assignment, AssignmentState, SkipReason, Task, TaskKind
from app.tasks.schemas import Completion


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
    if _close(session, assignment=assignment, state=AssignmentState.EXPIRED, now=now):
        give_back(session, task_id=assignment.task_id)


def skip(
    session: Session,
    *,
    assignment: Assignment,
    reason: SkipReason,
    note: str | None,
    now: datetime,
) -> None:
    """Pass on a task for good; the draft survives. Twice is once, a submitted one is `Conflict`."""
    why: dict[str, Any] = {"skip_reason": reason, "skip_note": note}
    skipped = AssignmentState.SKIPPED
    if _close(session, assignment=assignment, state=skipped, now=now, **why):
        give_back(session, task_id=assignment.task_id)
        return
    late = session.scalar(
        update(Assignment)
        .where(Assignment.id == assignment.id, Assignment.state == AssignmentState.EXPIRED)
        .values(state=skipped, **why)
        .returning(Assignment.id)
    )
    if late is None:
        session.refresh(assignment)
        if assignment.state is AssignmentState.SUBMITTED:
            raise Conflict("You have submitted this task already. Change your answer instead.")


def _close(
    session: Session,
    *,
    assignment: Assignment,
    state: AssignmentState,
    now: datetime,
    **values: Any,
) -> bool:
    """End an open assignment; False when it was not open any more."""
    closed = session.scalar(
        update(Assignment)
        .where(Assignment.id == assignment.id, Assignment.state == AssignmentState.OPEN)
        .values(state=state, finished_at=now, **values)
        .returning(Assignment.id)
    )
    return closed is not None


def complete(session: Session, *, assignment: Assignment, now: datetime) -> Completion | None:
    """Hand in an assignment; None when it was handed in before.

    A lease that ran out or a skip takes nothing away: the work counts if the task still wants it,
    else it is surplus. Gold counts never and has no places.
    """
    is_late = not _close(
        session, assignment=assignment, state=AssignmentState.SUBMITTED, now=now, draft=None
    )
    if is_late and not _close_late(session, assignment=assignment, now=now):
        return None
    if assignment.is_repeat:
        return Completion(counts=False, is_late=is_late)
    if is_late:
        kind, counts = _count_late(session, task_id=assignment.task_id)
    else:
        kind = give_back(session, task_id=assignment.task_id, counted=1)
        counts = kind is TaskKind.ORDINARY
    is_gold = kind is TaskKind.GOLD
    gold = queries.gold_in_force(session, task_id=assignment.task_id) if is_gold else None
    return Completion(counts=counts, is_late=is_late, is_gold=is_gold, gold=gold)


def _count_late(session: Session, *, task_id: UUID) -> tuple[TaskKind, bool]:
    """Count a judgement whose place is gone, if the task has another; its kind, and whether."""
    task = session.execute(
        select(Task.kind, Task.leased + Task.counted < Task.wanted)
        .where(Task.id == task_id)
        .with_for_update(key_share=True)
    ).one()
    kind, is_wanted = task
    if kind is not TaskKind.ORDINARY or not is_wanted:
        return kind, False
    session.execute(update(Task).where(Task.id == task_id).values(counted=Task.counted + 1))
    return kind, True


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
            draft=None,
            skip_reason=None,
            skip_note=None,
        )
        .returning(Assignment.id)
    )
    return closed is not None


def give_back(session: Session, *, task_id: UUID, counted: int = 0) -> TaskKind:
    """One lease less, `counted` judgements more; answers the kind of the task.

    Gold has no places. The row is written all the same: it must be the newest one that is asked,
    since the task may just be turning gold or ordinary.
    """
    is_ordinary = case((Task.kind == TaskKind.ORDINARY, 1), else_=0)
    kind: TaskKind = session.execute(
        update(Task)
        .where(Task.id == task_id)
        .values(leased=Task.leased - is_ordinary, counted=Task.counted + counted * is_ordinary)
        .returning(Task.kind)
    ).scalar_one()
    return kind
