"""Removing the files of a snapshot that holds what was erased."""

from sqlalchemy.orm import Session

from app.accounts.models import User
from app.datasets import service as datasets
from app.datasets.models import Snapshot
from app.errors import Conflict
from app.privacy import queries
from app.privacy.formats.ledger import remember_files


def remove_files(session: Session, *, snapshot: Snapshot, by: User | None) -> None:
    """Delete them; recipe, counts and hashes stay on record."""
    if snapshot.erased_at is None:
        raise Conflict(
            "This snapshot holds nothing that has been erased, so its files stay: what is frozen "
            "never changes."
        )
    running = queries.unfinished_runs_on(session, snapshot=snapshot)
    if running:
        raise Conflict(
            f"“{running[0].name}” is training on this snapshot or waits to. Cancel it first, or "
            "wait until it has ended."
        )
    datasets.remove_files(session, snapshot=snapshot, by=by)
    remember_files(session, snapshot.id)
