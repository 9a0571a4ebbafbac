"""Commands about a person's privacy: erase her, say where her work went, hand out her data."""

import sys
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from app.cli.terminal import connected, fail

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.accounts.models import User
    from app.privacy.schemas import Scope
    from app.projects.models import Project

Who = Annotated[
    str,
    typer.Argument(
        metavar="PERSON", help="E-mail or id; “Person 17” for somebody who has been erased."
    ),
]
OfProject = Annotated[str | None, typer.Option(help="Only in the project with this name.")]


def add_to(user: typer.Typer) -> None:
    """They are commands of `touchstone user`."""
    user.command("erase")(erase_user)
    user.command("traces")(show_traces)
    user.command("export")(export_user)


def erase_user(
    person: Who,
    *,
    judgements: Annotated[
        bool, typer.Option("--judgements", help="Also everything that was judged.")
    ] = False,
    texts: Annotated[bool, typer.Option("--texts", help="Also the texts: rationales, notes.")] = (
        False
    ),
    keep_identity: Annotated[
        bool, typer.Option("--keep-identity", help="Not who it is: the account stays.")
    ] = False,
    project: OfProject = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; else it is only said.")] = False,
) -> None:
    """Erase who a person is, and on request what was judged and written. There is no way back.

    With --project the account stays. Without --yes nothing is done: it says what would go.
    """
    from app.db import database_now, transaction
    from app.privacy import service
    from app.privacy.schemas import Scope

    identity = project is None and not keep_identity
    if not (identity or judgements or texts):
        fail("Name what is to be erased: --judgements or --texts.")
    with connected(), transaction() as session:
        hers = _person(session, person)
        where = _project(session, project)
        scope = Scope(
            identity=identity,
            judgements=judgements,
            texts=texts,
            project_id=where.id if where else None,
        )
        print(_would(session, hers, scope, where))
        if not yes:
            print("Nothing was done. Say --yes to do it; there is no way back.")
            return
        done = service.erase(session, user=hers, scope=scope, by=None, now=database_now(session))
        marked = done.counts["snapshots"]
        print(
            f"Done: {done.counts['judgements']:,} judgements and {done.counts['texts']:,} texts "
            f"went; {marked:,} snapshots hold them still. Now called {hers.name} ({hers.id})."
        )
        print("Backups made before now still hold everything: delete them, or renew them.")


def _would(session: "Session", person: "User", scope: "Scope", project: "Project | None") -> str:
    from app.privacy import service

    there = service.reach(session, user=person, project=project)
    where = f"in “{project.name}”" if project else "everywhere"
    lines = [f"Of {person.name} ({person.email or person.kind}) {where} goes:"]
    if scope.identity:
        lines.append("- who it is: name, address, password, keys, settings, messages")
    if scope.judgements:
        lines.append(f"- {there.judgements:,} judgements; {there.opened:,} tasks open again")
    if scope.texts:
        lines.append(f"- {there.texts:,} rationales and rewrites, notes, reasons, appeals")
    if scope.identity and not scope.judgements:
        lines.append(f"What stays: {there.judgements:,} judgements, under a number.")
    return "\n".join(lines)


def show_traces(person: Who, *, project: OfProject = None) -> None:
    """Say which snapshots hold a person's work, and which models learned from it."""
    from app.db import transaction
    from app.privacy import service

    with connected(), transaction() as session:
        hers = _person(session, person)
        traced = service.trace(session, user=hers, project=_project(session, project))
        for each, name, number in traced.projects:
            print("\t".join(["project", str(each.id), each.name, name, f"{number} judgements"]))
        for snapshot, number in traced.snapshots:
            marks = [
                word
                for word, is_so in (
                    ("holds erased work", snapshot.erased_at and not snapshot.files_removed_at),
                    ("files removed", snapshot.files_removed_at),
                )
                if is_so
            ]
            held = f"{number} judgements"
            print("\t".join(["snapshot", str(snapshot.id), snapshot.name, held, *marks]))
        for run in traced.runs:
            how = "directly" if run.id in traced.direct else "from another model"
            print("\t".join(["run", str(run.id), run.name, how]))
        for checkpoint in traced.checkpoints:
            written = f"{traced.responses.get(checkpoint.id, 0)} responses written"
            print("\t".join(["checkpoint", str(checkpoint.id), checkpoint.name, written]))
        if not traced.projects and not traced.snapshots:
            sys.stderr.write(f"There is no judgement of {hers.name}, here or in a snapshot.\n")


def export_user(person: Who, *, project: OfProject = None) -> None:
    """Print all that is stored about a person, as JSON lines."""
    from app.db import database_now, transaction
    from app.privacy.formats.own_data import own_data

    with connected(), transaction() as session:
        where = _project(session, project)
        hers = _person(session, person)
        for line in own_data(session, user=hers, project=where, now=database_now(session)):
            sys.stdout.write(line)


def _person(session: "Session", named: str) -> "User":
    from app.accounts import queries
    from app.accounts.models import User
    from app.errors import NotFound

    found = queries.user_by_email(session, named)
    if found is None:
        erased = queries.erased_people(session)
        found = next((each for each in erased if each.name.lower() == named.strip().lower()), None)
    if found is None:
        try:
            found = session.get(User, UUID(named))
        except ValueError:
            found = None
    if found is None:
        raise NotFound(
            f"There is nobody called {named}. Take an e-mail (`touchstone user list`), an id, or "
            "“Person 17”."
        )
    return found


def _project(session: "Session", name: str | None) -> "Project | None":
    from sqlalchemy import func, select

    from app.errors import NotFound
    from app.projects.models import Project

    if name is None:
        return None
    project = session.scalar(select(Project).where(func.lower(Project.name) == name.lower()))
    if project is None:
        raise NotFound(f"There is no project {name!r}. `touchstone project list` has all.")
    return project
