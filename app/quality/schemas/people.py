"""People and their progress on the wire (contract §3)."""

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel

from app.quality.schemas.agreement import BiasOut, FigureOut


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


class QualificationDecision(BaseModel):
    """What an admin decides: let her in, allow another attempt, or ask her to qualify (again)."""

    decision: Literal["let_in", "allow", "ask_again"]


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
