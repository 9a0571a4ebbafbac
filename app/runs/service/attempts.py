"""What a worker writes about the attempt it holds.

Every write is guarded by id, attempt and state: where another attempt has the run, `LeaseLost` is
raised and nothing is written.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.artifacts import StoredFile, folder_digest
from app.db import JobState, JsonObject
from app.errors import LeaseLost
from app.jobs import JobName, defer, queue_for
from app.runs import rules
from app.runs.models import Checkpoint, Metric, Run, RunEvent, Sample
from app.runs.service.blocks import sum_up
from app.runs.service.lease import Lease, held

SAVED = 2  # steps to resume from that are kept


def enqueue(session: Session, *, run: Run) -> None:
    """Queue the job that carries the run out, for workers that have what it needs."""
    defer(
        session,
        JobName.TRAIN,
        priority=run.priority,
        queue_name=queue_for(run.needs),
        run_id=str(run.id),
    )


def start(session: Session, *, run_id: UUID, on: str = "") -> Lease | None:
    """Take a queued run as a new attempt; None where there is nothing to take (any more).

    `on` names the machine, for people who look for its log.
    """
    row = session.execute(
        update(Run)
        .where(Run.id == run_id, Run.state == JobState.QUEUED, ~_waits())
        .values(
            state=JobState.RUNNING,
            attempt=Run.attempt + 1,
            start_step=func.coalesce(Run.saved_step, 0),
            step=func.coalesce(Run.saved_step, 0),
            seen_at=func.now(),
            started_at=func.now(),
            activity=None,
            error=None,
        )
        .returning(Run.attempt, Run.start_step)
    ).one_or_none()
    if row is None:
        return None
    lease = Lease(run_id, row.attempt)
    where = f" on {on}" if on else ""
    begin = f"from step {row.start_step}" if row.start_step else ""
    note(session, lease, "started", f"{begin}{where}".strip())
    return lease


def hold(session: Session, *, lease: Lease, **values: Any) -> bool:
    """Say that the attempt lives, with new `values`; True when somebody asked to cancel it."""
    row = session.execute(
        held(Run, lease).values(seen_at=func.now(), **values).returning(Run.cancel_requested_at)
    ).one_or_none()
    if row is None:
        raise LeaseLost(lease)
    return row.cancel_requested_at is not None


def record(
    session: Session,
    *,
    lease: Lease,
    metrics: Sequence[Mapping[str, Any]] = (),
    samples: Sequence[Mapping[str, Any]] = (),
) -> bool:
    """Relay logged steps and sample texts; True when somebody asked to cancel the run.

    Lines of one step are merged; each metric's last value is kept on the run.
    """
    steps: dict[int, JsonObject] = {}
    latest: JsonObject = {}
    for line in metrics:
        values = rules.storable({key: value for key, value in line.items() if key != "step"})
        steps.setdefault(int(line["step"]), {}).update(values)
        latest.update(values)
    news: dict[str, Any] = {}
    if steps:
        news = {"metrics": Run.metrics.op("||")(latest), "step": max(steps), "activity": None}
    asked = hold(session, lease=lease, **news)
    if steps:
        statement = insert(Metric)
        session.execute(
            statement.on_conflict_do_update(
                index_elements=[Metric.run_id, Metric.attempt, Metric.step],
                set_={"values": Metric.values.op("||")(statement.excluded["values"])},
            ),
            [
                {"run_id": lease.id, "attempt": lease.attempt, "step": step, "values": values}
                for step, values in steps.items()
            ],
        )
        sum_up(session, lease=lease, step=max(steps))
    for line in samples:
        values = rules.storable({key: value for key, value in line.items() if key != "step"})
        session.add(
            Sample(run_id=lease.id, attempt=lease.attempt, step=int(line["step"]), values=values)
        )
    return asked


def tell(
    session: Session, *, lease: Lease, activity: str | None = None, event: str | None = None
) -> None:
    """Say what the attempt is busy with while there are no steps to show, or what went wrong."""
    hold(session, lease=lease, **({"activity": activity} if activity else {}))
    if event:
        note(session, lease, "trouble", rules.storable(event))


def keep_base(session: Session, *, lease: Lease, path: str) -> None:
    """Register the model that was made for this run, so that each attempt starts from the same."""
    hold(session, lease=lease, base=Run.base.op("||")({"path": path}))


def save(session: Session, *, lease: Lease, step: int, path: str, sha256: str) -> list[str]:
    """Register a checkpoint to resume from; the paths of those that are not needed any more.

    The one before is kept: it takes over where the newest turns out to be damaged.
    """
    known = session.scalar(select(Run.saved).where(Run.id == lease.id)) or []
    kept = [{"step": step, "path": path, "sha256": sha256}, *known]
    hold(session, lease=lease, saved_step=step, saved_path=path, saved=kept[:SAVED])
    note(session, lease, "saved", f"Step {step} can be resumed from.")
    return [old["path"] for old in kept[SAVED:]]


def fall_back(session: Session, *, lease: Lease, saved: Sequence[JsonObject], why: str) -> None:
    """Start the attempt from the first of `saved`, because newer ones cannot be used any more."""
    first = saved[0] if saved else None
    step = first["step"] if first else 0
    hold(
        session,
        lease=lease,
        saved=list(saved),
        saved_step=first and step,
        saved_path=first and first["path"],
        start_step=step,
        step=step,
    )
    note(session, lease, "fell back", why)


def succeed(
    session: Session,
    *,
    lease: Lease,
    path: str,
    files: Sequence[StoredFile],
    result: Mapping[str, Any],
) -> Checkpoint:
    """End the attempt and register its model, both or neither.

    `path` is the run folder in the store, `files` the model's, relative to `path`/model.
    """
    metrics = rules.storable(result.get("metrics") or {})
    steps = int(result.get("steps") or 0)
    _close(
        session,
        lease,
        JobState.SUCCEEDED,
        path=path,
        step=steps,
        total_steps=steps,
        metrics=Run.metrics.op("||")(metrics),
        saved_step=None,
        saved_path=None,
        saved=[],
    )
    run = session.get_one(Run, lease.id, populate_existing=True)
    checkpoint = Checkpoint(
        id=uuid4(),
        project_id=run.project_id,
        run_id=run.id,
        kind=run.kind,
        name=run.name,
        step=steps,
        parent_id=run.parent_checkpoint_id,
        path=f"{path}/model",
        bytes=sum(file.bytes for file in files),
        sha256=folder_digest(files),
        files=[file.as_json() for file in files],
        metrics=run.metrics,
    )
    session.add(checkpoint)
    session.flush()  # the runs that waited point to it
    warn(session, lease=lease, warnings=result.get("warnings") or [])
    if result.get("for_people"):
        note(session, lease, "for people", "Responses of the start and of later can be judged.")
    note(session, lease, "succeeded", rules.storable(str(result.get("stopped_because") or "")))
    _wake(session, run=run, checkpoint=checkpoint)
    return checkpoint


def fail(
    session: Session, *, lease: Lease, error: str, path: str | None = None, log: str = ""
) -> None:
    """End the attempt with a sentence for people; `log` is the tail of what the child wrote."""
    error, log = rules.storable(error), rules.storable(log)
    _close(session, lease, JobState.FAILED, error=error, path=func.coalesce(path, Run.path))
    if log:
        note(session, lease, "log", log)
    note(session, lease, "failed", error)
    fail_waiting(session, run_id=lease.id)


def cancelled(session: Session, *, lease: Lease, path: str | None = None) -> None:
    """End the attempt as somebody asked for."""
    _close(session, lease, JobState.CANCELLED, path=func.coalesce(path, Run.path))
    note(session, lease, "cancelled", "")
    fail_waiting(session, run_id=lease.id)


def release(session: Session, *, lease: Lease, reason: str) -> None:
    """Put the run back into the queue, because its worker stops."""
    freed = session.scalar(
        held(Run, lease).values(state=JobState.QUEUED, seen_at=func.now()).returning(Run)
    )
    if freed is None:
        raise LeaseLost(lease)
    note(session, lease, "queued", reason)
    enqueue(session, run=freed)


def retry(
    session: Session,
    *,
    lease: Lease,
    kind: str,
    what: str,
    advice: str,
    path: str | None = None,
    log: str = "",
) -> None:
    """Let the run go on from its last saved step, unless it came to grief too often in a row.

    `kind` (lost, hung, killed) and `what` say what happened; with `advice` they are the error of a
    run that is given up. `path` has the files of the attempt, `log` the end of what it said.
    """
    note(session, lease, kind, what)
    if _mishaps(session, run_id=lease.id) >= rules.MISHAPS:
        error = rules.given_up(what, advice)
        fail(session, lease=lease, error=error, path=path, log=log)
        return
    hold(session, lease=lease, path=func.coalesce(path, Run.path))
    if log:
        note(session, lease, "log", rules.storable(log))
    release(session, lease=lease, reason="It goes on from its last saved step by itself.")


def requeue_lost(session: Session, *, silent_for: timedelta) -> int:
    """Take runs from workers that have not been heard of; the number of them.

    Those somebody wanted to cancel are cancelled, and those that lost their worker again and again
    fail. The old worker, should it wake up, finds that its attempt holds nothing any more.
    """
    silent = session.scalars(
        select(Run)
        .where(Run.state == JobState.RUNNING, Run.seen_at < func.now() - silent_for)
        .with_for_update(skip_locked=True)
    ).all()
    for run in silent:
        lease = Lease(run.id, run.attempt)
        what = "The worker was not heard of any more."
        if run.cancel_requested_at is not None:
            note(session, lease, "lost", what)
            cancelled(session, lease=lease)
        else:
            retry(session, lease=lease, kind="lost", what=what, advice=rules.WORKER_LOST)
    return len(silent)


def requeue_forgotten(session: Session, *, silent_for: timedelta) -> int:
    """Queue again what waits without a job: its worker died between the job and the run's start."""
    has_no_job = text(
        "NOT EXISTS (SELECT 1 FROM procrastinate_jobs AS job WHERE job.task_name = 'train'"
        " AND job.status IN ('todo', 'doing') AND job.args ->> 'run_id' = CAST(run.id AS text))"
    )
    forgotten = session.scalars(
        select(Run)
        .where(
            Run.state == JobState.QUEUED,
            ~_waits(),
            func.coalesce(Run.seen_at, Run.created_at) < func.now() - silent_for,
            has_no_job,
        )
        .with_for_update(skip_locked=True)
    ).all()
    for run in forgotten:
        enqueue(session, run=run)
    return len(forgotten)


# -- shared with launching --------------------------------------------------------------------


def note(session: Session, lease: Lease, kind: str, message: str) -> None:
    session.add(RunEvent(run_id=lease.id, attempt=lease.attempt, kind=kind, message=message))


def warn(session: Session, *, lease: Lease, warnings: Sequence[object]) -> None:
    """Note what the trainer warned of, each once: a resumed attempt and the result repeat them."""
    told = set(
        session.scalars(
            select(RunEvent.message).where(RunEvent.run_id == lease.id, RunEvent.kind == "warning")
        )
    )
    for warning in dict.fromkeys(rules.storable(str(each)) for each in warnings):
        if warning and warning not in told:
            note(session, lease, "warning", warning)


def fail_waiting(session: Session, *, run_id: UUID) -> None:
    """Runs that wait for a checkpoint which will not come fail, and those that wait for them."""
    name = session.scalar(select(Run.name).where(Run.id == run_id))
    error = f"It builds on “{name}”, which has not succeeded. Resume that run; this one follows."
    rows = session.execute(
        update(Run)
        .where(
            or_(Run.after_run_id == run_id, Run.reward_run_id == run_id),
            Run.state == JobState.QUEUED,
        )
        .values(state=JobState.FAILED, finished_at=func.now(), error=error)
        .returning(Run.id, Run.attempt)
    ).all()
    for row in rows:
        note(session, Lease(row.id, row.attempt), "failed", error)
        fail_waiting(session, run_id=row.id)


def _waits() -> Any:
    """Whether a run still waits for a checkpoint of another run."""
    return or_(
        Run.after_run_id.is_not(None) & Run.parent_checkpoint_id.is_(None),
        Run.reward_run_id.is_not(None) & Run.reward_checkpoint_id.is_(None),
    )


def _wake(session: Session, *, run: Run, checkpoint: Checkpoint) -> None:
    """Hand the checkpoint to the runs that wait for it; queue those that wait for nothing else.

    The updates lock the rows, so that of two runs that end at once the later sees the earlier.
    """
    for waits_for, place in (
        (Run.after_run_id, Run.parent_checkpoint_id),
        (Run.reward_run_id, Run.reward_checkpoint_id),
    ):
        session.execute(update(Run).where(waits_for == run.id).values({place: checkpoint.id}))
    ready = session.scalars(
        select(Run)
        .where(
            or_(Run.after_run_id == run.id, Run.reward_run_id == run.id),
            Run.state == JobState.QUEUED,
            ~_waits(),
        )
        .order_by(Run.created_at, Run.id)
    ).all()
    for waiting in ready:
        enqueue(session, run=waiting)


def _close(session: Session, lease: Lease, state: JobState, **values: Any) -> None:
    closed = session.scalar(
        held(Run, lease)
        .values(state=state, finished_at=func.now(), seen_at=func.now(), **values)
        .returning(Run.id)
    )
    if closed is None:
        raise LeaseLost(lease)


MISHAPS = ("lost", "hung", "killed")  # after which a run goes on by itself


def _mishaps(session: Session, *, run_id: UUID) -> int:
    """How often it came to grief since a person last started it or a step was saved."""
    fresh = (
        select(func.coalesce(func.max(RunEvent.id), 0))
        .where(RunEvent.run_id == run_id, RunEvent.kind.in_(["launched", "resumed", "saved"]))
        .scalar_subquery()
    )
    return session.scalars(
        select(func.count())
        .select_from(RunEvent)
        .where(RunEvent.run_id == run_id, RunEvent.kind.in_(MISHAPS), RunEvent.id > fresh)
    ).one()
