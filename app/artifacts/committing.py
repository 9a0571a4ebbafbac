"""Files go when the rows that led to them are gone for good."""

from collections.abc import Sequence

import structlog
from sqlalchemy import event
from sqlalchemy.orm import Session

from app.artifacts.store import remove

log = structlog.get_logger(__name__)


def remove_after_commit(session: Session, folders: Sequence[str]) -> None:
    """Once the change is committed, and never where it was rolled back.

    What is left where this is cut off leads nowhere, and is swept away (`worker.cleaning`).
    """
    waiting = list(folders)

    @event.listens_for(session, "after_rollback")
    def forget(_session: Session) -> None:
        waiting.clear()

    @event.listens_for(session, "after_commit")
    def remove_files(session: Session) -> None:
        if session.in_nested_transaction():  # a savepoint: nothing is final yet
            return
        while waiting:
            folder = waiting.pop()
            try:
                remove(folder)
            except OSError:
                log.exception("files that nothing leads to are left", folder=folder)
