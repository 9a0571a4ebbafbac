"""What the work of a project consisted of, day by day: judgements of each kind and their time."""

from collections.abc import Sequence
from datetime import date

from sqlalchemy import BigInteger, Date, case, cast, func, select
from sqlalchemy.orm import Session, aliased

from app.annotation.models import Annotation
from app.projects.models import Project
from app.quality.rules.money import Entry, Kind
from app.tasks.models import Assignment, AssignmentState, GoldKey, Task, TaskKind

LONGEST_LOOK = 30 * 60 * 1000  # ms of one task that pass for work, where no browser measured


def ledger_of(session: Session, *, project: Project) -> list[Entry]:
    """Work done here by day (UTC) and kind, oldest first; what was imported has no time and none.

    A correction takes no time of its own, and what it says is what passes a gold question; an
    answer to a key that was withdrawn counts for nothing. Reads every judgement: it is kept with
    the figures.
    """
    return sorted(
        [*_judged(session, project=project), *_skipped(session, project=project)],
        key=lambda entry: (entry.day, entry.kind),
    )


def _judged(session: Session, *, project: Project) -> Sequence[Entry]:
    spent = func.coalesce(
        Annotation.active_ms, Annotation.visible_ms, func.least(Annotation.wall_ms, LONGEST_LOOK)
    )  # where there is none of the three, LEAST answers its other argument
    is_timed = func.coalesce(
        Annotation.active_ms, Annotation.visible_ms, Annotation.wall_ms
    ).is_not(None)
    day = cast(func.timezone("UTC", Annotation.submitted_at), Date)
    kind = case(
        (Task.kind == TaskKind.QUALIFICATION, Kind.QUALIFICATION.value),
        (
            Annotation.gold_passed.is_not(None) & GoldKey.suspended_at.is_(None),
            Kind.GOLD.value,
        ),
        (Annotation.is_repeat, Kind.REPEATS.value),
        (Annotation.counted, Kind.ORDINARY.value),
        else_=Kind.SURPLUS.value,
    )
    latest = aliased(Annotation)
    passed = select(latest.gold_passed).where(
        latest.assignment_id == Annotation.assignment_id, latest.is_current
    )
    is_passed = case((Annotation.gold_passed.is_not(None), passed.scalar_subquery()))
    rows = session.execute(
        select(
            day,
            kind,
            func.count(),
            cast(func.sum(spent), BigInteger),
            func.count().filter(is_passed),
        )
        .join(Task, Task.id == Annotation.task_id)
        .outerjoin(GoldKey, GoldKey.task_id == Annotation.task_id)
        .where(
            Annotation.project_id == project.id,
            Annotation.user_id.is_not(None),
            Annotation.revision == 1,
            is_timed,
        )
        .group_by(day, kind)
    )
    return [Entry(when, Kind(what), number, ms, passed) for when, what, number, ms, passed in rows]


def _skipped(session: Session, *, project: Project) -> Sequence[Entry]:
    seconds = func.extract("epoch", Assignment.finished_at - Assignment.created_at)
    day = cast(func.timezone("UTC", Assignment.finished_at), Date)
    rows = session.execute(
        select(
            day,
            func.count(),
            cast(func.sum(func.least(seconds * 1000, LONGEST_LOOK)), BigInteger),
        )
        .where(
            Assignment.project_id == project.id,
            Assignment.state == AssignmentState.SKIPPED,
            Assignment.display_order.is_not(None),
        )
        .group_by(day)
    )
    return [Entry(when, Kind.SKIPPED, number, ms or 0, 0) for when, number, ms in rows]


def as_json(entries: Sequence[Entry]) -> list[list[object]]:
    return [
        [entry.day.isoformat(), entry.kind.value, entry.number, entry.ms, entry.passed]
        for entry in entries
    ]


def from_json(rows: Sequence[Sequence[object]]) -> list[Entry]:
    return [
        Entry(date.fromisoformat(str(day)), Kind(str(kind)), *map(int, map(str, rest)))
        for day, kind, *rest in rows
    ]
