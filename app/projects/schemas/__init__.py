"""What comes in and goes out over HTTP about projects (contract §3)."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from app.accounts.models import Role
from app.projects import rules

MAX_GUIDELINES = 200_000  # characters
MOST_VERSIONS = 1_000
SURROGATE = re.compile("[\ud800-\udfff]")


def storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("remove the NUL character (\\u0000): it cannot be stored")
    if SURROGATE.search(text):
        raise ValueError("remove what is half of a surrogate pair: it cannot be stored")
    return text


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=120),
    AfterValidator(storable),
]
Description = Annotated[str, StringConstraints(max_length=2_000), AfterValidator(storable)]
Markdown = Annotated[str, StringConstraints(max_length=MAX_GUIDELINES), AfterValidator(storable)]
Percent = Annotated[float, Field(ge=0, le=1)]


Limit = Annotated[int, Field(ge=1, le=1_000_000)]
SharePercent = Annotated[int, Field(ge=1, le=100)]
Cost = Annotated[float, Field(ge=0, le=1_000_000)]
Currency = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=12), AfterValidator(storable)
]
RepeatRate = Annotated[float, Field(ge=0, le=0.2)]
Expertise = Annotated[
    list[Annotated[str, AfterValidator(storable)]],
    Field(max_length=200),
    AfterValidator(rules.expertise_of),
]
Languages = Annotated[
    list[Annotated[str, AfterValidator(storable)]],
    Field(max_length=200),
    AfterValidator(rules.languages_of),
]


ExampleKind = Literal["good", "borderline", "bad"]
ChangeKind = Literal["must_read", "clarification"]
Note = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=2_000), AfterValidator(storable)
]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Criterion(Body):
    """A scale on which each response is rated, from `min` (worst) to `max` (best)."""

    key: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    label: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=80),
        AfterValidator(storable),
    ]
    min: Annotated[int, Field(ge=-100, le=100)] = 1
    max: Annotated[int, Field(ge=-100, le=100)] = 5

    @model_validator(mode="after")
    def _is_a_scale(self) -> Self:
        if self.min >= self.max:
            raise ValueError(f"the scale of “{self.key}” needs a min that is below its max")
        return self


class Overlap(Body):
    """How many people judge a task: from `min` to `max`; equal means exactly that many."""

    min: Annotated[int, Field(ge=1, le=100)] = 1
    max: Annotated[int | None, Field(ge=1, le=100)] = None
    confidence: Annotated[float | None, Field(gt=0.5, lt=1)] = None

    @model_validator(mode="after")
    def _is_a_span(self) -> Self:
        if self.max is None:
            self.max = self.min
        if self.min > self.max:
            raise ValueError("overlap needs a min that is not above its max")
        return self


class Qualification(Body):
    """What new annotators pass before real work: `size` questions with known answers, 0 for none.

    `pass_mark`: the share to get right. `wait_hours` between two of the `attempts`.
    """

    size: Annotated[int, Field(ge=0, le=200)] = 0
    pass_mark: Annotated[float, Field(gt=0, le=1)] = 0.8
    attempts: Annotated[int, Field(ge=1, le=20)] = 2
    wait_hours: Annotated[int, Field(ge=0, le=8_760)] = 24


def _distinct_keys(criteria: list[Criterion]) -> list[Criterion]:
    if len({criterion.key for criterion in criteria}) < len(criteria):
        raise ValueError("each criterion needs a key of its own")
    return criteria


Criteria = Annotated[list[Criterion], Field(max_length=10), AfterValidator(_distinct_keys)]


class Example(Body):
    """A judgement that the guidelines show, and why it is so.

    `kind`: a clear case, a close call, or a mistake that people make. `task_id`: the task that it
    was taken from; annotators do not see it.
    """

    prompt: Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
    responses: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=20_000)]],
        Field(min_length=2, max_length=10),
    ]
    ranks: Annotated[list[Annotated[int, Field(ge=1, le=10)]], Field(min_length=2, max_length=10)]
    why: Annotated[str, StringConstraints(strip_whitespace=True, max_length=4_000)] = ""
    kind: ExampleKind = "good"
    task_id: str | None = None

    @model_validator(mode="after")
    def _ranks_its_responses(self) -> Self:
        if len(self.ranks) != len(self.responses):
            raise ValueError(
                f"an example with {len(self.responses)} responses needs as many ranks, not "
                f"{len(self.ranks)}"
            )
        self.ranks = [1 + sum(other < rank for other in self.ranks) for rank in self.ranks]
        for words in (self.prompt, self.why, *self.responses):
            storable(words)
        return self


Examples = Annotated[list[Example], Field(max_length=rules.MOST_EXAMPLES)]


class Scale(Body):
    """What people were asked in a version of the guidelines."""

    criteria: Criteria = []
    strength_levels: Annotated[int, Field(ge=0, le=4)] = 3
    allow_ties: bool = True


class VersionBody(Body):
    """A version of the guidelines that comes along from elsewhere."""

    text: Markdown = ""
    note: Note = ""
    is_clarification: bool = False
    examples: Examples = []
    scale: Scale | None = None  # without it, that of the project
    created_at: AwareDatetime | None = None


class ProjectBody(Body):
    """`POST /projects`.

    `guidelines`, or all `guidelines_versions` of another project (`GET /projects/{id}/settings`),
    the first one first.
    """

    name: Name
    description: Description = ""
    criteria: Criteria = []
    strength_levels: Annotated[int, Field(ge=0, le=4)] = 3
    allow_ties: bool = True
    overlap: Overlap = Overlap(min=1, max=1)
    gold_rate: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    gold_threshold: Percent = 0.7
    lease_minutes: Annotated[int, Field(ge=1, le=1440)] = 30
    repeat_rate: RepeatRate = 0.0
    daily_limit: Limit | None = None
    total_limit: Limit | None = None
    largest_share: SharePercent | None = None
    cost_per_hour: Cost | None = None
    cost_per_judgement: Cost | None = None
    currency: Currency = ""
    qualification: Qualification = Qualification()
    guidelines: Markdown = ""
    guidelines_versions: Annotated[list[VersionBody], Field(max_length=MOST_VERSIONS)] = []

    @model_validator(mode="after")
    def _is_told_once(self) -> Self:
        if self.guidelines and self.guidelines_versions:
            raise ValueError("give “guidelines” or “guidelines_versions”, not both")
        return self


class ProjectPatch(Body):
    """`PATCH /projects/{id}`: only what is named changes, within `qualification` too.

    `guidelines_version` is the version the caller has seen; where it is given and somebody has
    made a newer one meanwhile, nothing changes and the answer is 409. `guidelines_note` says what
    changed and why; a `clarification` need not be read before the next task. A limit or cost
    that is null is taken away.
    """

    name: Name | None = None
    description: Description | None = None
    criteria: Criteria | None = None
    strength_levels: Annotated[int | None, Field(ge=0, le=4)] = None
    allow_ties: bool | None = None
    overlap: Overlap | None = None
    gold_rate: Annotated[float | None, Field(ge=0, le=0.5)] = None
    gold_threshold: Percent | None = None
    lease_minutes: Annotated[int | None, Field(ge=1, le=1440)] = None
    repeat_rate: RepeatRate | None = None
    daily_limit: Limit | None = None
    total_limit: Limit | None = None
    largest_share: SharePercent | None = None
    cost_per_hour: Cost | None = None
    cost_per_judgement: Cost | None = None
    currency: Currency | None = None
    qualification: Qualification | None = None
    guidelines: Markdown | None = None
    guidelines_examples: Examples | None = None
    guidelines_note: Note = ""
    guidelines_kind: ChangeKind = "must_read"
    guidelines_version: int | None = None
    paused: bool | None = None


class OverlapOut(BaseModel):
    min: int
    max: int
    confidence: float | None


class ProjectOut(BaseModel):
    id: str
    name: str
    description: str
    criteria: list[dict[str, Any]]
    strength_levels: int
    allow_ties: bool
    overlap: OverlapOut
    gold_rate: float
    gold_threshold: float
    lease_minutes: int
    repeat_rate: float
    daily_limit: int | None
    total_limit: int | None
    largest_share: int | None
    cost_per_hour: float | None
    cost_per_judgement: float | None
    currency: str
    qualification: Qualification
    guidelines: str
    guidelines_version: int
    paused_at: datetime | None
    created_at: datetime
    role: Role


class ProjectPage(BaseModel):
    items: list[ProjectOut]
    next_cursor: str | None


class MemberTerms(Body):
    """What a member may judge, and how much; a limit of her own goes before the project's."""

    expertise: Expertise | None = None
    languages: Languages | None = None
    daily_limit: Limit | None = None
    total_limit: Limit | None = None

    def named(self) -> dict[str, Any]:
        """The terms that were named; a limit that is null is taken away."""
        named = self.model_dump(include=self.model_fields_set & MemberTerms.model_fields.keys())
        return {
            name: value
            for name, value in named.items()
            if value is not None or name in {"daily_limit", "total_limit"}
        }


class MemberBody(MemberTerms):
    """`PUT /projects/{id}/members/{email}`: what is not named stays."""

    role: Role


class MemberOut(BaseModel):
    user_id: str
    email: str | None
    name: str
    role: Role
    expertise: list[str]
    languages: list[str]
    daily_limit: int | None
    total_limit: int | None
    paused_at: datetime | None
    qualified_at: datetime | None
    created_at: datetime


class GuidelinesOut(BaseModel):
    """A version of the guidelines; `is_clarification`: it need not be read before a next task."""

    version: int
    text: str
    note: str
    is_clarification: bool
    examples: list[Example]
    scale: dict[str, Any]
    created_by: str | None
    created_at: datetime
