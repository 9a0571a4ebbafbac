"""Reads of comparisons of snapshots."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.datasets.models import Snapshot, SnapshotComparison
from app.db import JobState
from app.projects.models import Project


def comparison_between(
    session: Session, *, before: Snapshot, after: Snapshot
) -> SnapshotComparison | None:
    return session.scalar(
        select(SnapshotComparison).where(
            SnapshotComparison.before_id == before.id, SnapshotComparison.after_id == after.id
        )
    )


def comparison_parts(session: Session, *, comparison_id: UUID) -> tuple[Snapshot, Snapshot]:
    """The snapshots of a comparison, the older one first."""
    comparison = session.get_one(SnapshotComparison, comparison_id)
    return (
        session.get_one(Snapshot, comparison.before_id),
        session.get_one(Snapshot, comparison.after_id),
    )


def comparisons_with(session: Session, *, snapshot: Snapshot) -> Sequence[SnapshotComparison]:
    return session.scalars(
        select(SnapshotComparison).where(
            or_(
                SnapshotComparison.before_id == snapshot.id,
                SnapshotComparison.after_id == snapshot.id,
            )
        )
    ).all()


def frozen_before(session: Session, *, snapshot: Snapshot) -> Snapshot | None:
    """The frozen one that was asked for last before this one, in its project."""
    return session.scalar(
        select(Snapshot)
        .where(
            Snapshot.project_id == snapshot.project_id,
            Snapshot.state == JobState.SUCCEEDED,
            Snapshot.created_at < snapshot.created_at,
        )
        .order_by(Snapshot.created_at.desc())
        .limit(1)
    )


def frozen_snapshots(session: Session, *, project: Project, limit: int = 200) -> Sequence[Snapshot]:
    """Those that have files, newest first."""
    return session.scalars(
        select(Snapshot)
        .where(Snapshot.project_id == project.id, Snapshot.state == JobState.SUCCEEDED)
        .order_by(Snapshot.created_at.desc(), Snapshot.id.desc())
        .limit(limit)
    ).all()
