"""What comes in and goes out over HTTP about runs and checkpoints (contract §3)."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from app.db import JobState
from app.projects.schemas import Name, storable
from app.runs.models import RunKind

ModelName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=1000),
    AfterValidator(storable),
]


MetricName = Annotated[str, StringConstraints(max_length=200), AfterValidator(storable)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Base(Body):
    """What a run starts from: exactly one of the four.

    `run` waits for that run and takes its checkpoint, so that a chain can be queued at once.
    """

    checkpoint: UUID | None = None
    model: ModelName | None = None
    new: Literal["tiny", "small"] | None = None
    run: UUID | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len(self.model_dump(exclude_none=True)) != 1:
            raise ValueError(
                'a base is exactly one of {"checkpoint": id}, {"model": hub id or path}, '
                '{"new": "tiny" or "small"} and {"run": id}'
            )
        return self


class Needs(Body):
    """What a run asks of the worker that takes it; GPU memory in GB of a billion bytes."""

    device: Literal["cpu", "cuda"] | None = None
    gpu_memory_gb: Annotated[int | None, Field(ge=1, le=288)] = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.device == "cpu" and self.gpu_memory_gb:
            raise ValueError("a run on the CPU needs no GPU memory: leave one of the two out")
        return self


Priority = Annotated[int, Field(ge=-2, le=2)]


class PriorityBody(Body):
    """`PUT /runs/{id}/priority`: 2 starts first, -2 last."""

    priority: Priority


class RunBody(Body):
    """`POST /runs`."""

    kind: RunKind
    snapshot_id: UUID
    base: Base
    config: dict[str, Any] = {}
    reward_checkpoint_id: UUID | None = None
    reward_run_id: UUID | None = None
    name: Name | None = None
    priority: Priority = 0
    needs: Needs = Needs()

    @model_validator(mode="after")
    def _has_one_reward(self) -> Self:
        if self.reward_checkpoint_id and self.reward_run_id:
            raise ValueError("give reward_checkpoint_id or reward_run_id, not both")
        return self


class LaunchForm(BaseModel):
    """The launch form as a browser sends it; its settings are the further fields `set.NAME`."""

    model_config = ConfigDict(extra="allow")

    kind: RunKind
    snapshot_id: str = ""
    base: Literal["new", "checkpoint", "model"] = "new"
    size: str = "tiny"
    checkpoint: str = ""
    model: str = ""
    reward_checkpoint_id: str = ""
    name: str = ""
    priority: str = "0"
    device: str = ""
    gpu_memory_gb: str = ""

    def body(self, settings: dict[str, str]) -> RunBody:
        """What is asked for; a `ValidationError` names the fields that are wrong."""
        given = {"new": self.size, "checkpoint": self.checkpoint, "model": self.model}[self.base]
        return RunBody.model_validate(
            {
                "kind": self.kind,
                "snapshot_id": self.snapshot_id,
                "base": {self.base: given},
                "config": settings,
                "reward_checkpoint_id": self.reward_checkpoint_id or None,
                "name": self.name.strip() or None,
                "priority": self.priority or 0,
                "needs": {
                    "device": self.device or None,
                    "gpu_memory_gb": self.gpu_memory_gb.strip() or None,
                },
            }
        )


class ChainForm(BaseModel):
    snapshot_id: UUID


class PriorityForm(BaseModel):
    """A button of a run that waits: one place up or down."""

    change: Literal["raise", "lower"]
    back: Literal["runs", "run"] = "runs"


class RunOut(BaseModel):
    id: str
    project_id: str
    snapshot_id: str
    kind: RunKind
    name: str
    state: JobState
    attempt: int
    step: int
    total_steps: int | None
    seconds_left: float | None
    base: dict[str, Any]
    parent_checkpoint_id: str | None
    reward_checkpoint_id: str | None
    reward_run_id: str | None
    checkpoint_id: str | None
    config: dict[str, Any]
    metrics: dict[str, Any]
    error: str | None
    priority: int
    needs: dict[str, Any]
    waits_because: str | None  # of a queued run
    cancel_requested_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class RunPage(BaseModel):
    items: list[RunOut]
    next_cursor: str | None


class MetricsOut(BaseModel):
    """Logged steps after `after_step`; `attempt` grows when the run was taken up again."""

    items: list[dict[str, Any]]
    next_cursor: str | None
    state: JobState
    attempt: int
    step: int
    total_steps: int | None
    seconds_left: float | None


class RunCheckOut(BaseModel):
    """A rehearsal: `report` once it has succeeded, `error` and its `field` where it cannot be.

    The report is that of `touchstone train … --check`: steps, tokens, seconds, memory in bytes.
    """

    id: str
    project_id: str
    kind: RunKind
    state: JobState
    activity: str | None
    ahead: int
    report: dict[str, Any]
    error: str | None
    field: str | None
    created_at: datetime
    finished_at: datetime | None


class EstimateOut(BaseModel):
    """What a run would be, at once: steps by the rows, seconds by earlier runs like it."""

    rows: int
    steps: int
    seconds: float | None
    runs: int


class UsageOut(BaseModel):
    at: datetime
    attempt: int
    cpu: float | None  # cores
    rss: float | None  # bytes, as all below
    memory_total: float | None
    gpu: float | None  # share of the time
    gpu_memory: float | None
    gpu_total: float | None


class ResourcesOut(BaseModel):
    items: list[UsageOut]
    state: JobState


class LineOut(BaseModel):
    """One setting or figure of all compared runs; null where a run has no such thing."""

    name: str
    values: list[Any]
    differs: bool


class ComparisonOut(BaseModel):
    runs: list[RunOut]
    settings: list[LineOut]
    evaluation: list[LineOut]
    figures: list[LineOut]


class CurveOut(BaseModel):
    """Points in order of steps: the extremes of each stretch, and its mean where it is thinned."""

    step: list[int]
    value: list[float]
    mean_step: list[int] | None = None
    mean: list[float] | None = None


class CurvesOut(BaseModel):
    """`last_step` is the `after_step` to ask with next; another attempt means: ask anew."""

    curves: dict[str, CurveOut]
    last_step: int
    state: JobState
    attempt: int
    step: int
    total_steps: int | None
    seconds_left: float | None


class SamplesOut(BaseModel):
    items: list[dict[str, Any]]
    next_cursor: str | None


class CheckpointOut(BaseModel):
    id: str
    project_id: str
    run_id: str | None
    kind: RunKind
    name: str
    step: int
    is_final: bool
    parent_id: str | None
    removed_at: datetime | None = Field(
        default=None, description="When the weights were removed; what it was stays on record."
    )
    bytes: int
    sha256: str
    files: list[dict[str, Any]]
    metrics: dict[str, Any]
    created_at: datetime


class CheckpointPage(BaseModel):
    items: list[CheckpointOut]
    next_cursor: str | None


class DescendedSnapshot(BaseModel):
    id: str
    project_id: str
    name: str
    judgements: int | None = Field(description="Of those asked about; null where none.")
    is_written: bool = Field(
        description="It holds judgements of what a model wrote that descends from them."
    )


class DescendedCheckpoint(BaseModel):
    id: str
    project_id: str
    name: str
    kind: RunKind
    run_id: str | None
    through: list[str] = Field(description="data, base, reward: what of its run descends.")
    removed_at: datetime | None


class LinkOut(BaseModel):
    """`to` comes from `begin`, ids of a snapshot, a run or a checkpoint."""

    begin: str
    to: str
    how: str = Field(description="data, made, base, reward, waits or written")


class DescendantsOut(BaseModel):
    """Snapshots and models that descend from what was asked about."""

    snapshots: list[DescendedSnapshot]
    checkpoints: list[DescendedCheckpoint]
    links: list[LinkOut]


Days = Annotated[int | None, Field(ge=1, le=36500)]


class RetentionBody(Body):
    """Days for which a project keeps what nothing needs; null keeps it for ever."""

    saved_days: Days = Field(description="States to resume from, of runs without a model.")
    failed_days: Days = Field(description="Logs and files of runs without a model.")
    checkpoint_days: Days = Field(description="Weights that nothing was built on.")


class WasteOut(BaseModel):
    items: list[dict[str, Any]]
    bytes: int


class CleanUpOut(BaseModel):
    id: str
    created_at: datetime
    finished_at: datetime | None
    removed: list[dict[str, Any]]
    bytes: int


class RetentionForm(BaseModel):
    """The form as a browser sends it: an empty field is for ever."""

    saved_days: str = ""
    failed_days: str = ""
    checkpoint_days: str = ""

    def body(self) -> RetentionBody:
        return RetentionBody.model_validate(
            {name: value.strip() or None for name, value in self.model_dump().items()}
        )


class DoingOut(BaseModel):
    job: str
    run_id: str | None
    project_id: str | None


class WorkerOut(BaseModel):
    """A worker that is connected, has gone silent or ended while it rested; what it can do."""

    id: str
    host: str
    pid: int
    version: str
    state: Literal["free", "working", "finishing", "resting", "ended", "silent"]
    queues: list[str]
    capabilities: dict[str, Any]
    doing: list[DoingOut]
    started_at: datetime
    seen_at: datetime
    draining_at: datetime | None


class WorkerList(BaseModel):
    items: list[WorkerOut]
