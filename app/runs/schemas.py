"""What comes in and goes out over HTTP about runs, checkpoints and generations (contract §3)."""

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
from app.runs.models import RunKind


def storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("remove the NUL character (\\u0000): it cannot be stored")
    return text


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=120),
    AfterValidator(storable),
]
ModelName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=1000),
    AfterValidator(storable),
]


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


class GenerationBody(Body):
    """`POST /projects/{id}/generations`: `n` new responses to each prompt, opened as tasks.

    `include_existing` adds so many responses that the prompt has already, so that people compare
    the new ones with them.
    """

    checkpoint_id: UUID
    n: Annotated[int, Field(ge=1, le=8)] = 4
    include_existing: Annotated[int, Field(ge=0, le=4)] = 0
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.8
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_new_tokens: Annotated[int, Field(ge=1, le=4096)] = 128
    max_prompts: Annotated[int | None, Field(ge=1)] = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42

    @model_validator(mode="after")
    def _makes_a_task(self) -> Self:
        if not 2 <= self.n + self.include_existing <= 10:
            raise ValueError(
                "a task has 2 to 10 responses: raise n, or include_existing, or lower them"
            )
        if self.temperature == 0 and self.n > 1:
            raise ValueError(
                "at temperature 0 every response to a prompt is the same: raise it, or set n to 1"
            )
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


class GenerationForm(BaseModel):
    """The form for new responses as a browser sends it."""

    checkpoint_id: str
    n: str = "2"
    include_existing: str = "1"
    temperature: str = "0.8"
    top_p: str = "1"
    max_new_tokens: str = "128"
    max_prompts: str = ""
    seed: str = "42"

    def body(self) -> GenerationBody:
        return GenerationBody.model_validate(
            {key: value for key, value in self.model_dump().items() if value != ""}
        )


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
    bytes: int
    sha256: str
    files: list[dict[str, Any]]
    metrics: dict[str, Any]
    created_at: datetime


class CheckpointPage(BaseModel):
    items: list[CheckpointOut]
    next_cursor: str | None


class GenerationOut(BaseModel):
    id: str
    project_id: str
    checkpoint_id: str
    state: JobState
    attempt: int
    config: dict[str, Any]
    done: int
    total: int
    tasks_opened: int
    error: str | None
    created_at: datetime
    finished_at: datetime | None


class DoingOut(BaseModel):
    job: str
    run_id: str | None
    project_id: str | None


class WorkerOut(BaseModel):
    """A worker that is connected or has gone silent, and what its machine can do."""

    id: str
    host: str
    pid: int
    version: str
    state: Literal["free", "working", "finishing", "resting", "silent"]
    queues: list[str]
    capabilities: dict[str, Any]
    doing: list[DoingOut]
    started_at: datetime
    seen_at: datetime
    draining_at: datetime | None


class WorkerList(BaseModel):
    items: list[WorkerOut]
