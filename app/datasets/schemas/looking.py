"""Looking into snapshots on the wire: rows, what lies behind them, and what two differ in."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

from app.datasets.rules.differences import Change, Kind
from app.datasets.rules.identity import Split
from app.datasets.rules.rows import ConfigName
from app.db import JobState


def _blank_is_none(value: Any) -> Any:
    return None if value == "" else value


Share = Annotated[
    Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None, BeforeValidator(_blank_is_none)
]
Number = Annotated[Annotated[int, Field(ge=0, le=2**31)] | None, BeforeValidator(_blank_is_none)]
Words = Annotated[str, Field(max_length=500)]


class RowFilters(BaseModel):
    """What rows must have; every part may be left out."""

    q: Annotated[Words, Field(description="Words in any text of the row, or an id.")] = ""
    agreement_below: Annotated[Share, Field(description="Agreement less than this.")] = None
    margin_from: Annotated[Share, Field(description="Margin of at least this.")] = None
    judgements_from: Annotated[Number, Field(description="Judgements, at least.")] = None
    judgements_below: Annotated[Number, Field(description="Judgements, fewer than this.")] = None


class RowsQuery(RowFilters):
    """`GET /snapshots/{id}/rows`."""

    config: ConfigName = ConfigName.PREFERENCE
    split: Split = Split.TRAIN
    cursor: Annotated[int, Field(ge=0, le=2**40)] = 0
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class RowOut(BaseModel):
    """A row with its number in the file, and the prompt under whose id it is traced."""

    number: int
    prompt_id: str
    row: dict[str, Any]


class RowsOut(BaseModel):
    """Rows of a file; without filters all come, one page after the other.

    With filters a page may be short and yet not the last one: `next_cursor` decides.
    """

    items: list[RowOut]
    next_cursor: str | None
    total: int


class TracedRowOut(BaseModel):
    config: ConfigName
    split: Split
    row: dict[str, Any]


class TracedResponseOut(BaseModel):
    """A response and where it came from; `id` is that of the rows."""

    id: str
    text: str
    source: str | None
    checkpoint_id: str | None
    sampling: dict[str, Any] | None


class TracedJudgementOut(BaseModel):
    """A judgement: what was frozen, and `since` what has changed about it.

    ranks are in the order of `response_ids` of the task, 1 = best; `name` is for admins;
    `reason`: why the snapshot leaves it out.
    """

    id: str
    annotator: str
    name: str | None
    is_source: bool
    ranks: list[int]
    strength: int | None
    ratings: dict[str, Any]
    rationale: str | None
    rewrite: str | None
    guidelines_version: int
    submitted_at: datetime
    gold_then: dict[str, int] | None
    reason: str | None
    since: str | None
    now: list[int] | None


class AdjudicationThenOut(BaseModel):
    ranks: list[int]
    reason: str
    by: str | None
    at: datetime
    withdrawn_at: datetime | None


class TracedTaskOut(BaseModel):
    id: str
    external_id: str | None
    response_ids: list[str]
    responses: list[TracedResponseOut]
    judgements: list[TracedJudgementOut]
    left_out: list[TracedJudgementOut]
    adjudications: list[AdjudicationThenOut]


class PromptOriginOut(BaseModel):
    """The prompt in the corpus, and what brought it."""

    id: str
    source: str | None
    external_id: str | None
    import_id: str | None
    filename: str | None
    created_at: datetime


class TraceOut(BaseModel):
    """Everything behind the rows of one prompt (`GET /snapshots/{id}/rows/{prompt_id}`)."""

    prompt_id: str
    frozen_at: datetime
    messages: list[dict[str, str]]
    rows: list[TracedRowOut]
    prompt: PromptOriginOut | None
    tasks: list[TracedTaskOut]
    erased: list[dict[str, Any]]
    frozen: int
    since: dict[str, int]


class DifferencesQuery(BaseModel):
    """`GET …/differences`."""

    config: ConfigName = ConfigName.PREFERENCE
    kind: Kind = Kind.CHANGED
    what: Change | Literal[""] = ""
    why: Annotated[str, Field(max_length=50)] = ""
    q: Words = ""
    cursor: Annotated[int, Field(ge=0, le=2**40)] = 0
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class DifferencesOut(BaseModel):
    items: list[dict[str, Any]]
    next_cursor: str | None
    total: int


class ComparedOut(BaseModel):
    """One of the two snapshots."""

    id: str
    name: str
    project_id: str
    counts: dict[str, Any]
    quality: dict[str, Any]
    created_at: datetime


class SettingOut(BaseModel):
    key: str
    name: str
    before: str
    after: str


class ComparisonOut(BaseModel):
    """What two snapshots differ in; configs are empty until `state` is `succeeded`."""

    state: JobState
    rows_done: int
    rows: int
    error: str | None
    before: ComparedOut
    after: ComparedOut
    recipe: list[SettingOut]
    identical: bool | None
    configs: dict[str, Any]


class NameBody(BaseModel):
    """`PATCH /snapshots/{id}`."""

    name: Annotated[str, Field(min_length=1, max_length=1_000)]
