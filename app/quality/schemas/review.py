"""Reviews on the wire (contract §3)."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from app.projects.schemas import storable
from app.tasks.models import TaskKind

Reason = Annotated[str, StringConstraints(max_length=10_000), AfterValidator(storable)]
Stamp = Annotated[str, StringConstraints(max_length=20_000)]
More = Annotated[int, Field(ge=1, le=3)]


class AdjudicationBody(BaseModel):
    """`ranking`: groups best first, of labels (A, B… in canonical order) or ids of responses."""

    model_config = ConfigDict(extra="forbid")

    ranking: Annotated[list[list[str]], Field(max_length=10)]
    reason: Reason
    if_unchanged: Annotated[
        Stamp | None, Field(description="`stamp` of the task as it was read; 409 if it changed")
    ] = None


ANSWERS = {"1": (1, 2), "2": (2, 1), "0": (1, 1)}  # of a pair, by the key that gives it


class AdjudicationForm(BaseModel):
    """A place per response in canonical order, or the answer of a pair; `seen`: what she saw."""

    places: Annotated[
        list[Annotated[int, Field(ge=1, le=10)] | Literal[""]], Field(max_length=10)
    ] = []
    answer: Literal["1", "2", "0", ""] = ""
    reason: Reason = ""
    seen: Stamp = ""
    then: Literal["stay", "next"] = "stay"

    @property
    def chosen(self) -> list[int | None]:
        """Her places as far as she has chosen them."""
        if self.answer:
            return list(ANSWERS[self.answer])
        return [place or None for place in self.places]


class SendBackBody(BaseModel):
    """Ask `more` people beyond what the task wants now."""

    model_config = ConfigDict(extra="forbid")

    more: More = 1
    reason: Reason = ""
    if_unchanged: Stamp | None = None


class SendBackForm(BaseModel):
    more: More = 1
    reason: Reason = ""
    seen: Stamp = ""


class GoldForm(BaseModel):
    """A key in words; `confirmed` once she has read what it will do."""

    key: Annotated[str, StringConstraints(max_length=500), AfterValidator(storable)] = ""
    ties_allowed: bool = False
    explanation: Reason = ""
    seen: Stamp = ""
    confirmed: bool = False


class AdjudicationOut(BaseModel):
    id: str
    task_id: str
    response_ids: list[str]
    ranks: list[int]
    reason: str
    by: UUID | None
    created_at: datetime
    withdrawn_at: datetime | None = None


class SendBackOut(BaseModel):
    id: str
    task_id: str
    more: int
    reason: str
    by: UUID | None
    created_at: datetime
    undone_at: datetime | None


class ReviewedResponse(BaseModel):
    id: str
    label: str
    text: str
    source: str | None


class JudgementOut(BaseModel):
    """What one person or source said; `display_order`: positions from left to right for her."""

    id: str
    annotator: UUID | None
    name: str
    is_source: bool
    counted: bool
    repeat: bool
    gold_passed: bool | None
    ranks: list[int]
    strength: int | None
    ratings: dict[str, Any]
    rationale: str | None
    flags: dict[str, Any]
    display_order: list[int] | None
    seconds: float | None
    guidelines_version: int
    submitted_at: datetime


class ConsensusOut(BaseModel):
    """The majority of what counts, and how sure its leading answer is."""

    ranks: list[int]
    disagreement: float | None
    posterior: float | None


class KeyOut(BaseModel):
    """A gold key by canonical positions."""

    prefers: list[tuple[int, int]]
    equal: list[tuple[int, int]]
    ties_allowed: bool
    explanation: str
    suspended_at: datetime | None


class TaskDetail(BaseModel):
    """A task with everything a reviewer decides by; `stamp` stands for all of it as it is now."""

    id: str
    external_id: str | None
    project_id: UUID
    kind: TaskKind
    wanted: int | None
    counted: int
    messages: list[Any]
    system: str | None
    responses: list[ReviewedResponse]
    judgements: list[JudgementOut]
    consensus: ConsensusOut | None
    adjudications: list[AdjudicationOut]
    sent_back: list[SendBackOut]
    gold: KeyOut | None
    stamp: str
