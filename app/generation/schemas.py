"""What comes in and goes out over HTTP about new responses (contract §3)."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from app.db import JobState
from app.runs.schemas import Body


class GenerationBody(Body):
    """`POST /projects/{id}/generations`: `n` new responses to each prompt, opened as tasks.

    `include_existing` adds so many responses that the prompt has already, so that people compare
    the new ones with them.
    """

    checkpoint_id: UUID
    n: Annotated[int, Field(ge=1, le=8)] = 4
    include_existing: Annotated[int, Field(ge=0, le=4)] = 0
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.8
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_new_tokens: Annotated[int, Field(ge=1, le=4096)] = 128
    max_prompts: Annotated[int | None, Field(ge=1)] = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42

    @model_validator(mode="after")
    def _makes_a_task(self) -> Self:
        if not 2 <= self.n + self.include_existing <= 10:
            raise ValueError(
                "a task has 2 to 10 responses: raise n, or include_existing, or lower them"
            )
        if self.temperature == 0 and self.n > 1:
            raise ValueError(
                "at temperature 0 every response to a prompt is the same: raise it, or set n to 1"
            )
        return self


class GenerationForm(BaseModel):
    """The form for new responses as a browser sends it."""

    checkpoint_id: str
    n: str = "2"
    include_existing: str = "1"
    temperature: str = "0.8"
    top_p: str = "1"
    max_new_tokens: str = "128"
    max_prompts: str = ""
    seed: str = "42"

    def body(self) -> GenerationBody:
        return GenerationBody.model_validate(
            {key: value for key, value in self.model_dump().items() if value != ""}
        )


class GenerationOut(BaseModel):
    id: str
    project_id: str
    checkpoint_id: str
    state: JobState
    attempt: int
    config: dict[str, Any]
    done: int
    total: int
    tasks_opened: int
    error: str | None
    created_at: datetime
    finished_at: datetime | None
