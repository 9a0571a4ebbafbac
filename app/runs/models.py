"""Trainings: their life, their curves, the texts they produced and the weights they left."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, JobState, JsonObject, text_enum


class RunKind(StrEnum):
    SFT = "sft"
    REWARD = "reward"
    DPO = "dpo"
    PPO = "ppo"


class Run(Base):
    """One training. `id` + `attempt` is the lease that every write of a worker must hold."""

    __tablename__ = "run"
    __table_args__ = (
        CheckConstraint(
            "(finished_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'cancelled'))",
            name="finished_when_final",
        ),
        CheckConstraint("state <> 'succeeded' OR path IS NOT NULL", name="succeeded_has_files"),
        CheckConstraint("(saved_step IS NULL) = (saved_path IS NULL)", name="saved_whole"),
        Index("ix_run_project", "project_id", "created_at"),
        Index("ix_run_unfinished", "state", postgresql_where=text("finished_at IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    snapshot_id: Mapped[UUID] = mapped_column(ForeignKey("snapshot.id"), index=True)
    kind: Mapped[RunKind] = mapped_column(text_enum(RunKind))
    name: Mapped[str]
    base: Mapped[JsonObject]  # {checkpoint: id} | {model: hub id or path} | {new: size} | {run: id}
    parent_checkpoint_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("checkpoint.id", use_alter=True), index=True
    )
    reward_checkpoint_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("checkpoint.id", use_alter=True), index=True
    )
    # A run of a chain waits for these; their checkpoints take their places when they succeed.
    after_run_id: Mapped[UUID | None] = mapped_column(ForeignKey("run.id"), index=True)
    reward_run_id: Mapped[UUID | None] = mapped_column(ForeignKey("run.id"), index=True)
    config: Mapped[JsonObject]
    state: Mapped[JobState] = mapped_column(text_enum(JobState), default=JobState.QUEUED)
    attempt: Mapped[int] = mapped_column(default=0)
    step: Mapped[int] = mapped_column(default=0)
    total_steps: Mapped[int | None]
    activity: Mapped[str | None]  # what the attempt is busy with before its first step
    start_step: Mapped[int] = mapped_column(default=0)  # where the current attempt took over
    saved_step: Mapped[int | None]  # the last step to resume from, and its folder in the store
    saved_path: Mapped[str | None]
    saved: Mapped[list[Any]] = mapped_column(default=list)  # the last two: [{step, path, sha256}]
    priority: Mapped[int] = mapped_column(default=0)  # of those that wait the highest starts first
    needs: Mapped[JsonObject] = mapped_column(default=dict)  # {device?, gpu_memory_gb?}
    seen_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    path: Mapped[str | None]  # run folder in the artifact store
    files_removed_at: Mapped[datetime | None]  # by a clean-up: curves and texts stay, files went
    metrics: Mapped[JsonObject] = mapped_column(default=dict)  # the last value of each
    error: Mapped[str | None]
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class RunEvent(Base):
    """A change of state, or something worth telling. Append-only."""

    __tablename__ = "run_event"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    run_id: Mapped[UUID] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), index=True)
    attempt: Mapped[int]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    kind: Mapped[str]
    message: Mapped[str] = mapped_column(default="")


class Metric(Base):
    """One logged step: all its metrics under TRL's names."""

    __tablename__ = "metric"

    run_id: Mapped[UUID] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    values: Mapped[JsonObject]


class Sample(Base):
    """A text the model produced during the run, for people to read."""

    __tablename__ = "sample"
    __table_args__ = (Index("ix_sample_run", "run_id", "step"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    run_id: Mapped[UUID] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    attempt: Mapped[int]
    step: Mapped[int]
    values: Mapped[JsonObject]  # {prompt, response, score?, kl?, …}


class Checkpoint(Base):
    """Registered weights: immutable files in the artifact store.

    `removed_at`: the files were taken away; what it was and where it came from stays on record.
    """

    __tablename__ = "checkpoint"
    __table_args__ = (
        Index("uq_checkpoint_final", "run_id", unique=True, postgresql_where=text("is_final")),
        Index("ix_checkpoint_project", "project_id", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    run_id: Mapped[UUID | None] = mapped_column(ForeignKey("run.id"), index=True)
    kind: Mapped[RunKind] = mapped_column(text_enum(RunKind))
    name: Mapped[str]
    step: Mapped[int]
    is_final: Mapped[bool] = mapped_column(default=True)
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("checkpoint.id"), index=True)
    path: Mapped[str]  # folder inside the artifact store
    removed_at: Mapped[datetime | None]
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]  # over the sorted list of file names and hashes
    files: Mapped[list[Any]]  # [{path, bytes, sha256}]
    metrics: Mapped[JsonObject] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    @property
    def source(self) -> str:
        """What responses say of their origin that it wrote."""
        return f"checkpoint:{self.id.hex[:8]}"


class MetricBlock(Base):
    """What `SIZE` steps of an attempt amount to, so that long curves are drawn without all of them.

    `values` has for each metric `{n, mean, min: [step, value], max: [step, value]}`; what was not a
    number is left out. Written once the block is complete, never changed.
    """

    __tablename__ = "metric_block"
    SIZE = 256  # in steps; the migration that made the table knows it, too

    run_id: Mapped[UUID] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    block: Mapped[int] = mapped_column(primary_key=True)  # step // SIZE
    first_step: Mapped[int]
    last_step: Mapped[int]
    values: Mapped[JsonObject]


class RunUsage(Base):
    """What the processes of an attempt took of their machine at one moment."""

    __tablename__ = "run_usage"
    __table_args__ = (Index("ix_run_usage_run", "run_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    run_id: Mapped[UUID] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    attempt: Mapped[int]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    values: Mapped[JsonObject]  # {cpu, rss, memory_total, gpu_memory?, gpu_total?, gpu?}


class RunLog(Base):
    """The last lines of what the training process said, while it runs."""

    __tablename__ = "run_log"

    run_id: Mapped[UUID] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int]
    tail: Mapped[str]


class RunCheck(Base):
    """A rehearsal of a run that somebody thinks of: a few updates on the worker, nothing kept."""

    __tablename__ = "run_check"
    __table_args__ = (
        CheckConstraint(
            "(finished_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'cancelled'))",
            name="finished_when_final",
        ),
        Index("ix_run_check_project", "project_id", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    snapshot_id: Mapped[UUID] = mapped_column(ForeignKey("snapshot.id", ondelete="CASCADE"))
    kind: Mapped[RunKind] = mapped_column(text_enum(RunKind))
    base: Mapped[JsonObject]
    parent_checkpoint_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("checkpoint.id", ondelete="CASCADE")
    )
    reward_checkpoint_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("checkpoint.id", ondelete="CASCADE")
    )
    config: Mapped[JsonObject]
    state: Mapped[JobState] = mapped_column(text_enum(JobState), default=JobState.QUEUED)
    attempt: Mapped[int] = mapped_column(default=0)
    seen_at: Mapped[datetime | None]
    activity: Mapped[str | None]
    report: Mapped[JsonObject] = mapped_column(default=dict)  # of the trainer's --check
    error: Mapped[str | None]
    field: Mapped[str | None]  # of the form to which the error belongs
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class Retention(Base):
    """How long a project keeps files that nothing needs any more; without days, for ever."""

    __tablename__ = "retention"

    project_id: Mapped[UUID] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    saved_days: Mapped[int | None]  # states to resume from, of runs that ended without a model
    failed_days: Mapped[int | None]  # logs and files of runs that ended without a model
    checkpoint_days: Mapped[int | None]  # weights that nothing was built on


class CleanUp(Base):
    """One clean-up of a project: what went, and how many bytes that freed."""

    __tablename__ = "clean_up"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    project_id: Mapped[UUID] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), index=True
    )
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
    removed: Mapped[list[Any]] = mapped_column(default=list)  # [{what, name, bytes}]
    bytes: Mapped[int] = mapped_column(BigInteger, default=0)


class Worker(Base):
    """A worker process that is connected, and what its machine can do."""

    __tablename__ = "worker"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    host: Mapped[str]
    pid: Mapped[int]
    version: Mapped[str]
    queues: Mapped[list[Any]]  # of jobs that it takes; none once it has ended
    queue_workers: Mapped[list[Any]] = mapped_column(default=list)  # its ids in the job queue
    capabilities: Mapped[JsonObject]  # {cores, memory, gpus: [{name, memory}], trains, …}
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    draining_at: Mapped[datetime | None]  # since then it takes nothing new

    @property
    def has_ended(self) -> bool:
        """In order, and while it rested: then it is remembered, and takes no queue."""
        return not self.queues
