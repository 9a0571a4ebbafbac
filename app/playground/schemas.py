"""What people ask for, and what goes out over HTTP."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from app.db import JobState
from app.playground import rules
from app.playground.models import PlayAnswer, PlayReading, ReadingKind
from app.projects.schemas import Name


@dataclass
class Answered:
    """An answer and what other models make of it."""

    answer: PlayAnswer
    readings: list[PlayReading] = field(default_factory=list)


Text = Annotated[str, StringConstraints(min_length=1, max_length=100_000, pattern=r"\S")]


class AskedBody(BaseModel):
    """Who answers: a checkpoint of the project, or an endpoint by its name or id."""

    model_config = ConfigDict(extra="forbid")

    checkpoint: UUID | None = None
    endpoint: Name | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.checkpoint is None) == (self.endpoint is None):
            raise ValueError('who answers is {"checkpoint": id} or {"endpoint": name or id}')
        return self


class AskBody(BaseModel):
    """`POST /projects/{id}/playground`: a message, and who is to answer it.

    Checkpoints alone may stand in `checkpoint_ids`, endpoints as well in `writers`, in their order.
    With `after` (an answer) it goes on from there; with `instead_of` (a turn) it stands in that
    turn's place. Without either it begins a conversation.
    """

    model_config = ConfigDict(extra="forbid")

    message: Text
    checkpoint_ids: Annotated[list[UUID], Field(max_length=rules.MOST_MODELS)] = []
    writers: Annotated[list[AskedBody], Field(max_length=rules.MOST_MODELS)] = []
    reward_checkpoint_ids: Annotated[list[UUID], Field(max_length=rules.MOST_JUDGES)] = []
    system: Annotated[str | None, StringConstraints(max_length=100_000)] = None
    after: UUID | None = None
    instead_of: UUID | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.8
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_new_tokens: Annotated[int, Field(ge=1, le=4096)] = 256
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        asked = self.all_writers()
        if not 1 <= len(asked) <= rules.MOST_MODELS or (self.writers and self.checkpoint_ids):
            raise ValueError("name one or two models, in checkpoint_ids or in writers")
        if any(each in asked[:place] for place, each in enumerate(asked)):
            raise ValueError("choose two different models, or one alone")
        if self.after is not None and self.instead_of is not None:
            raise ValueError("name `after` or `instead_of`, not both")
        return self

    def all_writers(self) -> list[AskedBody]:
        return [*(AskedBody(checkpoint=its) for its in self.checkpoint_ids), *self.writers]

    def settings(self) -> dict[str, Any]:
        return self.model_dump(include={"temperature", "top_p", "max_new_tokens", "seed"})


class AskForm(BaseModel):
    """The same as a browser sends it; a model is a checkpoint's id, or `endpoint:` and an id."""

    message: str = ""
    first: str = ""
    second: str = ""
    reward: list[str] = []
    system: str = ""
    after: str = ""
    instead_of: str = ""
    temperature: str = "0.8"
    top_p: str = "1"
    max_new_tokens: str = "256"
    seed: str = "42"

    def body(self) -> AskBody:
        given = self.model_dump(exclude={"first", "second", "reward"})
        return AskBody.model_validate(
            {key: value for key, value in given.items() if value != ""}
            | {
                "writers": [_writer(each) for each in (self.first, self.second) if each],
                "reward_checkpoint_ids": self.reward,
            }
        )


def _writer(given: str) -> dict[str, str]:
    kind, _, its = given.rpartition(":")
    return {kind or "checkpoint": its}


class ReplyBody(BaseModel):
    """A reply that a person typed, to be read and scored."""

    text: Text


class TokenOut(BaseModel):
    """A token and how likely it was, at temperature 1; `top` are the likeliest in its place.

    `rank` is null where an endpoint does not tell it.
    """

    text: str
    logp: float
    rank: int | None
    top: list[tuple[str, float]]
    end: bool = False
    control: bool = False


class ReadingOut(BaseModel):
    """What another model makes of the answer; `by` is its name."""

    checkpoint_id: str | None
    by: str
    kind: ReadingKind
    is_done: bool
    figures: dict[str, Any]
    error: str | None


class AnswerOut(BaseModel):
    id: str
    source: str
    name: str
    checkpoint_id: str | None
    endpoint_id: str | None
    state: JobState
    text: str
    why_ended: str | None
    figures: dict[str, Any]
    error: str | None
    readings: list[ReadingOut]


class TurnOut(BaseModel):
    id: str
    conversation_id: str
    message: str
    settings: dict[str, Any]
    state: JobState
    task_id: str | None
    created_at: datetime
    answers: list[AnswerOut]


class ViewOut(BaseModel):
    """The tokens of an answer as one model sees them."""

    by: str
    is_writer: bool
    perplexity: float | None
    tokens: list[TokenOut]


class TokensOut(BaseModel):
    items: list[ViewOut]


class SentOut(BaseModel):
    """The task that the answers became; `is_new` is false when it was there before."""

    task_id: str
    prompt_id: str
    is_new: bool
