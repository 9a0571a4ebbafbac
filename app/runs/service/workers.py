"""Workers say that they live; admins let them take nothing new, and back."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import case, delete, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.service import audit
from app.db import JsonObject
from app.errors import NotFound
from app.runs.models import Worker

FORGET = timedelta(days=1)  # after which a silent worker is no longer shown


def beat(
    session: Session,
    *,
    worker_id: UUID,
    host: str,
    pid: int,
    version: str,
    queues: Sequence[str],
    queue_workers: Sequence[int],
    capabilities: JsonObject,
) -> bool:
    """Say that the worker lives and what it is; True when it is to take nothing new."""
    statement = insert(Worker).values(
        id=worker_id,
        host=host,
        pid=pid,
        version=version,
        queues=list(queues),
        queue_workers=list(queue_workers),
        capabilities=capabilities,
    )
    known = {"seen_at": func.now(), "queue_workers": list(queue_workers)}
    draining = session.scalars(
        statement.on_conflict_do_update(index_elements=[Worker.id], set_=known).returning(
            Worker.draining_at
        )
    ).one()
    return draining is not None


def leave(session: Session, *, worker_id: UUID) -> None:
    """The worker ends in order: it is not missed."""
    session.execute(delete(Worker).where(Worker.id == worker_id))


def forget_silent(session: Session) -> None:
    session.execute(delete(Worker).where(Worker.seen_at < func.now() - FORGET))


def drain(session: Session, *, worker_id: UUID, wanted: bool, by: User) -> Worker:
    """Let a worker finish what it does and take nothing new, or take work again."""
    since = case((Worker.draining_at.is_(None), func.now()), else_=Worker.draining_at)
    worker = session.scalar(
        update(Worker)
        .where(Worker.id == worker_id)
        .values(draining_at=since if wanted else None)
        .returning(Worker)
        .execution_options(populate_existing=True)
    )
    if worker is None:
        raise NotFound("This worker has ended. Another one may have taken its place.")
    audit(
        session,
        user=by,
        action="worker.drain" if wanted else "worker.take_work",
        target=f"worker {worker.id}",
        host=worker.host,
    )
    return worker
