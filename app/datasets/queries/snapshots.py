"""Snapshots, and what they stand on."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import (
    func,
    select,
)
from sqlalchemy.orm import Session

from app.annotation.models import Removal
from app.corpus.models import Import, Prompt, Response
from app.datasets.models import Snapshot
from app.db import JobState
from app.projects.models import Guidelines, Project


def imports_behind(session: Session, *, project: Project) -> Sequence[Import]:
    """The files that brought prompts of the project, in their order."""
    brought = select(Prompt.import_id).where(Prompt.project_id == project.id).distinct()
    return session.scalars(
        select(Import).where(Import.id.in_(brought)).order_by(Import.created_at, Import.id)
    ).all()


def checkpoints_behind(session: Session, *, project: Project) -> Sequence[UUID]:
    """The checkpoints that wrote responses of the project."""
    written = (
        select(Response.checkpoint_id)
        .join(Prompt, Prompt.id == Response.prompt_id)
        .where(Prompt.project_id == project.id, Response.checkpoint_id.is_not(None))
        .distinct()
    )
    return sorted(each for each in session.scalars(written) if each is not None)


def guidelines_versions(session: Session, *, project: Project) -> Sequence[Guidelines]:
    return session.scalars(
        select(Guidelines)
        .where(Guidelines.project_id == project.id)
        .order_by(Guidelines.version.desc())
    ).all()


def removals_in(session: Session, *, project: Project) -> Sequence[Removal]:
    """What was removed of people's judgements, the last first."""
    return session.scalars(
        select(Removal).where(Removal.project_id == project.id).order_by(Removal.at.desc())
    ).all()


def replacement_of(session: Session, *, snapshot: Snapshot) -> Snapshot | None:
    """The newest corrected edition of a snapshot that did not fail."""
    return session.scalars(
        select(Snapshot)
        .where(Snapshot.replaces_id == snapshot.id, Snapshot.state != JobState.FAILED)
        .order_by(Snapshot.created_at.desc())
        .limit(1)
    ).one_or_none()


def snapshot_for(session: Session, *, snapshot_id: UUID) -> tuple[Snapshot, Project] | None:
    row = session.execute(
        select(Snapshot, Project)
        .join(Project, Project.id == Snapshot.project_id)
        .where(Snapshot.id == snapshot_id)
    ).one_or_none()
    return None if row is None else (row[0], row[1])


def snapshots_of(
    session: Session, *, project: Project, after: Snapshot | None = None, limit: int = 100
) -> Sequence[Snapshot]:
    """Newest first."""
    statement = select(Snapshot).where(Snapshot.project_id == project.id)
    if after is not None:
        older = func.row(Snapshot.created_at, Snapshot.id) < func.row(after.created_at, after.id)
        statement = statement.where(older)
    return session.scalars(
        statement.order_by(Snapshot.created_at.desc(), Snapshot.id.desc()).limit(limit)
    ).all()
