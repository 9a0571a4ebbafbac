"""What comes in and goes out over HTTP about new responses (contract §3)."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from app.db import JobState
from app.generation.rules import MOST, MOST_WRITERS
from app.projects.schemas import Name, storable
from app.runs.schemas import Body, ModelName

Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Text = Annotated[str, StringConstraints(max_length=20_000), AfterValidator(storable)]
KeyName = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{0,59}$")]


def several(given: Any) -> Any:
    """“0.4, 0.8” of a form as two numbers."""
    if isinstance(given, str):
        return [each for each in re.split(r"[,;\s]+", given) if each]
    return given if isinstance(given, list | tuple) else [given]


Several = Annotated[list[Temperature], Field(min_length=1, max_length=MOST)]
Temperatures = Annotated[Several, BeforeValidator(several)]

_ONE, _SEVERAL = TypeAdapter(Temperature), TypeAdapter(Several)


def one_or_several(given: Any) -> Any:
    """Checked here, as the one or as the other: a union would complain of both, by their types."""
    return (_SEVERAL if isinstance(given, list) else _ONE).validate_python(given)


OneOrSeveral = Annotated[
    Temperature | Several, Field(union_mode="left_to_right"), BeforeValidator(one_or_several)
]


class WriterBody(Body):
    """A source of responses: a checkpoint of the project, or an endpoint by its name or id.

    A list of temperatures: the first response is at the first, the second at the second, and so
    on. `system` takes the place of the prompt's own system prompt.
    """

    checkpoint_id: UUID | None = None
    endpoint: Name | None = None
    n: Annotated[int, Field(ge=1, le=MOST)] = 2
    temperature: OneOrSeveral = 0.8
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_new_tokens: Annotated[int, Field(ge=1, le=4096)] = 128
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42
    system: Text | None = None

    @property
    def temperatures(self) -> list[float]:
        return self.temperature if isinstance(self.temperature, list) else [self.temperature]

    @model_validator(mode="after")
    def _differs(self) -> Self:
        if (self.checkpoint_id is None) == (self.endpoint is None):
            raise ValueError("a writer is a checkpoint_id or an endpoint, one of the two")
        each = [self.temperatures[place % len(self.temperatures)] for place in range(self.n)]
        if each.count(0) > 1:
            raise ValueError(
                "at temperature 0 every response to a prompt is the same: raise it, or set n to 1"
            )
        return self


class Selection(Body):
    """Which prompts are written to.

    `tags` and `sources` say which can be; `sources` gives each source's share ("" is none named).
    `by`: `random` draws; `novelty` takes those farthest from what was judged; `uncertainty` writes
    to `oversample` times as many and keeps those of whose responses the reward model is least sure.
    A share `control` is drawn by lot all the same and shows whether choosing pays.
    """

    by: Literal["random", "novelty", "uncertainty"] = "random"
    tags: list[Name] = Field(max_length=50, default_factory=list)
    sources: dict[Text, Share] = Field(max_length=50, default_factory=dict)
    unjudged: bool = False
    control: Annotated[float, Field(ge=0, le=0.9)] = 0.2
    reward_checkpoint_id: UUID | None = None
    oversample: Annotated[float, Field(ge=1, le=10)] = 3.0

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.by == "uncertainty" and self.reward_checkpoint_id is None:
            raise ValueError("choosing by uncertainty needs a reward_checkpoint_id that scores")
        if self.sources and not any(self.sources.values()):
            raise ValueError("one source at least needs a share above 0")
        return self


class GenerationBody(Body):
    """`POST /projects/{id}/generations`: new responses to each prompt, opened as one task.

    One writer stands in the body itself (`checkpoint_id` or `endpoint`, `n`, `temperature`, …), up
    to four in `writers`. `include_existing` adds so many responses that the prompt has already, so
    that people compare the new ones with them.
    """

    checkpoint_id: UUID | None = None
    endpoint: Name | None = None
    n: Annotated[int, Field(ge=1, le=MOST)] = 4
    temperature: OneOrSeveral = 0.8
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_new_tokens: Annotated[int, Field(ge=1, le=4096)] = 128
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42
    system: Text | None = None
    writers: list[WriterBody] = Field(max_length=MOST_WRITERS, default_factory=list)
    include_existing: Annotated[int, Field(ge=0, le=4)] = 0
    max_prompts: Annotated[int | None, Field(ge=1, le=10_000_000)] = None
    select: Selection = Field(default_factory=Selection)

    @model_validator(mode="after")
    def _makes_a_task(self) -> Self:
        try:
            new = sum(each.n for each in self.all_writers())
        except ValidationError as error:  # of the one writer in the body itself
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
        if new > MOST:
            raise ValueError(f"all writers together write {MOST} responses to a prompt at most")
        if not 2 <= new + self.include_existing <= 10:
            raise ValueError(
                "a task has 2 to 10 responses: raise n, or include_existing, or lower them"
            )
        if self.select.by != "random" and self.max_prompts is None:
            raise ValueError("say how many prompts are wanted (max_prompts), to choose among them")
        return self

    def all_writers(self) -> list[WriterBody]:
        if not self.writers:
            own = self.model_dump(include=set(WriterBody.model_fields))
            return [WriterBody.model_validate(own)]
        if self.checkpoint_id is not None or self.endpoint is not None:
            raise ValueError("name the writers in writers, or one in the body itself, not both")
        return self.writers

    def config(self) -> dict[str, Any]:
        """What is kept beside the writers; of a single one its settings, too."""
        kept = {"include_existing", "max_prompts", "seed", "select"}
        if not self.writers:
            kept |= {"n", "temperature", "top_p", "max_new_tokens"}
        return self.model_dump(mode="json", include=kept)


class EndpointBody(Body):
    """`POST /projects/{id}/endpoints`: an OpenAI-compatible server.

    `key_name`: the key is the variable TOUCHSTONE_ENDPOINT_KEY_<key_name> of web and worker.
    """

    name: Annotated[
        str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]{0,59}$")
    ]
    base_url: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=500),
        AfterValidator(storable),
    ]
    model: ModelName
    key_name: KeyName | None = None
    at_once: Annotated[int, Field(ge=1, le=32)] = 4


class EndpointForm(BaseModel):
    name: str = ""
    base_url: str = ""
    model: str = ""
    key_name: str = ""
    at_once: str = "4"

    def body(self) -> EndpointBody:
        given = {key: value for key, value in self.model_dump().items() if value.strip()}
        return EndpointBody.model_validate(given)


class TryForm(BaseModel):
    prompt: str = "Say hello in one sentence."


class WriterRow(BaseModel):
    """One writer of the form, as a browser sends it; `who` is checkpoint:ID or endpoint:ID."""

    who: str = ""
    n: str = "2"
    temperature: str = "0.8"
    top_p: str = "1"
    max_new_tokens: str = "128"
    seed: str = "42"
    system: str = ""

    def given(self) -> dict[str, Any]:
        kind, _, its = self.who.partition(":")
        found: dict[str, Any] = {
            key: value for key, value in self.model_dump(exclude={"who"}).items() if value.strip()
        }
        if "temperature" in found:
            found["temperature"] = several(found["temperature"])
        return found | {"checkpoint_id" if kind == "checkpoint" else "endpoint": its}


class GenerationForm(BaseModel):
    """The form for new responses; the fields of its writers are `writers.0.n`, ….

    `checkpoint_id` with `n` and so on in the form itself is one writer.
    """

    model_config = ConfigDict(extra="allow")

    checkpoint_id: str = ""
    include_existing: str = "0"
    max_prompts: str = ""
    by: str = "random"
    tags: list[str] = []
    unjudged: bool = False
    control: str = "20"
    reward_checkpoint_id: str = ""
    oversample: str = "3"
    then: str = ""  # a button that changes the rows instead of starting

    def rows(self) -> list[WriterRow]:
        """The writers, in order; rows that were taken away leave gaps."""
        found: dict[int, dict[str, Any]] = {}
        for key, value in (self.model_extra or {}).items():
            parts = key.split(".")
            if len(parts) == 3 and parts[0] == "writers" and parts[1].isdigit():
                found.setdefault(int(parts[1]), {})[parts[2]] = value
        if not found:
            single = {k: v for k, v in (self.model_extra or {}).items() if "." not in k}
            who = f"checkpoint:{self.checkpoint_id}" if self.checkpoint_id else ""
            return [WriterRow.model_validate(single | {"who": who})]
        return [WriterRow.model_validate(found[number]) for number in sorted(found)]

    def shares(self) -> dict[str, str]:
        """The share of each source that was filled in."""
        return {
            key.removeprefix("share."): value
            for key, value in (self.model_extra or {}).items()
            if key.startswith("share.") and str(value).strip()
        }

    def body(self) -> GenerationBody:
        select: dict[str, Any] = {
            "by": self.by,
            "tags": self.tags,
            "sources": self.shares(),
            "unjudged": self.unjudged,
        }
        if self.by != "random":
            select["control"] = _part(self.control)
        if self.by == "uncertainty":
            select |= {
                "reward_checkpoint_id": self.reward_checkpoint_id or None,
                "oversample": self.oversample,
            }
        given: dict[str, Any] = {
            "writers": [each.given() for each in self.rows()],
            "include_existing": self.include_existing or "0",
            "select": select,
        }
        if given["writers"] and given["writers"][0].get("seed"):
            given["seed"] = given["writers"][0]["seed"]  # another seed draws other prompts, too
        if self.max_prompts.strip():
            given["max_prompts"] = self.max_prompts
        return GenerationBody.model_validate(given)


def _part(percent: str) -> Any:
    """20 of a form is 0.2; what is no number is told by the schema."""
    try:
        return float(percent) / 100
    except ValueError:
        return percent


class WriterOut(BaseModel):
    checkpoint_id: str | None
    endpoint_id: str | None
    name: str
    source: str
    n: int
    temperatures: list[float]
    top_p: float
    max_new_tokens: int
    seed: int
    system: str | None


class GenerationOut(BaseModel):
    id: str
    project_id: str
    checkpoint_id: str | None
    writers: list[WriterOut]
    state: JobState
    attempt: int
    config: dict[str, Any]
    done: int
    total: int
    tasks_opened: int
    progress: dict[str, Any]
    error: str | None
    created_at: datetime
    finished_at: datetime | None


class GenerationPage(BaseModel):
    items: list[GenerationOut]
    next_cursor: str | None


class EndpointOut(BaseModel):
    """What is known of an endpoint: never its key, only whether there is one."""

    id: str
    project_id: str
    name: str
    base_url: str
    model: str
    key_name: str | None
    has_key: bool
    at_once: int
    created_at: datetime
    removed_at: datetime | None


class EndpointPage(BaseModel):
    items: list[EndpointOut]
    next_cursor: str | None


class CountOut(BaseModel):
    """How many prompts a selection could take."""

    prompts: int
    by_source: dict[str, int]
