"""What annotators send and see, and what comes in with imported data.

Models that annotators see carry no id of a task or response, no source and no gold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt, StringConstraints

from app.db import JsonObject
from app.projects.schemas import storable
from app.tasks.models import AssignmentState, SkipReason

Label = Annotated[str, StringConstraints(max_length=4)]
Group = Annotated[list[Label], Field(max_length=10)]
Ranking = Annotated[list[Group], Field(max_length=10)]
Key = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Flag = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Ratings = Annotated[dict[Key, dict[Label, StrictInt]], Field(max_length=10)]
Flags = dict[Label, Annotated[list[Flag], Field(max_length=10)]]
Rationale = Annotated[str, StringConstraints(max_length=10_000), AfterValidator(storable)]
Rewrite = Annotated[str, StringConstraints(max_length=100_000), AfterValidator(storable)]
Note = Annotated[str, StringConstraints(max_length=2_000), AfterValidator(storable)]
Milliseconds = Annotated[int, Field(ge=0, le=2**31 - 1)]
Strength = Annotated[StrictInt, Field(ge=0, le=4)]
Revision = Annotated[int, Field(ge=0, le=2**31 - 1)]

# What the page offers; the API takes any word of this form.
FLAGS = {
    "unsafe": "Unsafe or harmful",
    "pii": "Private data of a person",
    "untrue": "States something untrue",
    "off_topic": "Does not answer the prompt",
    "broken": "Cut off or unreadable",
    "unacceptable": "Nobody should be shown this",
}
SKIP_REASONS = {
    SkipReason.UNSAFE: "It is unsafe or upsetting",
    SkipReason.UNCLEAR: "The prompt is unclear",
    SkipReason.LANGUAGE: "I do not know the language well enough",
    SkipReason.OUTSIDE_MY_KNOWLEDGE: "It is outside my knowledge",
    SkipReason.BROKEN: "Something is broken or missing",
    SkipReason.OTHER: "Something else",
}


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Times(Body):
    """What the browser measured. `wall_ms`: since the task was painted."""

    wall_ms: Milliseconds | None = None
    visible_ms: Milliseconds | None = None
    active_ms: Milliseconds | None = None


class JudgementBody(Body):
    """`PUT /assignments/{id}/annotation`: groups of labels, best first; a group is a tie.

    `from_draft`: take the texts that are left out here from the draft; an empty one was cleared. A
    browser keeps no text of what it could not send.
    """

    ranking: Ranking
    strength: Strength | None = None
    ratings: Ratings = {}
    rationale: Rationale | None = None
    flags: Flags = {}
    rewrite: Rewrite | None = None
    times: Times = Times()
    from_draft: bool = False
    revision: Revision | None = None


class DraftBody(Body):
    """`PUT /assignments/{id}/draft`: any part of a judgement; `revision` grows with each save."""

    ranking: Ranking | None = None
    strength: Strength | None = None
    ratings: Ratings = {}
    rationale: Rationale | None = None
    flags: Flags = {}
    rewrite: Rewrite | None = None
    revision: Revision


class ClaimBody(Body):
    after: UUID | None = None


class SkipBody(Body):
    reason: SkipReason
    note: Note | None = None


class GoldBody(Body):
    """`PUT /tasks/{id}/gold`: pairs of response ids; the first of a pair is the better one.

    `qualification`: asked openly before real work, with feedback, instead of mixed in unseen.
    """

    prefers: Annotated[list[tuple[str, str]], Field(max_length=100)]
    equal: Annotated[list[tuple[str, str]], Field(max_length=100)] = []
    ties_allowed: bool = False
    explanation: Rationale = ""
    qualification: bool = False


class GoldOut(GoldBody):
    task_id: str


class PromptOut(BaseModel):
    messages: list[Any]
    system: str | None = None
    language: str | None = None


class ResponseOut(BaseModel):
    label: str
    text: str


class OwnJudgement(BaseModel):
    """The annotator's own answer, in the labels of her screen."""

    ranking: list[list[str]]
    strength: int | None = None
    ratings: dict[str, dict[str, int]] = {}
    rationale: str | None = None
    flags: dict[str, list[str]] = {}
    rewrite: str | None = None
    revision: int


class QuestionOut(BaseModel):
    """Which question of an attempt at the qualification a task is."""

    question: int
    of: int
    attempt: int


class ExpectedOut(BaseModel):
    """What a right answer says, in the labels of her screen.

    `order` where only one order is right; of a pair in `better` the first is the better one, and
    with `ties_allowed` they may be equal, too.
    """

    order: list[list[str]] | None = None
    better: list[list[str]] = []
    equal: list[list[str]] = []
    ties_allowed: bool = False


class ResultOut(BaseModel):
    """How an attempt ended: `needed` of the answers had to be right."""

    passed: bool
    correct: int
    of: int
    needed: int


class FeedbackOut(QuestionOut):
    """What she is told after a question of the qualification; `result` after the last one."""

    right: bool
    ranking: list[list[str]]
    expected: ExpectedOut
    explanation: str | None = None
    result: ResultOut | None = None


class AssignmentOut(BaseModel):
    """A task as its annotator sees it (contract §3).

    `qualification` is there for a question of the qualification alone, which is no secret;
    `feedback` once it is answered.
    """

    id: str
    state: AssignmentState
    leased_until: datetime | None
    project_id: str
    guidelines_version: int
    prompt: PromptOut
    responses: list[ResponseOut]
    criteria: list[dict[str, Any]]
    allow_ties: bool
    strength_levels: int
    draft: dict[str, Any] | None = None
    annotation: OwnJudgement | None = None
    qualification: QuestionOut | None = None
    feedback: FeedbackOut | None = None
    html: str | None = None


class SubmittedOut(BaseModel):
    """`next` is there where it was asked for: the following assignment, or null.

    After a question of the qualification it is null, and `feedback` says whether it was right.
    """

    id: str
    revision: int
    counted: bool
    feedback: FeedbackOut | None = None
    next: AssignmentOut | None = None


class DraftOut(BaseModel):
    revision: int
    saved: bool


class HistoryItem(OwnJudgement):
    id: str
    assignment_id: str
    project_id: str
    prompt: str  # how its last turn begins
    counted: bool
    qualification: bool = False
    submitted_at: datetime


class HistoryPage(BaseModel):
    items: list[HistoryItem]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class AnswerLine:
    """A question of an attempt in a list; `right` is None where it is no question any more."""

    assignment_id: str
    question: int
    prompt: str
    right: bool | None


class TimesOut(BaseModel):
    wall_ms: int | None
    visible_ms: int | None
    active_ms: int | None


class AnnotationOut(BaseModel):
    """For admins: `ranks` in the order of `response_ids`, ratings and flags by response id."""

    id: str
    task_id: str
    external_id: str | None
    annotator: str
    response_ids: list[str]
    ranks: list[int]
    strength: int | None
    ratings: dict[str, dict[str, int]]
    rationale: str | None
    flags: dict[str, list[str]]
    rewrite: str | None
    meta: dict[str, Any] = {}  # what else the file said of it that it was imported from
    counted: bool
    repeat: bool
    revision: int
    guidelines_version: int
    submitted_at: datetime
    times: TimesOut


class AnnotationPage(BaseModel):
    items: list[AnnotationOut]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class ImportedJudgement:
    """A judgement that comes with the data, by a named person or a source (`dataset:hh-rlhf`).

    `ranks` are by canonical position (`OpenedTask.canonical`), in any numbers that order them.
    """

    task_id: UUID
    annotator: str
    ranks: Sequence[int]
    strength: int | None = None
    rationale: str | None = None
    created_at: datetime | None = None
    ratings: dict[str, list[int | None]] = field(default_factory=dict)
    flags: dict[str, list[str]] = field(default_factory=dict)  # by position
    meta: JsonObject = field(default_factory=dict)
    rewrite: str | None = None
    counted: bool = True
    guidelines_version: int | None = None  # where the project has that one, else the newest
    times: dict[str, int] = field(default_factory=dict)  # by column, milliseconds


@dataclass(frozen=True, slots=True)
class Recorded:
    """What an import of judgements did: which of them are new, in their order; how many repeat.

    `members`: the people behind them, by the names they came with.
    """

    is_new: Sequence[bool]
    repeats: int
    members: Mapping[str, UUID] = field(default_factory=dict)

    @property
    def recorded(self) -> int:
        return sum(self.is_new)

    @property
    def known(self) -> int:
        return len(self.is_new) - sum(self.is_new)
