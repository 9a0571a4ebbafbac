"""Reads of one person's own work in a project. Gold and repeats count there like any task."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, func, literal_column, select
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

    Of others, too, only what was there at `until`: a week's figure stands still until the next.
    """
    theirs = aliased(Annotation)
    rows = session.execute(
        select(Annotation.submitted_at, Annotation.task_id, Annotation.ranks, theirs.ranks)
        .join(Task, Task.id == Annotation.task_id)
        .join(theirs, theirs.task_id == Annotation.task_id)
        .where(
            Annotation.user_id == user.id,
            Annotation.project_id == project.id,
            Annotation.is_current,
            Annotation.counted,
            Annotation.submitted_at >= since,
            Annotation.submitted_at < until,
            Task.kind == TaskKind.ORDINARY,
            theirs.user_id != user.id,
            theirs.is_current,
            theirs.counted,
            theirs.submitted_at < until,
        )
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]
