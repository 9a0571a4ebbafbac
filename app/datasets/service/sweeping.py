"""What killed attempts to freeze or to compare left in the store."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import artifacts
from app.datasets.models import Snapshot, SnapshotComparison


def folders_left_behind(session: Session, *, now: datetime) -> Iterator[tuple[str, int]]:
    """Folders of snapshots and comparisons that no row leads to, with their bytes."""
    there = [
        f"{kind}/{name}/{attempt}"
        for kind in ("snapshots", "comparisons")
        for name in artifacts.folders(kind)
        for attempt in artifacts.folders(f"{kind}/{name}")
    ]
    known = {
        *session.scalars(select(Snapshot.path).where(Snapshot.files_removed_at.is_(None))),
        *session.scalars(select(SnapshotComparison.path)),
    }
    yield from artifacts.unclaimed(there, known={path for path in known if path}, now=now)
