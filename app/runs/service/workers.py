"""Workers say that they live; admins let them take nothing new, and back."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import case, delete, func, select, update
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
    is_alive: Callable[[int], bool],
) -> bool:
    """Say that the worker lives and what it is; True when it is to take nothing new.

    A worker that begins rests on where one of its machine rested that has ended, however that did:
    a rest goes on until somebody ends it. `is_alive` says it of a process of this machine.
    """
    is_new = session.get(Worker, worker_id) is None
    rests_since = _rest_left_behind(session, host=host, is_alive=is_alive) if is_new else None
    statement = insert(Worker).values(
        id=worker_id,
        host=host,
        pid=pid,
        version=version,
        queues=list(queues),
        queue_workers=list(queue_workers),
        capabilities=capabilities,
        draining_at=rests_since,
    )
    known = {"seen_at": func.now(), "queue_workers": list(queue_workers)}
    draining = session.scalars(
        statement.on_conflict_do_update(index_elements=[Worker.id], set_=known).returning(
            Worker.draining_at
        )
    ).one()
    return draining is not None


def _rest_left_behind(
    session: Session, *, host: str, is_alive: Callable[[int], bool]
) -> datetime | None:
    """Since when a worker of the machine rests that is no more; its row goes."""
    resting = session.scalars(
        select(Worker)
        .where(Worker.host == host, Worker.draining_at.is_not(None))
        .order_by(Worker.draining_at, Worker.id)
        .with_for_update(skip_locked=True)
    )
    ended = next((each for each in resting if each.has_ended or not is_alive(each.pid)), None)
    if ended is None:
        return None
    session.delete(ended)
    return ended.draining_at


def leave(session: Session, *, worker_id: UUID) -> None:
    """The worker ends in order: it is not missed, but it is remembered that it was to rest."""
    its = Worker.id == worker_id
    session.execute(delete(Worker).where(its, Worker.draining_at.is_(None)))
    session.execute(update(Worker).where(its).values(queues=[], queue_workers=[]))


def forget_silent(session: Session) -> None:
    """All but those that were to rest."""
    is_long_ago = Worker.seen_at < func.now() - FORGET
    session.execute(delete(Worker).where(is_long_ago, Worker.draining_at.is_(None)))


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
    if worker.has_ended and not wanted:
        session.delete(worker)  # who comes in its place takes work
    audit(
        session,
        user=by,
        action="worker.drain" if wanted else "worker.take_work",
        target=f"worker {worker.id}",
        host=worker.host,
    )
    return worker
