"""Reads of imports."""

import json
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Text, and_, cast, column, exists, func, select, table, tuple_
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from app import artifacts
from app.corpus.models import Import
from app.db import JobState, among
from app.errors import found
from app.jobs import JobName
from app.projects.models import Project

JOB = table("procrastinate_jobs", column("task_name"), column("args", JSONB()), column("status"))
# A file that was checked and waits for somebody's word.
IS_WAITING = and_(Import.dry_run, Import.state.in_([JobState.SUCCEEDED, JobState.FAILED]))


def import_by_id(session: Session, *, import_id: UUID) -> tuple[Import, Project] | None:
    row = session.execute(
        select(Import, Project)
        .join(Project, Project.id == Import.project_id)
        .where(Import.id == import_id)
    ).one_or_none()
    return None if row is None else (row[0], row[1])


def is_over(session: Session, *, import_id: UUID) -> bool:
    """Whether nothing more comes of an import: it has ended, or is gone with its project.

    A file that was checked waits for somebody's word.
    """
    row = session.get(Import, import_id)
    if row is None or row.state is JobState.CANCELLED:
        return True
    return row.state.is_final and not row.dry_run


def known_imports(session: Session, *, ids: Collection[UUID]) -> set[UUID]:
    """Those of the ids that are imports."""
    return set(session.scalars(select(Import.id).where(among(Import.id, ids))))


def imports_without_job(session: Session, *, silent_for: timedelta) -> Sequence[UUID]:
    """Imports that wait or run, as their rows say, for which the queue has no job any more."""
    return session.scalars(
        select(Import.id).where(
            Import.state.in_([JobState.QUEUED, JobState.RUNNING]),
            func.coalesce(Import.seen_at, Import.created_at) < func.now() - silent_for,
            Import.path != "",
            ~_has_job(JobName.IMPORT),
        )
    ).all()


def undoings_without_job(session: Session, *, silent_for: timedelta) -> Sequence[UUID]:
    """Imports that somebody takes back, of which the job failed or was lost."""
    return session.scalars(
        select(Import.id).where(
            Import.undo_requested_at < func.now() - silent_for,
            Import.undone_at.is_(None),
            ~_has_job(JobName.UNDO_IMPORT),
        )
    ).all()


def _has_job(name: JobName) -> ColumnElement[bool]:
    return exists().where(
        JOB.c.task_name == name,
        JOB.c.args["import_id"].astext == cast(Import.id, Text),
        cast(JOB.c.status, Text).in_(["todo", "doing"]),
    )


def imports_of(
    session: Session,
    *,
    project: Project,
    after: Import | None = None,
    limit: int = 20,
    with_checks: bool = True,
) -> Sequence[Import]:
    """The latest imports of a project, newest first; `after` is the last one seen.

    Without checks: those that wait for somebody's word are left out.
    """
    imports = select(Import).where(Import.project_id == project.id)
    if not with_checks:
        imports = imports.where(~IS_WAITING)
    if after is not None:
        seen: tuple[datetime, UUID] = (after.created_at, after.id)
        imports = imports.where(tuple_(Import.created_at, Import.id) < seen)
    return session.scalars(
        imports.order_by(Import.created_at.desc(), Import.id.desc()).limit(limit)
    ).all()


def waiting_checks(session: Session, *, project: Project) -> Sequence[Import]:
    """Files that were checked and wait for somebody's word, the oldest first."""
    return session.scalars(
        select(Import)
        .where(Import.project_id == project.id, IS_WAITING)
        .order_by(Import.created_at)
    ).all()


def count_imports(session: Session, *, project: Project) -> int:
    """How many there are, without checks that wait."""
    return session.scalars(
        select(func.count()).where(Import.project_id == project.id, ~IS_WAITING)
    ).one()


def waits_for(session: Session, *, row: Import) -> Import | None:
    """The import that holds this one up: of a project one writes at a time."""
    if row.state is not JobState.RUNNING or row.rows_read:
        return None
    return session.scalars(
        select(Import)
        .where(
            Import.project_id == row.project_id,
            Import.id != row.id,
            Import.state == JobState.RUNNING,
            Import.rows_read > 0,
        )
        .limit(1)
    ).one_or_none()


def refused_lines(row: Import) -> Iterator[tuple[int, str, str]]:
    """Line, message and beginning of each refused line that was kept."""
    path = row.report.get("refused", {}).get("report")
    if path is None:
        for error in row.errors:
            yield error["line"], error["message"], error.get("text", "")
        return
    with artifacts.open_file(path) as lines:
        for line in lines:
            each = json.loads(line)
            yield each["line"], each["message"], each["text"]


def lines_to_mend(row: Import) -> tuple[str, str]:
    """Where the refused lines lie as they are in the file, and how they are written."""
    refused = row.report.get("refused", {})
    return found(refused.get("lines")), refused["written"]
