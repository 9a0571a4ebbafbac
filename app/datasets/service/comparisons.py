"""The life of a comparison: asked for by whoever looks first, computed by one attempt, kept."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Update, func, or_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import artifacts
from app.datasets.formats.folder import stored_folder
from app.datasets.models import Snapshot, SnapshotComparison
from app.datasets.queries.comparisons import comparison_between
from app.datasets.queries.facts import facts_of
from app.datasets.service.comparing import compare
from app.datasets.service.looking import path_of
from app.db import JobState, JsonObject
from app.errors import LeaseLost
from app.jobs import JobName, defer
from app.projects.models import Project

AT_ONCE = 20_000  # rows of both together that are compared while the person waits: half a second
Beat = Callable[[int], None]  # gets the rows passed; may raise to stop
SILENT = timedelta(minutes=2)
AGAIN_AFTER = timedelta(seconds=30)  # a failed one is tried again when somebody looks


@dataclass(frozen=True, slots=True)
class ComparisonLease:
    """The right to write about a comparison: its id and the attempt that holds it."""

    id: UUID
    attempt: int


def comparison_of(session: Session, *, before: Snapshot, after: Snapshot) -> SnapshotComparison:
    """The comparison of two snapshots: as it is kept, made at once where they are small, or queued.

    Raises like `path_of` where one of them has no files.
    """
    for snapshot in (before, after):
        path_of(snapshot)
    kept = comparison_between(session, before=before, after=after)
    if kept is None:
        kept = _ask(session, before=before, after=after)
    elif not kept.state.is_final or kept.state is JobState.FAILED:
        _ask_again(session, kept)
    return kept


def _ask(session: Session, *, before: Snapshot, after: Snapshot) -> SnapshotComparison:
    # Whoever removes the files of one waits, and then finds this comparison, which holds rows too.
    for snapshot in sorted((before, after), key=lambda each: each.id):
        session.refresh(snapshot, with_for_update={"read": True})
        path_of(snapshot)
    total = _rows(before) + _rows(after)
    session.execute(
        insert(SnapshotComparison)
        .values(id=uuid4(), before_id=before.id, after_id=after.id, total=total)
        .on_conflict_do_nothing()
    )
    kept = comparison_between(session, before=before, after=after)
    assert kept is not None
    if kept.attempt == 0 and kept.state is JobState.QUEUED:
        if total <= AT_ONCE:
            _make_at_once(session, kept, before=before, after=after)
        else:
            _queue(session, kept)
    return kept


def _rows(snapshot: Snapshot) -> int:
    return sum(int(file["rows"] or 0) for file in snapshot.files)


def _queue(session: Session, kept: SnapshotComparison) -> None:
    defer(
        session,
        JobName.COMPARISON,
        queueing_lock=f"comparison {kept.id}",
        comparison_id=str(kept.id),
    )


def _ask_again(session: Session, kept: SnapshotComparison) -> None:
    """Queue one that failed a while ago, or whose maker has gone silent."""
    again = session.scalar(
        update(SnapshotComparison)
        .where(
            SnapshotComparison.id == kept.id,
            or_(
                (SnapshotComparison.state == JobState.FAILED)
                & (SnapshotComparison.finished_at < func.now() - AGAIN_AFTER),
                (SnapshotComparison.state == JobState.RUNNING)
                & (SnapshotComparison.seen_at < func.now() - SILENT),
            ),
        )
        .values(state=JobState.QUEUED, error=None, finished_at=None, seen_at=None, done=0)
        .returning(SnapshotComparison.id)
    )
    if again is not None:
        session.refresh(kept)
        _queue(session, kept)


def _make_at_once(
    session: Session, kept: SnapshotComparison, *, before: Snapshot, after: Snapshot
) -> None:
    lease = start_comparison(session, comparison_id=kept.id)
    assert lease is not None
    summary = make_comparison(session, lease=lease, before=before, after=after)
    finish_comparison(session, lease=lease, summary=summary)
    session.refresh(kept)


def make_comparison(
    session: Session,
    *,
    lease: ComparisonLease,
    before: Snapshot,
    after: Snapshot,
    beat: Beat = lambda _done: None,
) -> JsonObject:
    """Compare, and store the differences as the folder of the attempt; returns the summary."""
    assert before.path is not None
    assert after.path is not None
    facts = None
    if before.project_id == after.project_id:
        facts = facts_of(session, project=session.get_one(Project, before.project_id))
    with artifacts.workspace() as workspace:
        folder = workspace / "comparison"
        folder.mkdir()
        summary = compare(
            stored_folder(before.path),
            stored_folder(after.path),
            output=folder,
            facts=facts,
            beat=beat,
        )
        artifacts.put_folder(folder, to=comparison_folder(lease), read_only=True)
    return summary


def comparison_folder(lease: ComparisonLease) -> str:
    return f"comparisons/{lease.id}/attempt-{lease.attempt}"


def start_comparison(session: Session, *, comparison_id: UUID) -> ComparisonLease | None:
    """Take it as a new attempt; None where it has ended already, or is no more."""
    attempt = session.scalar(
        update(SnapshotComparison)
        .where(
            SnapshotComparison.id == comparison_id,
            SnapshotComparison.state.in_((JobState.QUEUED, JobState.RUNNING)),
        )
        .values(
            state=JobState.RUNNING,
            attempt=SnapshotComparison.attempt + 1,
            seen_at=func.now(),
            error=None,
        )
        .returning(SnapshotComparison.attempt)
    )
    return None if attempt is None else ComparisonLease(comparison_id, attempt)


def hold_comparison(session: Session, *, lease: ComparisonLease, done: int) -> bool:
    """Say that the attempt lives and how far it is. Always False: nobody cancels it."""
    _must_hold(session, lease, _held(lease).values(seen_at=func.now(), done=done))
    return False


def finish_comparison(session: Session, *, lease: ComparisonLease, summary: JsonObject) -> None:
    _close(
        session,
        lease,
        JobState.SUCCEEDED,
        path=comparison_folder(lease),
        summary=summary,
        done=SnapshotComparison.total,
    )


def fail_comparison(session: Session, *, lease: ComparisonLease, error: str) -> None:
    _close(session, lease, JobState.FAILED, error=error)


def give_back_comparison(session: Session, *, lease: ComparisonLease) -> None:
    """Put an unfinished one back into the queue: another worker goes on."""
    _must_hold(session, lease, _held(lease).values(state=JobState.QUEUED, seen_at=None))
    defer(session, JobName.COMPARISON, comparison_id=str(lease.id))


def _held(lease: ComparisonLease) -> Update:
    return update(SnapshotComparison).where(
        SnapshotComparison.id == lease.id,
        SnapshotComparison.attempt == lease.attempt,
        SnapshotComparison.state == JobState.RUNNING,
    )


def _must_hold(session: Session, lease: ComparisonLease, statement: Update) -> None:
    if session.scalar(statement.returning(SnapshotComparison.id)) is None:
        raise LeaseLost(lease)


def _close(session: Session, lease: ComparisonLease, state: JobState, **values: Any) -> None:
    _must_hold(session, lease, _held(lease).values(state=state, finished_at=func.now(), **values))
