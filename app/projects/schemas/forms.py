"""What the forms of the pages send, as people type it."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, EmailStr, Field, StringConstraints

from app.accounts.models import Role
from app.projects.schemas import (
    Cost,
    Currency,
    Description,
    Limit,
    Markdown,
    Note,
    SharePercent,
    storable,
)


def empty_is_none(value: object) -> object:
    """A field of a form that was left empty."""
    return None if isinstance(value, str) and not value.strip() else value


def number_as_typed(value: object) -> object:
    """A number as people type it: `12,50` as well as `12.50`; nothing is None."""
    return value.strip().replace(",", ".") or None if isinstance(value, str) else value


FormLimit = Annotated[Limit | None, BeforeValidator(empty_is_none)]


class InvitationForm(BaseModel):
    email: EmailStr
    role: Role


class ProjectForm(BaseModel):
    """The settings as the pages show them: shares in percent, criteria a line each."""

    name: Annotated[str, StringConstraints(max_length=200)] = ""
    description: Description = ""
    criteria: Annotated[str, StringConstraints(max_length=2_000)] = ""
    strength_levels: Annotated[int, Field(ge=0, le=4)] = 3
    allow_ties: bool = False
    overlap_min: Annotated[int, Field(ge=1, le=100)] = 2
    overlap_max: Annotated[int, Field(ge=1, le=100)] = 1
    confidence_percent: Annotated[int | None, Field(ge=51, le=99)] = None
    gold_percent: Annotated[int, Field(ge=0, le=50)] = 10
    gold_threshold_percent: Annotated[int, Field(ge=0, le=100)] = 70
    lease_minutes: Annotated[int, Field(ge=1, le=1440)] = 30
    repeat_percent: Annotated[int, Field(ge=0, le=20)] = 3
    daily_limit: FormLimit = None
    total_limit: FormLimit = None
    largest_share: Annotated[SharePercent | None, BeforeValidator(empty_is_none)] = None
    cost_per_hour: Annotated[Cost | None, BeforeValidator(number_as_typed)] = None
    cost_per_judgement: Annotated[Cost | None, BeforeValidator(number_as_typed)] = None
    currency: Currency = ""
    qualification_size: Annotated[int, Field(ge=0, le=200)] = 0
    qualification_percent: Annotated[int, Field(ge=1, le=100)] = 80
    qualification_attempts: Annotated[int, Field(ge=1, le=20)] = 2
    qualification_wait_hours: Annotated[int, Field(ge=0, le=8_760)] = 24
    guidelines: Markdown = ""


class SettingsForm(ProjectForm):
    """The settings of a project that is there, on the way to being saved.

    `reviewed` is the edition of the settings whose effects were shown; `edit`: back to the form.
    """

    reviewed: str = ""
    edit: bool = False


def _plain_newlines(text: str) -> str:
    return text.replace("\r\n", "\n")


class GuidelinesForm(BaseModel):
    """A form sends a line's end as two signs: who changes nothing makes no new version by it.

    `examples` as JSON where a page only carries them on; in the editor each has fields of its own.
    """

    text: Annotated[Markdown, AfterValidator(_plain_newlines)]
    version: int
    note: Annotated[Note, BeforeValidator(_plain_newlines)] = ""
    is_clarification: bool = False
    examples: Annotated[str, StringConstraints(max_length=2_000_000)] = ""
    edit: bool = False


class MemberForm(BaseModel):
    role: Role


class PauseForm(BaseModel):
    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] = ""


class TermsForm(BaseModel):
    """What a member may judge, as the page has it: tags behind commas."""

    expertise: Annotated[str, StringConstraints(max_length=2_000), AfterValidator(storable)] = ""
    languages: Annotated[str, StringConstraints(max_length=2_000), AfterValidator(storable)] = ""
    daily_limit: FormLimit = None
    total_limit: FormLimit = None


class PauseProjectForm(BaseModel):
    paused: bool | None = None


class ReadForm(BaseModel):
    """Which version was on the screen; without it the current one is meant."""

    version: int | None = None
