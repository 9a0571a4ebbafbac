"""A snapshot gets another name, or goes away with its files."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app import artifacts
from app.accounts.models import User
from app.accounts.service import audit
from app.datasets.models import Snapshot
from app.datasets.queries.comparisons import comparisons_with
from app.datasets.queries.uses import uses_of
from app.datasets.service.lifecycle import clean_name
from app.errors import Conflict, Invalid, found


def rename(session: Session, *, snapshot: Snapshot, name: str, by: User) -> None:
    """Another name; what was frozen stays as it is."""
    name, before = clean_name(name), snapshot.name
    if not name:
        raise Invalid("A snapshot needs a name.")
    if name == before:
        return
    snapshot.name = name
    audit(
        session,
        user=by,
        action="snapshot.rename",
        target=str(snapshot.id),
        project_id=snapshot.project_id,
        before=before,
        after=name,
    )


def remove(session: Session, *, snapshot: Snapshot, by: User) -> None:
    """Delete a snapshot that no run has used; its files go once that is committed."""
    # A run that begins meanwhile waits for this lock, and then finds nothing to train on.
    found(session.scalar(select(Snapshot.id).where(Snapshot.id == snapshot.id).with_for_update()))
    uses = uses_of(session, snapshot=snapshot)
    if uses:
        raise Conflict(
            f"“{snapshot.name}” cannot be deleted: “{uses[0].name}”"
            f"{f' and {len(uses) - 1} more' if len(uses) > 1 else ''} was trained on it, and must"
            " stay traceable to its data."
        )
    folders = [f"snapshots/{snapshot.id}"]
    folders += [f"comparisons/{each.id}" for each in comparisons_with(session, snapshot=snapshot)]
    audit(
        session,
        user=by,
        action="snapshot.delete",
        target=str(snapshot.id),
        project_id=snapshot.project_id,
        name=snapshot.name,
        files=[{"path": file["path"], "sha256": file["sha256"]} for file in snapshot.files],
    )
    session.execute(delete(Snapshot).where(Snapshot.id == snapshot.id))
    artifacts.remove_after_commit(session, folders)
