"""The life of a snapshot: asked for, built by one attempt, and then never changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Update, func, or_, update
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.artifacts import StoredFile
from app.datasets.models import Snapshot
from app.datasets.schemas import Recipe
from app.datasets.service.assembling import plan
from app.datasets.service.erasing import mark_if_erased, remember_annotators, remember_origins
from app.datasets.service.freezing import Frozen
from app.db import JobState
from app.errors import Conflict, Invalid, LeaseLost
from app.jobs import JobName, defer
from app.projects.models import Project

SILENT = timedelta(minutes=2)  # a build that has not beaten for so long has nobody
_NAME_LENGTH = 200
CORRECTED = ", corrected"


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write about a snapshot: its id and the attempt that holds it."""

    id: UUID
    attempt: int


def request(
    session: Session,
    *,
    project: Project,
    recipe: Recipe,
    name: str | None = None,
    by: User | None = None,
    queued: bool = True,
    replaces: Snapshot | None = None,
) -> Snapshot:
    """A new snapshot and, unless the caller builds it at once, the job that does.

    `Invalid` where the recipe names people or guidelines that the project does not have.
    `replaces` is the one of which this is a corrected edition.
    """
    plan(session, project=project, recipe=recipe)
    name = clean_name(name)
    snapshot = Snapshot(
        project_id=project.id,
        name=name or _next_name(session, project=project),
        recipe=recipe.as_json(),
        created_by=by.id if by else None,
        replaces_id=replaces.id if replaces else None,
    )
    session.add(snapshot)
    session.flush()  # the job needs the id
    if queued:
        defer(session, JobName.SNAPSHOT, snapshot_id=str(snapshot.id))
    return snapshot


def clean_name(name: str | None) -> str:
    """A name as it is kept; `Invalid` where the database or a page could not hold it."""
    name = " ".join((name or "").split())
    if len(name) > _NAME_LENGTH or "\0" in name:
        raise Invalid(f"A snapshot's name has at most {_NAME_LENGTH} ordinary characters.")
    return name


def _next_name(session: Session, *, project: Project) -> str:
    number = session.query(func.count(Snapshot.id)).where(Snapshot.project_id == project.id)
    return f"Snapshot {(number.scalar() or 0) + 1}"


def start(session: Session, *, snapshot_id: UUID) -> Lease | None:
    """Take a snapshot as a new attempt; None where it has ended already.

    A running one is taken as well: the queue hands a job out again only when its worker is lost,
    and should that one wake up, its writes match no row.
    """
    attempt = session.scalar(
        update(Snapshot)
        .where(Snapshot.id == snapshot_id, Snapshot.state.in_((JobState.QUEUED, JobState.RUNNING)))
        .values(
            state=JobState.RUNNING,
            attempt=Snapshot.attempt + 1,
            seen_at=func.now(),
            error=None,
            prompts_done=0,
        )
        .returning(Snapshot.attempt)
    )
    return None if attempt is None else Lease(snapshot_id, attempt)


def hold(session: Session, *, lease: Lease, done: int = 0, total: int | None = None) -> bool:
    """Say that the attempt lives, and how many prompts of all it has read.

    Always False: nobody cancels a snapshot.
    """
    far = {"prompts_done": done, "prompts_total": total}
    _must_hold(session, lease, _held(lease).values(seen_at=func.now(), **far))
    return False


def succeed(
    session: Session, *, lease: Lease, path: str, files: Sequence[StoredFile], frozen: Frozen
) -> None:
    """End the attempt and register its files, both or neither."""
    listed = [
        {**file.as_json(), "rows": frozen.rows.get(file.path)}
        for file in sorted(files, key=lambda file: file.path)
    ]
    _close(
        session,
        lease,
        JobState.SUCCEEDED,
        path=path,
        files=listed,
        counts=frozen.counts,
        quality=frozen.quality,
        identity=frozen.identity,
        contents=frozen.contents,
        prompts_done=func.coalesce(Snapshot.prompts_total, Snapshot.prompts_done),
    )
    remember_annotators(session, snapshot_id=lease.id, judgements=frozen.judgements)
    remember_origins(
        session, snapshot_id=lease.id, versions=frozen.versions, writers=frozen.writers
    )
    mark_if_erased(session, snapshot_id=lease.id, known=frozen.removals)


def fail(session: Session, *, lease: Lease, error: str) -> None:
    """End the attempt with a sentence that says what to do."""
    _close(session, lease, JobState.FAILED, error=error)


def give_back(session: Session, *, lease: Lease) -> None:
    """Put an unfinished snapshot back into the queue: this worker ends, another goes on."""
    _must_hold(session, lease, _held(lease).values(state=JobState.QUEUED, seen_at=None))
    defer(session, JobName.SNAPSHOT, snapshot_id=str(lease.id))


def correct(session: Session, *, snapshot: Snapshot, without: User | None, by: User) -> Snapshot:
    """A corrected edition of a snapshot: its recipe over the judgements there are now.

    `without` names somebody whose judgements are there still and are to stay out.
    """
    if snapshot.state is not JobState.SUCCEEDED:
        raise Conflict(f"This snapshot is {snapshot.state}; only a finished one can be corrected.")
    recipe = Recipe.model_validate(snapshot.recipe)
    if without is not None and str(without.id) not in recipe.exclude_annotators:
        people = (*recipe.exclude_annotators, str(without.id))
        recipe = recipe.model_copy(update={"exclude_annotators": people})
    return request(
        session,
        project=session.get_one(Project, snapshot.project_id),
        recipe=recipe,
        name=f"{snapshot.name[: _NAME_LENGTH - len(CORRECTED)].removesuffix(CORRECTED)}{CORRECTED}",
        by=by,
        replaces=snapshot,
    )


def retry(session: Session, *, snapshot: Snapshot) -> None:
    """Queue a failed snapshot again, or one whose builder has gone silent."""
    stale = Snapshot.seen_at < func.now() - SILENT
    again = session.scalar(
        update(Snapshot)
        .where(
            Snapshot.id == snapshot.id,
            or_(
                Snapshot.state.in_((JobState.FAILED, JobState.CANCELLED)),
                (Snapshot.state == JobState.RUNNING) & stale,
            ),
        )
        .values(state=JobState.QUEUED, error=None, finished_at=None, seen_at=None)
        .returning(Snapshot.id)
    )
    if again is None:
        raise Conflict(f"This snapshot is {snapshot.state}; only a failed one can be tried again.")
    defer(session, JobName.SNAPSHOT, snapshot_id=str(snapshot.id))


def attempt_folder(lease: Lease) -> str:
    """Where the files of an attempt go in the artifact store; no two attempts share one."""
    return f"snapshots/{lease.id}/attempt-{lease.attempt}"


def _held(lease: Lease) -> Update:
    return update(Snapshot).where(
        Snapshot.id == lease.id,
        Snapshot.attempt == lease.attempt,
        Snapshot.state == JobState.RUNNING,
    )


def _must_hold(session: Session, lease: Lease, statement: Update) -> None:
    if session.scalar(statement.returning(Snapshot.id)) is None:
        raise LeaseLost(lease)


def _close(session: Session, lease: Lease, state: JobState, **values: Any) -> None:
    _must_hold(session, lease, _held(lease).values(state=state, finished_at=func.now(), **values))
