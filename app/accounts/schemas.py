"""What people type into the forms of their accounts."""

from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    EmailStr,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic_core import ErrorDetails

from app.accounts.models import Role
from app.errors import Invalid

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]
Password = Annotated[str, Field(max_length=1024)]  # the rules say what is too short, in words


class SignInForm(BaseModel):
    email: Annotated[str, StringConstraints(strip_whitespace=True, max_length=320)]
    password: Password
    next: str = "/"


class JoiningForm(BaseModel):
    """Of the set-up and invitation pages, as it was typed."""

    name: str = ""
    email: str = ""
    password: Password = ""


class NewPerson(BaseModel):
    """What such a form must say."""

    name: Name
    email: EmailStr
    password: Password

    @classmethod
    def of(cls, form: JoiningForm) -> "NewPerson":
        """Raise `Invalid`, in words for whoever has typed it."""
        try:
            return cls.model_validate(form, from_attributes=True)
        except ValidationError as error:
            raise Invalid(" ".join(_in_words(item) for item in error.errors())) from None


def _in_words(item: ErrorDetails) -> str:
    if item["loc"] == ("email",):
        return f"This is no e-mail address: {item['ctx']['reason']}"
    return "Fill in your name, with at most 120 characters."


class PasswordForm(BaseModel):
    current: Password
    new: Password


class TokenForm(BaseModel):
    name: Name
    days: Annotated[int, Field(ge=1, le=3650)] = 90
    read_only: bool = False


class BreaksForm(BaseModel):
    after: Annotated[int, Field(ge=0, le=90)]


class InvitationForm(BaseModel):
    email: EmailStr
    role: Role = Role.ANNOTATOR


Action = Annotated[str, StringConstraints(pattern=r"^[a-z][A-Za-z]{0,39}$")]
KeyName = Annotated[str, StringConstraints(min_length=1, max_length=24)]


class RankingPreferences(BaseModel):
    """`PUT /me/preferences`: her own keys by action, where they are not the usual ones."""

    model_config = ConfigDict(extra="forbid")

    keys: Annotated[
        dict[Action, Annotated[list[KeyName], Field(max_length=4)]], Field(max_length=60)
    ] = {}
    single_keys: bool = True  # off: nothing happens without Ctrl or the mouse (WCAG 2.1.4)
    submit_at_once: bool = False  # of a pair: the choice is the answer
