"""Rehearsals, and what earlier runs tell of a new one."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.db import JobState
from app.projects.models import Project
from app.runs.models import Checkpoint, Run, RunCheck

ALIKE = 2.0  # models whose sizes differ by less take about as long
RECENT = 50  # runs that are looked through


def checks_ahead(session: Session, *, check: RunCheck) -> int:
    """How many rehearsals of this installation wait or run before this one."""
    if check.state is not JobState.QUEUED:
        return 0
    return session.scalars(
        select(func.count())
        .select_from(RunCheck)
        .where(
            RunCheck.state.in_([JobState.QUEUED, JobState.RUNNING]),
            RunCheck.created_at < check.created_at,
        )
    ).one()


def runs_like(
    session: Session,
    *,
    project: Project,
    kind: str,
    base: dict[str, str],
    parent: Checkpoint | None,
) -> Sequence[Run]:
    """Earlier runs of the kind that succeeded at one go, on a model of about the same size."""
    rows = session.execute(
        select(Run, Checkpoint.bytes)
        .join(Checkpoint, (Checkpoint.run_id == Run.id) & Checkpoint.is_final)
        .where(
            Run.project_id == project.id,
            Run.kind == kind,
            Run.state == JobState.SUCCEEDED,
            Run.attempt == 1,
            Run.step > 0,
        )
        .order_by(Run.finished_at.desc())
        .limit(RECENT)
    ).all()
    if parent is None:
        return [run for run, _ in rows if all(run.base.get(k) == v for k, v in base.items())]
    return [
        run
        for run, size in rows
        if "new" not in run.base and 1 / ALIKE < size / max(1, parent.bytes) < ALIKE
    ]
