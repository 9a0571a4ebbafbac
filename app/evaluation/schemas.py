"""What comes in and goes out over HTTP about evaluations and promotions."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from app.db import JobState
from app.evaluation.models import Demand
from app.projects.schemas import Name, storable
from app.runs.schemas import Body

Label = Annotated[str, Field(max_length=200)]


class Contestant(Body):
    """Who answers: a checkpoint of the project, an endpoint by its name or id, or its data.

    Of the data, the best-judged response to each prompt stands for it.
    """

    checkpoint: UUID | None = None
    endpoint: Name | None = None
    data: Literal["best"] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if [self.checkpoint, self.endpoint, self.data].count(None) != 2:
            raise ValueError(
                'a contestant is one of {"checkpoint": id}, {"endpoint": name or id} and '
                '{"data": "best"}'
            )
        return self


class EvaluationBody(Body):
    """`POST /projects/{id}/evaluations`: A and B answer the same prompts, people judge blind.

    Prompts are drawn by `seed` from those with the tag and of the source given, or of the test
    split of a snapshot; unless `allow_seen`, none that a contestant may have been trained on.
    `judgements` are asked for of each prompt, those of the project if nothing is said. With `stop`
    the asking ends once it is decided. `best_of` further responses show what the best of n gains;
    they need a reward model.
    """

    a: Contestant
    b: Contestant
    name: Name | None = None
    prompts: Annotated[int, Field(ge=1, le=5000)] = 200
    tag: Label | None = None
    source: Label | None = None
    snapshot_id: UUID | None = None
    allow_seen: bool = False
    judgements: Annotated[int | None, Field(ge=1, le=9)] = None
    priority: Annotated[int, Field(ge=0, le=1000)] = 100
    stop: bool = True
    margin: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_new_tokens: Annotated[int, Field(ge=1, le=4096)] = 128
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42
    reward_checkpoint_id: UUID | None = None
    best_of: Annotated[int, Field(ge=0, le=64)] = 0

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for text in (self.tag, self.source):
            storable(text or "")
        if self.a.data is not None:
            raise ValueError(
                "A is a checkpoint or an endpoint; the responses in the data can only be B"
            )
        if self.a == self.b:
            what = "checkpoint" if self.a.checkpoint else "endpoint"
            raise ValueError(f"A and B are the same {what}: choose two different ones")
        if self.best_of == 1:
            raise ValueError("best_of compares 2 responses or more; 0 leaves it out")
        if self.best_of and self.reward_checkpoint_id is None:
            raise ValueError("best_of needs a reward model: name it as reward_checkpoint_id")
        if self.best_of and self.temperature == 0:
            raise ValueError("at temperature 0 all responses are the same: raise it for best_of")
        return self


class EvaluationForm(BaseModel):
    """The form for an evaluation as a browser sends it."""

    a: str = ""
    b: str = ""
    name: str = ""
    prompts: str = "200"
    tag: str = ""
    source: str = ""
    snapshot_id: str = ""
    allow_seen: bool = False
    judgements: str = ""
    priority: str = "100"
    stop: bool = False
    temperature: str = "0.7"
    top_p: str = "1"
    max_new_tokens: str = "128"
    seed: str = "42"
    reward_checkpoint_id: str = ""
    best_of: str = ""

    def body(self) -> EvaluationBody:
        given = {key: value for key, value in self.model_dump().items() if value != ""}
        return EvaluationBody.model_validate(given | {"a": _chosen(self.a), "b": _chosen(self.b)})


def _chosen(given: str) -> dict[str, str]:
    """A contestant as the form names it: a checkpoint's id, `endpoint:` and an id, or `data`."""
    if given == "data":
        return {"data": "best"}
    kind, _, its = given.rpartition(":")
    return {kind or "checkpoint": its}


class RuleBody(Body):
    """`PUT /projects/{id}/promotion-rule`."""

    demand: Demand = Demand.BETTER
    threshold: Annotated[float, Field(ge=0.5, lt=1)] = 0.55
    margin: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    automatic: bool = False


class PromotionBody(Body):
    """`POST /projects/{id}/promotions`: with an evaluation, its figures are kept as the reason."""

    checkpoint_id: UUID
    evaluation_id: UUID | None = None
    reason: Annotated[str, Field(max_length=2000)] = ""

    @model_validator(mode="after")
    def _can_be_stored(self) -> Self:
        storable(self.reason)
        return self


class PromotionForm(BaseModel):
    checkpoint_id: UUID
    evaluation_id: UUID | Literal[""] = ""
    reason: Annotated[str, Field(max_length=2000)] = ""

    @model_validator(mode="after")
    def _can_be_stored(self) -> Self:
        storable(self.reason)
        return self


class UndoForm(BaseModel):
    promotion_id: Annotated[int, Field(ge=1, lt=2**63)]


class RuleForm(BaseModel):
    """The rule as a browser sends it: shares in percent."""

    demand: Demand
    threshold: Annotated[float, Field(ge=50, lt=100)] = 55
    margin: Annotated[float, Field(gt=0, lt=50)] = 5
    automatic: bool = False

    def body(self) -> RuleBody:
        return RuleBody(
            demand=self.demand,
            threshold=self.threshold / 100,
            margin=self.margin / 100,
            automatic=self.automatic,
        )


class FigureOut(BaseModel):
    value: float | None
    low: float | None
    high: float | None
    reason: str | None = None


class EvaluationOut(BaseModel):
    """`state` is of the writing; `open` says whether people are still asked."""

    id: str
    project_id: str
    name: str
    a: dict[str, Any]
    b: dict[str, Any]
    state: JobState
    attempt: int
    activity: str | None
    done: int
    total: int
    error: str | None
    config: dict[str, Any]
    warnings: list[str]
    open: bool
    opened_at: datetime | None
    closed_at: datetime | None
    close_reason: str | None
    created_at: datetime
    finished_at: datetime | None


class EvaluationPage(BaseModel):
    items: list[EvaluationOut]
    next_cursor: str | None


class VerdictOut(BaseModel):
    """`win_rate` of A over B, a tie being half a win; `always` holds however often one looks."""

    win_rate: FigureOut
    always: dict[str, float]
    prompts: int
    equal: int
    judged: int
    judgements: int
    decided: bool
    prefers: Literal["a", "b"] | None
    wins: int
    ties: int
    losses: int
    by_tag: list[dict[str, Any]]
    length_controlled: FigureOut
    sentences: list[str]


class EvaluationDetail(EvaluationOut):
    verdict: VerdictOut
    models: dict[str, Any] | None


class RuleOut(BaseModel):
    demand: Demand
    threshold: float
    margin: float
    automatic: bool
    sentence: str


class PromotionOut(BaseModel):
    id: str
    checkpoint_id: str | None
    evaluation_id: str | None
    undoes: str | None
    reason: str
    evidence: dict[str, Any]
    by: str | None
    at: datetime


class PromotionsOut(BaseModel):
    """The promoted checkpoint, and how it came to that, the last first."""

    promoted: str | None
    rule: RuleOut
    items: list[PromotionOut]
    next_cursor: str | None
