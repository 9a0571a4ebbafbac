"""Figures, people and reviews on the wire (contract §3)."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints


class FigureOut(BaseModel):
    """A number with its 95 % interval; `value` is null where it is not defined, see `reason`."""

    value: float | None
    low: float | None
    high: float | None
    reason: str | None = None


class BiasOut(FigureOut):
    """A share whose fair value is 0.5, with the exact binomial test against it."""

    n: int
    p_value: float | None


class FieldOut(BaseModel):
    """The agreement figures of one field. They rest on the `n_shared_tasks` judged by two or more.

    `ranking` is nominal over implied pairs (first, tie, second; no tie where the project allows
    none: AC1), `strength` and criteria are ordinal (AC2 with quadratic weights). First and second
    are as in the `response_ids` of the annotations: in the order of the imported line, or of their
    content hashes where that order would tell which is better (`chosen`, `rejected`).
    """

    n_tasks: int
    n_annotations: int
    n_annotators: int
    n_shared_tasks: int
    percent_agreement: FigureOut
    percent_agreement_no_ties: FigureOut
    krippendorff_alpha: FigureOut
    gwet_ac: FigureOut
    kendall_tau_b: FigureOut
    kendall_w: FigureOut
    cohen_kappa: FigureOut | None = None


class GroupOut(BaseModel):
    """One part of a breakdown."""

    key: str
    user_ids: list[str] | None = None
    fields: dict[str, FieldOut]


class AgreementOut(BaseModel):
    """Fields are `ranking`, `strength` where the project asks for it, and `criterion:KEY`."""

    as_of: datetime
    is_current: bool
    fields: dict[str, FieldOut]
    by: str | None = None
    groups: list[GroupOut] | None = None
    reason: str | None = None


class AnnotatorOut(BaseModel):
    """One person.

    `gold_accuracy` is passed / seen with Wilson's interval, `gold_posterior` the Beta posterior
    that her standing is decided by.
    """

    user_id: str
    name: str
    kind: str
    role: str
    n_annotations: int
    n_shared: int
    n_repeats: int
    last_submitted_at: datetime | None
    gold_seen: int
    gold_passed: int
    gold_accuracy: FigureOut
    gold_posterior: FigureOut
    p_below_threshold: float | None
    standing: str
    paused_at: datetime | None
    peer_agreement: FigureOut
    self_consistency: FigureOut
    position_bias: BiasOut
    length_bias: BiasOut
    tie_share: FigureOut
    seconds_per_task: FigureOut


class AnnotatorPage(BaseModel):
    as_of: datetime
    is_current: bool
    items: list[AnnotatorOut]
    next_cursor: str | None


class TaskOut(BaseModel):
    """A task that several people have judged; `disagreement` is the share of pairs that differ."""

    id: str
    external_id: str | None
    disagreement: float
    n_annotations: int
    n_responses: int
    adjudicated_at: datetime | None


class TaskPage(BaseModel):
    as_of: datetime
    is_current: bool
    items: list[TaskOut]
    next_cursor: str | None


Reason = Annotated[str, StringConstraints(max_length=10_000)]


class AdjudicationBody(BaseModel):
    """`ranking`: groups best first, of labels (A, B… in canonical order) or ids of responses."""

    model_config = ConfigDict(extra="forbid")

    ranking: Annotated[list[list[str]], Field(max_length=10)]
    reason: Reason


class AdjudicationForm(BaseModel):
    """A place per response, in canonical order."""

    places: Annotated[list[Annotated[int, Field(ge=1, le=10)]], Field(min_length=2, max_length=10)]
    reason: Reason = ""


class QualificationForm(BaseModel):
    """What an admin decides about somebody's qualification."""

    decision: Literal["let_in", "allow", "ask_again"]


class AdjudicationOut(BaseModel):
    id: str
    task_id: str
    response_ids: list[str]
    ranks: list[int]
    reason: str
    by: UUID | None
    created_at: datetime


class ProgressPart(BaseModel):
    """Her work in a stretch of time. Seconds are of work: somebody was at it (`active_ms`)."""

    done: int
    skipped: int
    seconds: int
    median_seconds: float | None
    tie_share: float | None


class ProgressDay(BaseModel):
    day: date
    done: int
    seconds: int
    median_seconds: float | None


class ProgressWeek(BaseModel):
    """Agreement with others on what she judged in a full week; null, with the reason, if few."""

    monday: date
    tasks: int
    agreement: float | None
    reason: str | None


class ProgressOut(BaseModel):
    """`GET /me/progress`: days and weeks in UTC; nothing about gold."""

    project_id: str
    today: ProgressPart
    week: ProgressPart
    all: ProgressPart
    skip_reasons: dict[str, int]
    days: list[ProgressDay]
    weeks: list[ProgressWeek]
    paused: bool
    pause_reason: str | None
