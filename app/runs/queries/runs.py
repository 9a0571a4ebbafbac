"""Reads of runs, their curves and texts, and of checkpoints."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from app.datasets.models import Snapshot
from app.db import JobState, JsonObject
from app.projects.models import Project
from app.runs import rules
from app.runs.models import Checkpoint, Metric, Run, RunEvent, Sample


def runs_of(
    session: Session, *, project: Project, after: Run | None = None, limit: int | None = None
) -> Sequence[Run]:
    """The runs of a project, newest first; `after` is the last one already seen."""
    runs = select(Run).where(Run.project_id == project.id)
    if after is not None:
        runs = runs.where(
            or_(
                Run.created_at < after.created_at,
                (Run.created_at == after.created_at) & (Run.id < after.id),
            )
        )
    return session.scalars(runs.order_by(Run.created_at.desc(), Run.id.desc()).limit(limit)).all()


def run_in(session: Session, *, project_id: UUID, run_id: UUID) -> Run | None:
    return session.scalar(select(Run).where(Run.id == run_id, Run.project_id == project_id))


def events_of(session: Session, *, run: Run) -> Sequence[RunEvent]:
    return session.scalars(
        select(RunEvent).where(RunEvent.run_id == run.id).order_by(RunEvent.id)
    ).all()


def metrics_of(
    session: Session, *, run: Run, after_step: int = -1, limit: int | None = None
) -> list[JsonObject]:
    """Logged steps in order: `{step, …}`.

    A step that several attempts made counts once, as the last of them made it; what an earlier
    attempt made beyond the step from which the present one took over is forgotten.
    """
    rows = session.execute(
        select(Metric.step, Metric.values)
        .where(
            Metric.run_id == run.id,
            Metric.step > after_step,
            or_(Metric.attempt == run.attempt, Metric.step <= run.start_step),
        )
        .ext(distinct_on(Metric.step))
        .order_by(Metric.step, Metric.attempt.desc())
        .limit(limit)
    ).all()
    return [{"step": row.step, **row.values} for row in rows]


def samples_of(
    session: Session,
    *,
    run: Run,
    after_step: int = -1,
    after: Sample | None = None,
    limit: int = 500,
) -> list[JsonObject]:
    """Texts the model wrote during the run, the last step first.

    `after` is the last one already seen.
    """
    samples = select(Sample).where(
        Sample.run_id == run.id,
        Sample.step > after_step,
        or_(Sample.attempt == run.attempt, Sample.step <= run.start_step),
    )
    if after is not None:
        samples = samples.where(
            or_(
                Sample.step < after.step,
                (Sample.step == after.step) & (Sample.id > after.id),
            )
        )
    rows = session.scalars(samples.order_by(Sample.step.desc(), Sample.id).limit(limit)).all()
    return [{"step": row.step, **row.values, "id": str(row.id)} for row in rows]


def sample_in(session: Session, *, run: Run, sample_id: int) -> Sample | None:
    return session.scalar(select(Sample).where(Sample.id == sample_id, Sample.run_id == run.id))


# -- chains -----------------------------------------------------------------------------------


def waits(run: Run) -> bool:
    """Whether the run still waits for a checkpoint of another run."""
    for_base = run.after_run_id is not None and run.parent_checkpoint_id is None
    for_reward = run.reward_run_id is not None and run.reward_checkpoint_id is None
    return for_base or for_reward


def awaited(session: Session, *, run: Run) -> Sequence[Run]:
    """The runs whose checkpoints it waits for and has not got yet."""
    wanted = []
    if run.after_run_id is not None and run.parent_checkpoint_id is None:
        wanted.append(run.after_run_id)
    if run.reward_run_id is not None and run.reward_checkpoint_id is None:
        wanted.append(run.reward_run_id)
    return session.scalars(select(Run).where(Run.id.in_(wanted)).order_by(Run.created_at)).all()


def blocker(session: Session, *, run: Run) -> Run | None:
    """A run that it waits for and that ended without a checkpoint."""
    return next(
        (
            other
            for other in awaited(session, run=run)
            if other.state in {JobState.FAILED, JobState.CANCELLED}
        ),
        None,
    )


def is_from_scratch(session: Session, *, run: Run) -> bool:
    """Whether the line of models that leads to this run began with a new one."""
    seen: set[UUID] = set()
    current: Run | None = run
    while current is not None and current.id not in seen:
        seen.add(current.id)
        if "new" in current.base:
            return True
        before = current.after_run_id
        if before is None and current.parent_checkpoint_id is not None:
            before = session.scalar(
                select(Checkpoint.run_id).where(Checkpoint.id == current.parent_checkpoint_id)
            )
        current = session.get(Run, before) if before else None
    return False


# -- snapshots and checkpoints ----------------------------------------------------------------


def training_rows(snapshot: Snapshot) -> dict[str, int]:
    """Rows of the training split of each config that the snapshot holds."""
    rows = {}
    for file in snapshot.files:
        config, _, name = str(file["path"]).partition("/")
        if name.startswith("train."):
            rows[config] = int(file.get("rows") or 0)
    return rows


def usable_snapshots(session: Session, *, project: Project) -> Sequence[Snapshot]:
    return session.scalars(
        select(Snapshot)
        .where(
            Snapshot.project_id == project.id,
            Snapshot.state == JobState.SUCCEEDED,
            Snapshot.files_removed_at.is_(None),
        )
        .order_by(Snapshot.created_at.desc())
    ).all()


def snapshot_in(session: Session, *, project_id: UUID, snapshot_id: UUID) -> Snapshot | None:
    return session.scalar(
        select(Snapshot).where(Snapshot.id == snapshot_id, Snapshot.project_id == project_id)
    )


def checkpoint_in(session: Session, *, project_id: UUID, checkpoint_id: UUID) -> Checkpoint | None:
    return session.scalar(
        select(Checkpoint).where(
            Checkpoint.id == checkpoint_id, Checkpoint.project_id == project_id
        )
    )


def final_checkpoint(session: Session, *, run: Run) -> Checkpoint | None:
    return session.scalar(
        select(Checkpoint).where(Checkpoint.run_id == run.id, Checkpoint.is_final)
    )


def final_checkpoints(session: Session, *, runs: Sequence[Run]) -> dict[UUID, UUID]:
    """The final checkpoint of each run that has one."""
    rows = session.execute(
        select(Checkpoint.run_id, Checkpoint.id).where(
            Checkpoint.run_id.in_([run.id for run in runs]), Checkpoint.is_final
        )
    ).all()
    return {row.run_id: row.id for row in rows if row.run_id}


def checkpoints_of(
    session: Session, *, project: Project, kinds: Sequence[str] | None = None
) -> Sequence[Checkpoint]:
    """The checkpoints of a project, newest first."""
    checkpoints = select(Checkpoint).where(Checkpoint.project_id == project.id)
    if kinds is not None:
        checkpoints = checkpoints.where(Checkpoint.kind.in_(kinds))
    return session.scalars(checkpoints.order_by(Checkpoint.created_at.desc())).all()


def writers_of(session: Session, *, project: Project) -> Sequence[Checkpoint]:
    """The checkpoints that can write responses."""
    return checkpoints_of(session, project=project, kinds=sorted(rules.WRITERS))


def runs_from(session: Session, *, checkpoint: Checkpoint) -> Sequence[Run]:
    """What was trained further from this checkpoint, or with it as the reward."""
    return session.scalars(
        select(Run)
        .where(
            or_(
                Run.parent_checkpoint_id == checkpoint.id,
                Run.reward_checkpoint_id == checkpoint.id,
            )
        )
        .order_by(Run.created_at)
    ).all()


def unfinished(session: Session, *, project: Project) -> int:
    """Runs of the project that wait or run."""
    return session.scalars(
        select(func.count())
        .select_from(Run)
        .where(Run.project_id == project.id, Run.finished_at.is_(None))
    ).one()


def time_left(session: Session, *, run: Run) -> float | None:
    """Seconds to go at the pace of the present attempt; None where there is no telling.

    The pace is that of its logged steps: loading, or making a model first, is no part of it.
    """
    if run.state is not JobState.RUNNING:
        return None
    logged = (
        select(Metric.step, Metric.values["time"].as_float())
        .where(Metric.run_id == run.id, Metric.attempt == run.attempt)
        .limit(1)
    )
    first = session.execute(logged.order_by(Metric.step)).one_or_none()
    last = session.execute(logged.order_by(Metric.step.desc())).one_or_none()
    if first is None or last is None or first[1] is None or last[1] is None:
        return None
    return rules.seconds_left((first[0], first[1]), (last[0], last[1]), total_steps=run.total_steps)
