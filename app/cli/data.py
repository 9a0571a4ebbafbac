"""Commands that bring data in and out."""

import contextlib
import json
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.terminal import connected, fail, progress

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.accounts.models import User
    from app.corpus.models import Import
    from app.projects.models import Project

MOST_LINES = 20  # refused lines that are shown

project = typer.Typer(help="Bodies of work.", no_args_is_help=True)
ProjectName = Annotated[str, typer.Argument(metavar="PROJECT", help="Its name or id.")]


def add_to(app: typer.Typer) -> None:
    app.add_typer(project, name="project")
    app.command("import")(import_files)
    app.command()(snapshot)


@project.command("create")
def create_project(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the new project.")],
    *,
    owner: Annotated[
        str | None,
        typer.Option(metavar="EMAIL", help="Its first admin; without it the installation's first."),
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="JSON or TOML with the body of POST /projects."),
    ] = None,
) -> None:
    """Make a project and print its id."""
    body = {"name": name} | (read_table(settings) if settings else {})
    from app.db import transaction
    from app.projects import service
    from app.projects.schemas import ProjectBody

    checked = ProjectBody.model_validate(body)
    with connected(), transaction() as session:
        made = service.create(session, by=owner_of(session, owner), body=checked)
        print(made.id)


@project.command("list")
def list_projects() -> None:
    """List the projects: id and name."""
    from sqlalchemy import select

    from app.db import transaction
    from app.projects.models import Project

    with connected(), transaction() as session:
        for found in session.scalars(select(Project).order_by(Project.created_at)):
            print(f"{found.id}\t{found.name}")


def import_files(
    project: ProjectName,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Plain or .gz.")],
    *,
    format: Annotated[  # noqa: A002 # the option's name
        str, typer.Option(help="auto finds it out; touchstone, hh-rlhf, trl, prompts, …")
    ] = "auto",
    skip_bad_lines: Annotated[
        bool,
        typer.Option("--skip-bad-lines", help="Take the good lines of a file that has bad ones."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Only say what would come in and what would be refused (then exit 1).",
        ),
    ] = False,
) -> None:
    """Bring prompts, responses and judgements into a project; importing again adds nothing."""
    for file in files:
        if not file.is_file():
            fail(f"There is no file {file}.")
    from app.db import JobState, transaction
    from app.worker.imports import import_file

    has_failed = False
    with connected():
        with transaction() as session:
            project_id = project_of(session, project).id
        for file in files:
            with progress(f"Reading {file.name}") as report:
                done = import_file(
                    project_id=project_id,
                    file=file,
                    format=format,
                    skip_bad_lines=skip_bad_lines,
                    dry_run=dry_run,
                    report=report,
                )
            print_import(file, done)
            has_failed = has_failed or done.state is not JobState.SUCCEEDED
            has_failed = has_failed or (dry_run and done.rows_rejected > 0)
    if has_failed:
        sys.exit(1)


def print_import(file: Path, done: "Import") -> None:
    """How a file fared: a line on standard output, what was refused on standard error."""
    for error in done.errors[:MOST_LINES]:
        sys.stderr.write(f"{file}:{error['line']}: {error['message']}\n")
    if done.rows_rejected > MOST_LINES:
        sys.stderr.write(f"… and {done.rows_rejected - MOST_LINES:,} more refused lines\n")
    if done.error:
        sys.stderr.write(f"touchstone: {file}: {done.error}\n")
    came = "would be imported" if done.dry_run else "imported"
    print(
        f"{file}: {done.format}, {done.rows_imported:,} {came}, {done.rows_skipped:,} already "
        f"there, {done.rows_rejected:,} refused"
    )
    if done.dry_run:
        print_findings(file, done)


def print_findings(file: Path, done: "Import") -> None:
    """What a check has seen: what would come in, and what is perhaps not meant."""
    brings = {name: count for name, count in done.report.get("brings", {}).items() if count}
    if brings:
        print(f"{file}: would bring {', '.join(f'{n:,} {name}' for name, n in brings.items())}")
    for warning in done.report.get("warnings", []):
        where = f" (line {', '.join(f'{n}' for n in warning['lines'])})" if warning["lines"] else ""
        rows = f"{warning['rows']:,} rows: " if warning["rows"] else ""
        print(f"{file}: note: {rows}{warning['message']}{where}")


def snapshot(
    project: ProjectName,
    *,
    recipe: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The recipe, as JSON or TOML.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A new folder to copy the files to.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the snapshot.")] = None,
) -> None:
    """Freeze the project's judgements into a dataset."""
    table = read_table(recipe) if recipe else {}
    from app.datasets.schemas import Recipe
    from app.db import transaction
    from app.worker.snapshots import freeze_now

    checked = Recipe.model_validate(table)
    with connected(), progress("Freezing") as report:
        with transaction() as session:
            project_id = project_of(session, project).id
        done = 0

        def beat() -> None:
            nonlocal done
            done += 1
            report(done)

        made = freeze_now(
            project_id=project_id, recipe=checked, name=name, output=output, beat=beat
        )
    print(f"{made.id}\t{made.name}" + (f"\t{output}" if output else ""))


def project_of(session: "Session", name: str) -> "Project":
    """By id or by name."""
    from uuid import UUID

    from sqlalchemy import func, select

    from app.errors import NotFound
    from app.projects.models import Project

    matches = func.lower(Project.name) == name.strip().lower()
    with contextlib.suppress(ValueError):
        matches = Project.id == UUID(name)
    found = session.scalar(select(Project).where(matches))
    if found is None:
        raise NotFound(f"There is no project {name!r}. `touchstone project list` has all.")
    return found


def owner_of(session: "Session", email: str | None) -> "User":
    """The named person, or the first admin of the installation."""
    from app.accounts import queries
    from app.accounts.models import Role
    from app.cli.people import person_of
    from app.errors import NotFound

    if email is not None:
        return person_of(session, email)
    admins = [
        person
        for person in queries.people(session)
        if person.role is Role.ADMIN and person.disabled_at is None
    ]
    if not admins:
        raise NotFound(
            "There is no admin yet. Make one with `touchstone user create EMAIL --role admin`."
        )
    return min(admins, key=lambda person: person.created_at)


def read_table(file: Path) -> dict[str, Any]:
    """The object in a JSON or TOML file."""
    text = file.read_text()
    try:
        found = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
    except ValueError as error:
        fail(f"{file} is not valid {'TOML' if file.suffix == '.toml' else 'JSON'}: {error}.")
    if not isinstance(found, dict):
        fail(f"{file} must hold one object, with names and values.")
    return found
