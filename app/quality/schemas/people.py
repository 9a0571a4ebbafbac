"""People and their progress on the wire (contract §3)."""

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel

from app.quality.schemas.agreement import BiasOut, ComparedOut, FigureOut


class SidesOut(BaseModel):
    """Which side of the screen she preferred, answer after answer.

    `longest` run of one side, `switch_share` of answers on another side than the one before,
    `entropy` of two in a row (1 = no pattern); the order on screen is random, so that `p_value`
    is of so long a run, or so many or few switches, of a fair coin.
    """

    n: int
    longest: int | None
    switch_share: float | None
    entropy: float | None
    p_value: float | None
    reason: str | None = None


class PaceOut(BaseModel):
    """Speed against reading: `z` is the median of the robust z of her log seconds.

    `below_reading_speed`: share of answers faster than 30 characters a second, of `n`; `others`:
    that of everybody else.
    """

    z: FigureOut
    below_reading_speed: FigureOut
    others: float | None
    n: int


class ChangeOut(BaseModel):
    """Agreement with peers `inside` the worst stretch and `outside` it.

    Of `drift` from one moment to the last; of `hours` from one time of the day to another. Both in
    seconds: since 1970, and since midnight (UTC).
    """

    n: int
    n_inside: int
    inside: float | None
    outside: float | None
    since: float | None
    until: float | None
    p_value: float | None
    reason: str | None = None


class FindingOut(BaseModel):
    """What deserves a look. `bad` and `warn` speak against her judgements, `info` explains."""

    kind: str
    level: Literal["bad", "warn", "info"]
    text: str


class AnnotatorOut(BaseModel):
    """One person.

    `gold_accuracy` is passed / seen with Wilson's interval, `gold_posterior` the Beta posterior
    that her standing is decided by. `findings`: the gravest first.
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
    peer_agreement: ComparedOut
    dissent: ComparedOut
    self_consistency: ComparedOut
    position_bias: BiasOut
    length_bias: BiasOut
    length_against_others: ComparedOut
    tie_share: FigureOut
    ties_against_others: ComparedOut
    sides: SidesOut
    same_rationale: ComparedOut
    seconds_per_task: FigureOut
    pace: PaceOut
    drift: ChangeOut
    hours: ChangeOut
    findings: list[FindingOut] = []


class SpanOut(BaseModel):
    """One ISO week, or one hour of the day (UTC): of `n` tasks the others have a majority."""

    key: str
    n_annotations: int
    n: int
    peer_agreement: FigureOut
    gold_seen: int
    gold_passed: int
    median_seconds: float | None


class LengthsOut(BaseModel):
    """A quarter of her tasks by the characters of their responses."""

    fewest_characters: int
    most_characters: int
    n: int
    median_seconds: float
    below_reading_speed: float


class PersonOut(AnnotatorOut):
    """One person with her weeks and hours, from her latest judgements.

    `places`: how often the response shown there was preferred to all others, first place first;
    `no_single_best`: how often none was.
    """

    as_of: datetime
    is_current: bool
    weeks: list[SpanOut]
    by_hour: list[SpanOut]
    places: list[int]
    no_single_best: int
    by_length: list[LengthsOut]


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
