"""What a worker tells of an attempt beside its curves: its resources and the end of its log."""

from collections.abc import Sequence

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.db import JsonObject
from app.runs import rules
from app.runs.models import RunLog, RunUsage
from app.runs.service.attempts import hold, warn
from app.runs.service.lease import Lease


def tell_of(
    session: Session,
    *,
    lease: Lease,
    usage: JsonObject,
    tail: str | None,
    warnings: Sequence[str] = (),
) -> None:
    """Keep a look at the processes, the end of the log where it is new, and new warnings."""
    hold(session, lease=lease)
    if usage:
        session.add(RunUsage(run_id=lease.id, attempt=lease.attempt, values=usage))
    if tail is not None:
        row = {"attempt": lease.attempt, "tail": rules.storable(tail)}
        session.execute(
            insert(RunLog)
            .values(run_id=lease.id, **row)
            .on_conflict_do_update(index_elements=[RunLog.run_id], set_=row)
        )
    warn(session, lease=lease, warnings=warnings)
