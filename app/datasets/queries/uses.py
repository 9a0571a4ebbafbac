"""Who uses a snapshot. Runs stand right of datasets: they are read by the names of their tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import column, select, table
from sqlalchemy.orm import Session

from app.datasets.models import Snapshot

RUN = table(
    "run", *map(column, ("id", "project_id", "snapshot_id", "name", "kind", "state", "created_at"))
)
CHECKPOINT = table("checkpoint", *map(column, ("id", "run_id", "name", "is_final", "created_at")))


@dataclass(frozen=True, slots=True)
class Use:
    """A run that trains on a snapshot, and the final checkpoint that came of it."""

    run_id: UUID
    name: str
    kind: str
    state: str
    created_at: datetime
    checkpoint_id: UUID | None
    checkpoint: str | None


def uses_of(session: Session, *, snapshot: Snapshot, limit: int = 100) -> Sequence[Use]:
    """Newest first."""
    rows = session.execute(
        select(
            RUN.c.id,
            RUN.c.name,
            RUN.c.kind,
            RUN.c.state,
            RUN.c.created_at,
            CHECKPOINT.c.id,
            CHECKPOINT.c.name,
        )
        .outerjoin(CHECKPOINT, (CHECKPOINT.c.run_id == RUN.c.id) & CHECKPOINT.c.is_final)
        .where(RUN.c.snapshot_id == snapshot.id)
        .order_by(RUN.c.created_at.desc(), RUN.c.id)
        .limit(limit)
    )
    return [Use(*row) for row in rows]
