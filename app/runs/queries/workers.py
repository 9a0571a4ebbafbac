"""Which workers are connected, what each does, and why a run still waits for one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.db import JobState
from app.jobs import queue_for
from app.projects.models import Project
from app.runs import rules
from app.runs.models import Run, Worker

SILENT = timedelta(seconds=20)  # without a beat; by then others take over


@dataclass(frozen=True)
class Doing:
    """A job that a worker carries out; `run` where it is one, `project` where that is known."""

    job: str
    run: Run | None = None
    project: Project | None = None


@dataclass(frozen=True)
class Connected:
    """A worker as people see it."""

    worker: Worker
    is_silent: bool
    doing: list[Doing] = field(default_factory=list)

    @property
    def state(self) -> Literal["free", "working", "finishing", "resting", "ended", "silent"]:
        """In one word."""
        if self.worker.has_ended:
            return "ended"
        if self.is_silent:
            return "silent"
        if self.worker.draining_at is not None:
            return "finishing" if self.doing else "resting"
        return "working" if self.doing else "free"


def workers(session: Session) -> list[Connected]:
    """The workers that are connected, and then those that have gone silent."""
    rows = session.execute(
        select(Worker, Worker.seen_at < func.now() - SILENT).order_by(
            Worker.seen_at < func.now() - SILENT, Worker.host, Worker.started_at, Worker.id
        )
    ).all()
    doing = _doing(session)
    return [
        Connected(
            worker,
            bool(silent),
            [job for number in worker.queue_workers for job in doing.get(number, [])],
        )
        for worker, silent in rows
    ]


def _doing(session: Session) -> dict[int, list[Doing]]:
    """What is carried out, by the queue's number of who does it."""
    jobs = session.execute(
        text(
            "SELECT worker_id, task_name, args FROM procrastinate_jobs"
            " WHERE status = 'doing' AND worker_id IS NOT NULL ORDER BY id"
        )
    ).all()
    ids = [UUID(job.args["run_id"]) for job in jobs if "run_id" in job.args]
    runs = {
        run.id: (run, project)
        for run, project in session.execute(
            select(Run, Project).join(Project, Project.id == Run.project_id).where(Run.id.in_(ids))
        )
    }
    found: dict[int, list[Doing]] = {}
    for job in jobs:
        run, project = None, None
        if "run_id" in job.args:
            run, project = runs.get(UUID(job.args["run_id"]), (None, None))
        name = str(job.task_name).replace("_", " ")
        found.setdefault(job.worker_id, []).append(Doing(name, run, project))
    return found


@dataclass(frozen=True)
class Place:
    """Where a waiting run stands: how many are taken before it, and why it does not start."""

    ahead: int
    why: str


def places(session: Session, *, runs: Sequence[Run]) -> dict[UUID, Place]:
    """The place in the queue of each of the runs that waits for a worker."""
    waiting = [run for run in runs if run.state is JobState.QUEUED]
    if not waiting:
        return {}
    connected = [each for each in workers(session) if not each.is_silent]
    queue = _queue(session)
    found = {}
    for run in waiting:
        fit = [each for each in connected if queue_for(run.needs) in each.worker.queues]
        readable = {name for each in fit for name in each.worker.queues}
        before = [run_id for name, run_id in queue if name in readable or run_id == run.id]
        if run.id in {run_id for _, run_id in queue}:
            ahead = before.index(run.id)
            found[run.id] = Place(ahead, _why(run, connected, fit, ahead))
    return found


def why_it_waits(session: Session, *, run: Run) -> str | None:
    """A sentence on why a queued run has not started; None where it waits for another run."""
    place = places(session, runs=[run]).get(run.id)
    return place.why if place else None


def _queue(session: Session) -> list[tuple[str, UUID | None]]:
    """What waits in the lane of trainings, as it is taken: queue and run (None for other jobs)."""
    rows = session.execute(
        text(
            "SELECT queue_name, args ->> 'run_id' AS run_id FROM procrastinate_jobs"
            " WHERE status = 'todo' AND queue_name LIKE 'train%' ORDER BY priority DESC, id"
        )
    ).all()
    return [(row.queue_name, UUID(row.run_id) if row.run_id else None) for row in rows]


def _why(run: Run, connected: Sequence[Connected], fit: Sequence[Connected], ahead: int) -> str:
    able = [each.worker.capabilities for each in connected]
    gpus = [gpu["memory"] for each in able for gpu in each.get("gpus", [])]
    return rules.why_it_waits(
        run.needs,
        connected=len(connected),
        can_train=sum(bool(each.get("trains")) for each in able),
        gpu_memory=max(gpus, default=0),
        fit=len(fit),
        takes_work=sum(each.worker.draining_at is None for each in fit),
        ahead=ahead,
    )
