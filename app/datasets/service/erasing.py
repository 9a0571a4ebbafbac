"""What the erasure of judgements means for snapshots that hold them."""

from collections.abc import Collection, Mapping
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import artifacts
from app.accounts.models import User
from app.accounts.service import audit
from app.datasets import queries
from app.datasets.models import (
    Snapshot,
    SnapshotAnnotator,
    SnapshotEndpoint,
    SnapshotGuidelines,
    SnapshotWriter,
)
from app.datasets.queries.comparisons import comparisons_with
from app.datasets.rules.identity import pseudonym
from app.db import JobState, JsonObject
from app.errors import Conflict
from app.projects.models import Project

LOOKED_THROUGH = ""  # the row of a snapshot whose people are known, though it may have none
NO_VERSION = 0  # the same of guidelines
RECIPES_AT_ONCE = 500


def remember_annotators(
    session: Session, *, snapshot_id: UUID, judgements: Mapping[str, int]
) -> None:
    """Keep how many judgements of whom a snapshot holds. Twice is once."""
    known = {LOOKED_THROUGH: 0, **judgements}
    rows = [
        {"snapshot_id": snapshot_id, "annotator": name, "judgements": number}
        for name, number in known.items()
    ]
    session.execute(insert(SnapshotAnnotator).on_conflict_do_nothing(), rows)


def remember_origins(
    session: Session,
    *,
    snapshot_id: UUID,
    versions: Mapping[int, int],
    writers: Mapping[UUID | str, int],
) -> None:
    """Keep under which guidelines its judgements were made, and whose responses they are about."""
    numbers = [
        {"snapshot_id": snapshot_id, "version": version, "judgements": number}
        for version, number in {NO_VERSION: 0, **versions}.items()
    ]
    session.execute(insert(SnapshotGuidelines).on_conflict_do_nothing(), numbers)
    checkpoints: list[JsonObject] = []
    endpoints: list[JsonObject] = []
    for its, number in writers.items():
        row = {"snapshot_id": snapshot_id, "judgements": number}
        if isinstance(its, UUID):
            checkpoints.append(row | {"checkpoint_id": its})
        else:
            endpoints.append(row | {"source": its})
    for table, rows in ((SnapshotWriter, checkpoints), (SnapshotEndpoint, endpoints)):
        if rows:
            session.execute(insert(table).on_conflict_do_nothing(), rows)


def mark_if_erased(session: Session, *, snapshot_id: UUID, known: Collection[UUID]) -> None:
    """Mark a snapshot that has just ended with judgements that were removed while it was frozen.

    `known` are the removals that it has taken note of. Its row is locked by now, and a removal
    waits for it (`mark_erased`): each of the two sees the other, whichever is first.
    """
    snapshot = session.get_one(Snapshot, snapshot_id, populate_existing=True)
    project = session.get_one(Project, snapshot.project_id)
    missed = {
        pseudonym(project.id, removal.user_id): removal.at
        for removal in queries.removals_in(session, project=project)
        if removal.id not in known
    }
    held = session.scalars(
        select(SnapshotAnnotator.annotator).where(
            SnapshotAnnotator.snapshot_id == snapshot_id, SnapshotAnnotator.annotator.in_(missed)
        )
    ).all()
    if held:
        snapshot.erased_at = max(missed[name] for name in held)


def mark_erased(session: Session, *, user: User, project: Project) -> list[Snapshot]:
    """Mark every snapshot of the project that holds her judgements, and answer them."""
    session.execute(
        select(Snapshot.id)
        .where(Snapshot.project_id == project.id, Snapshot.state == JobState.RUNNING)
        .order_by(Snapshot.id)
        .with_for_update(key_share=True)
    )
    holds = select(SnapshotAnnotator.snapshot_id).where(
        SnapshotAnnotator.annotator == pseudonym(project.id, user.id)
    )
    marked = session.scalars(
        update(Snapshot)
        .where(Snapshot.project_id == project.id, Snapshot.state == JobState.SUCCEEDED)
        .where(Snapshot.id.in_(holds))
        .values(erased_at=func.coalesce(Snapshot.erased_at, func.now()))
        .returning(Snapshot),
        execution_options={"populate_existing": True},
    )
    return list(marked)


def name_by_id(session: Session, *, user: User, names: Collection[str]) -> None:
    """Let recipes that leave her out name her by her id, which means the same."""
    folded = {name.strip().lower() for name in names}
    snapshots = session.scalars(
        select(Snapshot)
        .where(Snapshot.recipe["exclude_annotators"] != [])
        .execution_options(yield_per=RECIPES_AT_ONCE)
    )
    for snapshot in snapshots:
        named = snapshot.recipe.get("exclude_annotators") or []
        if any(name.strip().lower() in folded for name in named):
            others = [name for name in named if name.strip().lower() not in folded]
            without: JsonObject = {"exclude_annotators": [*others, str(user.id)]}
            snapshot.recipe = snapshot.recipe | without


def remove_files(session: Session, *, snapshot: Snapshot, by: User | None) -> None:
    """Delete the files of a snapshot; what it was stays on record. Twice is once.

    The files go before the record says so: should this be cut off between the two, doing it again
    ends it.
    """
    if snapshot.state is not JobState.SUCCEEDED or snapshot.path is None:
        raise Conflict(f"This snapshot is {snapshot.state} and has no files.")
    if snapshot.files_removed_at is None:
        snapshot.files_removed_at = session.scalars(select(func.now())).one()
        audit(
            session,
            user=by,
            action="snapshot.remove_files",
            target=str(snapshot.id),
            project_id=snapshot.project_id,
            name=snapshot.name,
        )
        session.flush()
    for comparison in comparisons_with(session, snapshot=snapshot):  # it holds rows as well
        artifacts.remove(f"comparisons/{comparison.id}")
        session.delete(comparison)
    artifacts.remove(snapshot.path)
