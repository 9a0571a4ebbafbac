"""What reviewers settled elsewhere, brought along with the tasks."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Session

from app.quality.models import Adjudication

Settled = tuple[UUID, Sequence[int], str, datetime | None]  # task, canonical ranks, reason, when


def record_adjudications(session: Session, settled: Sequence[Settled]) -> None:
    """Of tasks that are new in this transaction; who settled them has no account here.

    None is later than now: what is settled here afterwards holds, and an import that
    is undone knows its own by that.
    """
    session.add_all(
        Adjudication(
            task_id=task_id,
            ranks=list(ranks),
            reason=reason,
            created_at=func.least(moment, func.clock_timestamp())
            if moment
            else func.clock_timestamp(),
        )
        for task_id, ranks, reason, moment in settled
    )
    session.flush()  # a batch of an import holds few of them, and memory none
