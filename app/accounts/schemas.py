"""What people type into the forms of their accounts."""

from typing import Annotated

from pydantic import BaseModel, EmailStr, Field, StringConstraints

from app.accounts.models import Role

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]
Password = Annotated[str, Field(max_length=1024)]  # the rules say what is too short, in words


class SignInForm(BaseModel):
    email: Annotated[str, StringConstraints(strip_whitespace=True, max_length=320)]
    password: Password
    next: str = "/"


class NewPersonForm(BaseModel):
    """Of the set-up and invitation pages."""

    name: Name
    email: EmailStr
    password: Password


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
