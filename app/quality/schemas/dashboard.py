"""The first page of a project on the wire: whether today's labels can be trusted, and why."""

from datetime import date, datetime

from pydantic import BaseModel

from app.quality.schemas.agreement import FieldOut, FigureOut
from app.quality.schemas.days import DifferenceOut, EventOut


class VerdictOut(BaseModel):
    """`trust`: good, warn, bad, or info where it is not known."""

    trust: str
    sentence: str
    reasons: list[str]


class SpanOut(BaseModel):
    """A stretch of time: today, the last seven days, or what came before them.

    `agreement`: of its judgements with all others of their tasks, ties left out.
    """

    n_annotations: int
    n_annotators: int
    n_shared_tasks: int
    agreement: FigureOut
    gold_seen: int
    gold_passed: int


class NowOut(BaseModel):
    """`change`: agreement of the week less that before it; null where either is not defined."""

    day: date
    today: SpanOut
    week: SpanOut
    before: SpanOut
    change: DifferenceOut | None
    sentence: str


class TrendDayOut(BaseModel):
    """A day (UTC) on which something was judged; the figures as of a `SpanOut`.

    `is_low`: agreement is clearly below that of the other days, all days looked at together.
    """

    day: date
    n_annotations: int
    n_annotators: int
    n_shared_tasks: int
    agreement: FigureOut
    is_low: bool
    gold_seen: int
    gold_passed: int
    minutes: float


class LookOut(BaseModel):
    """Somebody who needs a look, and why."""

    user_id: str
    name: str
    reasons: list[str]


class DisputedOut(BaseModel):
    task_id: str
    opening: str
    disagreement: float
    n_annotations: int
    adjudicated_at: datetime | None


class CostPartOut(BaseModel):
    """`name`: first, overlap, gold, repeats, qualification, surplus, skipped."""

    name: str
    label: str
    judgements: int
    minutes: float
    cost: float | None


class CostOut(BaseModel):
    """What has been spent. `usable`: comparisons on which people lean to one side.

    A usable comparison is an implied pair of responses of an ordinary task whose decisive votes,
    those of people who fail gold left out, have a majority. Everything done here costs. `total` and
    `per_usable` are null without a price; `minutes` are of work.
    """

    currency: str
    cost_per_hour: float | None
    cost_per_judgement: float | None
    judgements: int
    minutes: float
    total: float | None
    usable: int
    pairs: int
    per_usable: float | None
    minutes_per_usable: float | None
    parts: list[CostPartOut]
    sentence: str


class PlanOut(BaseModel):
    """When so many judgements will be done. Dates are null, with the reason, where not known.

    `latest` alone may be null: how late it may become cannot be told.
    """

    left: int
    working_days: float | None
    done_on: date | None
    earliest: date | None
    latest: date | None
    minutes: float | None
    cost: float | None
    sentence: str
    reason: str | None


class ForecastOut(BaseModel):
    """`per_day`: judgements that count on a day with work. `raised`: with one more per task."""

    per_day: float | None
    days: int
    overlap: int
    now: PlanOut
    raised: PlanOut | None


class HadOut(BaseModel):
    tasks: int
    wanted: int
    counted: int


class DashboardOut(BaseModel):
    """`GET /projects/{id}/dashboard`: the numbers of the overview page."""

    as_of: datetime
    is_current: bool
    verdict: VerdictOut
    progress: HadOut
    now: NowOut
    days: list[TrendDayOut]
    usual: FigureOut
    events: list[EventOut]
    people_to_look_at: list[LookOut]
    suspended_gold: list[str]
    disputed: list[DisputedOut]
    cost: CostOut
    forecast: ForecastOut
    fields: dict[str, FieldOut]
