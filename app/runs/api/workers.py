"""Workers as JSON: what each can do, what it does, and whether it takes more."""

from uuid import UUID

from fastapi import APIRouter
from sqlalchemy.orm import Session

from app.accounts.auth import AdminUser
from app.accounts.models import User
from app.db import SessionDep
from app.runs import queries
from app.runs.schemas import DoingOut, WorkerList, WorkerOut
from app.runs.service import workers

router = APIRouter(tags=["runs"])


@router.get("/workers")
def list_workers(session: SessionDep, _: AdminUser) -> WorkerList:
    """The workers of the installation: what each can do, and what it does now."""
    return WorkerList(items=[worker_out(each) for each in queries.workers(session)])


@router.post("/workers/{worker_id}/drain")
def drain_worker(session: SessionDep, user: AdminUser, worker_id: UUID) -> WorkerOut:
    """Let a worker finish what it does and take nothing new, also once it is started again."""
    return _drained(session, user, worker_id, wanted=True)


@router.post("/workers/{worker_id}/take-work")
def let_worker_take_work(session: SessionDep, user: AdminUser, worker_id: UUID) -> WorkerOut:
    """Let a drained worker take work again."""
    return _drained(session, user, worker_id, wanted=False)


def _drained(session: Session, user: User, worker_id: UUID, *, wanted: bool) -> WorkerOut:
    changed = workers.drain(session, worker_id=worker_id, wanted=wanted, by=user)
    every = queries.workers(session)
    ended = queries.Connected(changed, is_silent=True)  # it is no longer among them
    return worker_out(next((each for each in every if each.worker.id == changed.id), ended))


def worker_out(connected: queries.Connected) -> WorkerOut:
    worker = connected.worker
    doing = [
        DoingOut(
            job=each.job,
            run_id=str(each.run.id) if each.run else None,
            project_id=str(each.project.id) if each.project else None,
        )
        for each in connected.doing
    ]
    return WorkerOut(
        id=str(worker.id),
        host=worker.host,
        pid=worker.pid,
        version=worker.version,
        state=connected.state,
        queues=worker.queues,
        capabilities=worker.capabilities,
        doing=doing,
        started_at=worker.started_at,
        seen_at=worker.seen_at,
        draining_at=worker.draining_at,
    )
