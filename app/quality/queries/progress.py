"""Reads of one person's own work in a project. Gold and repeats count there like any task."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, and_, exists, func, literal_column, select
from sqlalchemy.orm import Session, aliased

from app.accounts.models import User
from app.annotation.models import Annotation
from app.projects.models import Project
from app.tasks.models import Assignment, AssignmentState, SkipReason, Task, TaskKind

SECONDS = func.coalesce(Annotation.active_ms, Annotation.visible_ms, Annotation.wall_ms) / 1000.0
# Whether more than one response was put first.
IS_TIE: ColumnElement[bool] = literal_column(
    "cardinality(array_positions(annotation.ranks, 1::smallint)) > 1"
)
DAY = func.date(func.timezone("UTC", Assignment.finished_at))


@dataclass(frozen=True, slots=True)
class Work:
    """What was done in a stretch of time; seconds of work, as far as they were measured."""

    done: int = 0
    ties: int = 0
    seconds: float = 0.0
    median_seconds: float | None = None


def _hers(columns: Sequence[Any], *, project: Project, user: User) -> Select[Any]:
    """Her current judgements, made here; imported ones are nobody's work on this page."""
    return (
        select(*columns)
        .join(Annotation, Annotation.assignment_id == Assignment.id)
        .where(
            Assignment.user_id == user.id,
            Assignment.project_id == project.id,
            Assignment.state == AssignmentState.SUBMITTED,
            Assignment.display_order.is_not(None),
            Assignment.attempt_id.is_(None),  # questions of the qualification are no work
            Annotation.is_current,
        )
    )


FIGURES = (
    func.count(),
    func.count().filter(IS_TIE),
    func.coalesce(func.sum(SECONDS), 0),
    func.percentile_cont(0.5).within_group(SECONDS),
)


def work_since(
    session: Session, *, project: Project, user: User, since: datetime | None = None
) -> Work:
    statement = _hers(FIGURES, project=project, user=user).select_from(Assignment)
    if since is not None:
        statement = statement.where(Assignment.finished_at >= since)
    return _work(session.execute(statement).one())


def work_by_day(
    session: Session, *, project: Project, user: User, since: datetime
) -> dict[date, Work]:
    statement = (
        _hers((*FIGURES, DAY), project=project, user=user)
        .select_from(Assignment)
        .where(Assignment.finished_at >= since)
        .group_by(DAY)
    )
    return {row[-1]: _work(row) for row in session.execute(statement)}


def _work(row: Row[Any]) -> Work:
    done, ties, seconds, median = tuple(row)[:4]
    return Work(done, ties, float(seconds), None if median is None else float(median))


def skips_of(
    session: Session, *, project: Project, user: User
) -> Sequence[tuple[datetime, SkipReason]]:
    """When she skipped, and why."""
    rows = session.execute(
        select(Assignment.finished_at, Assignment.skip_reason).where(
            Assignment.user_id == user.id,
            Assignment.project_id == project.id,
            Assignment.state == AssignmentState.SKIPPED,
        )
    )
    return [(moment, reason) for moment, reason in rows if moment and reason]


def shared_judgements(
    session: Session, *, project: Project, user: User, since: datetime, until: datetime
) -> Sequence[tuple[datetime, UUID, list[int], list[int]]]:
    """(when, task, her ranks, another's) of ordinary tasks that others have judged as well.

    Hers as she had it at the end of that week, theirs at `until`: a week's figure stands still
    until the next, or she would see which of her corrections move it. Those of gold never do.
    """
    hers, theirs = aliased(Annotation), aliased(Annotation)
    end_of_week = func.date_trunc("week", Assignment.finished_at, "UTC") + timedelta(weeks=1)
    rows = session.execute(
        select(Assignment.finished_at, hers.task_id, hers.ranks, theirs.ranks)
        .join(hers, hers.assignment_id == Assignment.id)
        .join(Task, Task.id == hers.task_id)
        .join(theirs, theirs.task_id == hers.task_id)
        .where(
            Assignment.user_id == user.id,
            Assignment.project_id == project.id,
            Assignment.state == AssignmentState.SUBMITTED,
            Assignment.finished_at >= since,
            Assignment.finished_at < until,
            _stood(hers, at=end_of_week),
            Task.kind == TaskKind.ORDINARY,
            theirs.user_id != user.id,
            _stood(theirs, at=until),
        )
    )
    return [(moment, task_id, mine, other) for moment, task_id, mine, other in rows if moment]


def _stood(revision: type[Annotation], *, at: Any) -> ColumnElement[bool]:
    """Whether it was the last revision of a judgement at that moment; the judgement counts now."""
    later, current = aliased(Annotation), aliased(Annotation)
    is_replaced = exists().where(
        later.assignment_id == revision.assignment_id,
        later.revision > revision.revision,
        later.submitted_at < at,
    )
    counts = exists().where(
        current.assignment_id == revision.assignment_id, current.is_current, current.counted
    )
    return and_(revision.submitted_at < at, ~is_replaced, counts)
