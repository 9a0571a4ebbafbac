"""Removing files that nothing needs. What they were stays on record."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import exists, func, or_, select, update
from sqlalchemy.orm import Session

from app import artifacts
from app.accounts.models import User
from app.accounts.service import audit
from app.datasets.models import Snapshot
from app.db import JobState, JsonObject
from app.errors import Conflict, Invalid
from app.jobs import JobName, defer
from app.projects.models import Project
from app.runs.models import Checkpoint, CleanUp, Retention, Run
from app.runs.queries.needs import Kind, Waste, needs, registered, waste
from app.runs.service.attempts import note
from app.runs.service.lease import Lease

EVERY = timedelta(days=1)


def require_weights(session: Session, *, checkpoint: Checkpoint) -> None:
    """`Invalid` where they were removed; till the transaction ends nobody removes them."""
    removed = session.scalar(
        select(Checkpoint.removed_at)
        .where(Checkpoint.id == checkpoint.id)
        .with_for_update(read=True, key_share=True)
    )
    if removed is not None:
        raise Invalid(gone(checkpoint, removed))


def gone(checkpoint: Checkpoint, removed: datetime) -> str:
    return (
        f"The weights of “{checkpoint.name}” were removed on {removed:%d %B %Y}. What it was and "
        "where it came from is on record: train it again, or choose another checkpoint."
    )


def no_files(run: Run) -> str:
    """Why a run has no files in the store."""
    if run.files_removed_at is not None:
        return f"The files of this run were removed on {run.files_removed_at:%d %B %Y}."
    return "This run has no files yet: they come when an attempt has ended."


def remove_weights(session: Session, *, checkpoint: Checkpoint, by: User | None) -> None:
    """Take the files of a checkpoint away, unless something needs them. Twice is once.

    A run that begins from it meanwhile either holds the row, and is seen, or waits, and is refused.
    """
    session.refresh(checkpoint, with_for_update=True)
    if checkpoint.removed_at is not None:
        return
    reasons = needs(session, checkpoint_ids=[checkpoint.id]).get(checkpoint.id, [])
    if reasons:
        more = f", and {len(reasons) - 3} more" if len(reasons) > 3 else ""
        raise Conflict(
            f"The weights of “{checkpoint.name}” stay, for something needs them: it "
            f"{'; it '.join(reasons[:3])}{more}."
        )
    checkpoint.removed_at = session.scalars(select(func.now())).one()
    audit(
        session,
        user=by,
        action="checkpoint.remove_files",
        target=f"checkpoint {checkpoint.id}",
        project_id=checkpoint.project_id,
        name=checkpoint.name,
        bytes=checkpoint.bytes,
        sha256=checkpoint.sha256,
    )
    session.flush()
    artifacts.remove_after_commit(session, [checkpoint.path])


def set_retention(
    session: Session, *, project: Project, days: dict[str, int | None], by: User
) -> Retention:
    """How long a project keeps what nothing needs."""
    kept = session.get(Retention, project.id)
    if kept is None:
        kept = Retention(project_id=project.id)
        session.add(kept)
    for name, number in days.items():
        setattr(kept, name, number)
    audit(
        session,
        user=by,
        action="project.retention",
        target=str(project.id),
        project_id=project.id,
        **days,
    )
    session.flush()
    return kept


def ask_for_clean_up(session: Session, *, project: Project, by: User | None) -> CleanUp:
    """Queue a clean-up; one that waits already is answered instead of a second."""
    session.execute(select(Project.id).where(Project.id == project.id).with_for_update())
    waiting = session.scalar(
        select(CleanUp)
        .where(CleanUp.project_id == project.id, CleanUp.finished_at.is_(None))
        .limit(1)
    )
    if waiting is not None:
        return waiting
    asked = CleanUp(id=uuid4(), project_id=project.id, created_by=by.id if by else None, removed=[])
    session.add(asked)
    session.flush()
    defer(session, JobName.CLEAN_UP, clean_up_id=str(asked.id))
    return asked


def ask_for_daily_clean_ups(session: Session) -> int:
    """One for each project that had none for a day; how many."""
    recent = exists().where(
        CleanUp.project_id == Project.id, CleanUp.created_at > func.now() - EVERY
    )
    has_files = or_(
        exists().where(Run.project_id == Project.id),
        exists().where(Snapshot.project_id == Project.id),
    )
    due = session.scalars(
        select(Project)
        .where(~recent, has_files)
        .order_by(Project.id)
        .with_for_update(skip_locked=True)
    ).all()
    for project in due:
        ask_for_clean_up(session, project=project, by=None)
    return len(due)


def clean_up(session: Session, *, clean_up_id: UUID, now: datetime) -> CleanUp | None:
    """Remove what the rules of a project let go; None where it was done already."""
    asked = session.scalar(
        select(CleanUp)
        .where(CleanUp.id == clean_up_id, CleanUp.finished_at.is_(None))
        .with_for_update()
    )
    if asked is None:
        return None
    project = session.get_one(Project, asked.project_id)
    by = session.get(User, asked.created_by) if asked.created_by else None
    removed = [
        each for each in waste(session, project=project, now=now) if _remove(session, each, by=by)
    ]
    asked.removed = [each.as_json() for each in removed]
    asked.bytes = sum(each.bytes for each in removed)
    asked.finished_at = now
    if removed:
        audit(
            session,
            user=by,
            action="project.clean_up",
            target=str(project.id),
            project_id=project.id,
            removed=len(removed),
            bytes=asked.bytes,
        )
    return asked


def _remove(session: Session, found: Waste, *, by: User | None) -> bool:
    """Whether it went: what somebody has taken up since stays."""
    match found.kind:
        case Kind.CHECKPOINT:
            checkpoint = session.get_one(Checkpoint, found.id)
            try:
                remove_weights(session, checkpoint=checkpoint, by=by)
            except Conflict:
                return False
            return True
        case Kind.SAVED:
            is_same = Run.saved_path == found.paths[0]
            values: JsonObject = {"saved_path": None, "saved_step": None, "saved": []}
            said = "The state to resume from was removed: a resume begins anew."
        case _:
            is_same = or_(Run.path == found.paths[0], Run.base["path"].astext == found.paths[0])
            values = {
                "path": None,
                "base": Run.base.op("-")("path"),
                "files_removed_at": func.now(),
            }
            said = "Its log and files were removed; curves and texts stay."
    ended = Run.state.in_([JobState.FAILED, JobState.CANCELLED])
    row = session.execute(
        update(Run)
        .where(Run.id == found.id, ended, is_same)
        .values(values)
        .returning(Run.id, Run.attempt)
    ).one_or_none()
    if row is None:
        return False
    note(session, Lease(row.id, row.attempt), "cleaned up", said)
    artifacts.remove_after_commit(session, list(found.paths))
    return True


def folders_left_behind(session: Session, *, now: datetime) -> Iterator[tuple[str, int]]:
    """Folders of runs that no row leads to, with their bytes."""
    there = list(_folders_of_runs())
    yield from artifacts.unclaimed(there, known=registered(session), now=now)


def _folders_of_runs() -> Iterator[str]:
    for run in artifacts.folders("runs"):
        for name in artifacts.folders(f"runs/{run}"):
            if name == "saved":
                for saved in artifacts.folders(f"runs/{run}/saved"):
                    yield f"runs/{run}/saved/{saved}"
            else:
                yield f"runs/{run}/{name}"
