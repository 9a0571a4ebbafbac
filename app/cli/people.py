"""Commands about people and their keys. Whoever may run them owns the machine."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.terminal import connected, fail

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.accounts.models import User

ROLES = ("admin", "reviewer", "annotator", "viewer")
Email = Annotated[str, typer.Argument(metavar="EMAIL", help="Address the person signs in with.")]

user = typer.Typer(help="People of this installation.", no_args_is_help=True)
token = typer.Typer(help="Keys for programs.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    app.add_typer(user, name="user")
    app.add_typer(token, name="token")


@user.command("create")
def create_user(
    email: Email,
    *,
    role: Annotated[str, typer.Option(help="admin, reviewer, annotator or viewer.")],
    name: Annotated[
        str | None, typer.Option(help="What others call her; without it the front of the address.")
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
) -> None:
    """Make a person; without a password, print the link where she sets her own."""
    role, email = checked_role(role), checked_email(email)
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
    if password == "":
        fail("--password-stdin was given, but there was nothing on standard input.")
    from app.accounts import service
    from app.accounts.models import Role
    from app.config import settings
    from app.db import database_now, transaction
    from app.supervisor import running_url

    with connected(), transaction() as session:
        if password is not None:
            service.create_user(
                session,
                email=email,
                name=name or email.partition("@")[0],
                role=Role(role),
                password=password,
            )
        else:
            key = service.invite(
                session, email=email, role=Role(role), by=None, now=database_now(session)
            )
    if password is not None:
        print(f"{email} can sign in now, as {role}.")
        return
    where = settings.public_url or running_url(settings.home_path) or "http://127.0.0.1:8000"
    print(f"{where.rstrip('/')}/invitation/{key}")


@user.command("list")
def list_users() -> None:
    """List everybody who can sign in, or was invited."""
    from app.accounts import queries
    from app.db import transaction

    with connected(), transaction() as session:
        for person in queries.people(session):
            state = "disabled" if person.disabled_at else ""
            state = state or ("" if person.password_hash else "invited")
            print("\t".join([person.email or "", person.role, person.name, state]).rstrip())


@user.command("disable")
def disable_user(email: Email) -> None:
    """Shut a person out at once; what she judged stays."""
    from app.accounts import service
    from app.db import database_now, transaction

    with connected(), transaction() as session:
        person = person_of(session, email)
        service.disable(session, user=person, by=None, now=database_now(session))
    print(f"{email} is signed out everywhere and cannot sign in any more.")


@token.command("create")
def create_token(
    *,
    user: Annotated[str, typer.Option(metavar="EMAIL", help="Whose rights the token has.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="read or write; may be repeated. All without it.")
    ] = None,
    expires: Annotated[
        int | None, typer.Option(min=1, max=3650, metavar="DAYS", help="Days until it ends.")
    ] = None,
    name: Annotated[str, typer.Option(help="What it is for.")] = "command line",
) -> None:
    """Make an API token and print it, once."""
    from app.accounts import service
    from app.db import database_now, transaction

    with connected(), transaction() as session:
        key = service.create_token(
            session,
            user=person_of(session, user),
            name=name,
            now=database_now(session),
            days=expires,
            scopes=scope,
        )
    print(key)


def checked_role(role: str) -> str:
    if role not in ROLES:
        fail(f"There is no role {role!r}. Take admin, reviewer, annotator or viewer.")
    return role


def checked_email(email: str) -> str:
    from pydantic import EmailStr, TypeAdapter, ValidationError

    try:
        return TypeAdapter(EmailStr).validate_python(email.strip())
    except ValidationError:
        fail(f"{email!r} is no e-mail address.")


def person_of(session: "Session", email: str) -> "User":
    from app.accounts import queries
    from app.errors import NotFound

    person = queries.user_by_email(session, email)
    if person is None:
        raise NotFound(f"There is nobody with the address {email}. `touchstone user list` has all.")
    return person
