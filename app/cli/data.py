"""Commands that bring data in and out."""

import contextlib
import json
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.cli.terminal import connected, fail, progress, whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from sqlalchemy.orm import Session

    from app.accounts.models import User
    from app.corpus.models import Import
    from app.datasets.schemas import Recipe
    from app.projects.models import Project

MOST_LINES = 20  # refused lines that are shown

project = typer.Typer(help="Bodies of work.", no_args_is_help=True)
ProjectName = Annotated[str, typer.Argument(metavar="PROJECT", help="Its name or id.")]


def add_to(app: typer.Typer) -> None:
    app.add_typer(project, name="project")
    app.command("import")(import_files)
    app.command()(snapshot)
    app.command("export")(export_project)
    app.command()(verify)


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
        typer.Option(
            metavar="FILE",
            help="JSON or TOML with the body of POST /projects, as `export --settings` writes it.",
        ),
    ] = None,
) -> None:
    """Make a project and print its id."""
    body = (read_table(settings) if settings else {}) | {"name": name}
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
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="JSON lines or a JSON list, plain or .gz; CSV; Parquet."
        ),
    ],
    *,
    format: Annotated[  # noqa: A002 # the option's name
        str,
        typer.Option(
            help="auto finds it out from the content. Otherwise: touchstone, prompts, hh-rlhf, "
            "trl, ultrafeedback, shp, webgpt, oasst, pku-saferlhf, arena, argilla, label-studio; "
            "csv and parquet are ways to write any of them."
        ),
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
    from app.worker.memory import collect_rarely, take_short_turns

    collect_rarely()
    take_short_turns()
    has_failed = False
    with connected():
        with transaction() as session:
            project_id = project_of(session, project).id
        for file in files:
            with progress(f"Reading {file.name}", total=100) as report:
                done = import_file(
                    project_id=project_id,
                    file=file,
                    format=format,
                    skip_bad_lines=skip_bad_lines,
                    dry_run=dry_run,
                    report=by_share(file.stat().st_size, report),
                )
            print_import(file, done)
            has_failed = has_failed or done.state is not JobState.SUCCEEDED
            has_failed = has_failed or (dry_run and done.rows_rejected > 0)
    if has_failed:
        sys.exit(1)


def by_share(size: int, report: Callable[..., None]) -> Callable[[int, int], None]:
    """Tell `report` the bytes of a file that are read as its share of a hundred, and the rows."""

    def told(read: int, rows: int) -> None:
        report(100 * min(read, size) / max(size, 1), note=f"% ({rows:,} rows)")

    return told


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
        named = (
            f"{n:,} {name.removesuffix('s') if n == 1 else name}" for name, n in brings.items()
        )
        print(f"{file}: would bring {', '.join(named)}")
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
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only print what the recipe would give and leave out."),
    ] = False,
) -> None:
    """Freeze the project's judgements into a dataset."""
    table = read_table(recipe) if recipe else {}
    from app.datasets.queries import number_of_prompts
    from app.db import transaction
    from app.worker.memory import collect_rarely, take_short_turns
    from app.worker.snapshots import freeze_now

    collect_rarely()
    take_short_turns()
    checked = checked_recipe(table, recipe)
    with connected(), progress("Counting" if dry_run else "Freezing") as report:
        with transaction() as session:
            found = project_of(session, project)
            project_id, total = found.id, number_of_prompts(session, project=found)
        done = 0

        def beat() -> None:
            nonlocal done
            done += 1
            report(min(done, total), total=total)

        if dry_run:
            print_counts(project_id, checked, beat)
            return
        made = freeze_now(
            project_id=project_id, recipe=checked, name=name, output=output, beat=beat
        )
    print(f"{made.id}\t{made.name}" + (f"\t{output}" if output else ""))


def checked_recipe(table: dict[str, Any], file: Path | None) -> "Recipe":
    """The settings of a recipe; a wrong one is named, with what it may be."""
    from pydantic import ValidationError

    from app.datasets.formats.problems import field_problems
    from app.datasets.schemas import Recipe

    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        problems = field_problems(error)
        fail(
            f"{file}: " + "; ".join(f"{name}: {what}" if name else what for name, what in problems)
        )


def print_counts(project_id: "UUID", recipe: "Recipe", beat: "Callable[[], None]") -> None:
    """What the recipe would give: a line on standard output for each thing that is counted."""
    from app.datasets import service
    from app.datasets.formats.summary import summary
    from app.datasets.queries import see_one_moment
    from app.datasets.rules.warnings import warnings
    from app.db import transaction
    from app.errors import found
    from app.projects.models import Project

    with transaction() as session:
        see_one_moment(session)
        project = found(session.get(Project, project_id))
        seen = service.count_all(session, project=project, recipe=recipe, beat=lambda _: beat())
    said = summary(seen.counts, seen.quality)
    print(said.headline)
    print(said.agreement)
    for config in said.configs:
        print(f"{config.name}\t{config.train:,} train\t{config.test:,} test")
    for line in said.left_out:
        print(f"left out: {line}")
    for warning in warnings(
        seen.counts, seen.quality, recipe=recipe.as_json(), open_tasks=seen.open_tasks
    ):
        sys.stderr.write(f"warning: {warning}\n")


def export_project(
    project: ProjectName,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A new file; compressed if it ends in .gz.")
    ],
    *,
    annotators: Annotated[
        Literal["pseudonyms", "names"],
        typer.Option(help="What the people who judged are called in it."),
    ] = "pseudonyms",
    settings: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also a new file with the settings and all versions of the guidelines, for "
            "`project create NAME --settings FILE`.",
        ),
    ] = None,
) -> None:
    """Write a whole project, judgements and gold included; import brings it back elsewhere."""
    for each in [file, *([settings] if settings else [])]:
        if each.exists():
            fail(f"{each} is there already. Name a new file: nothing is overwritten.")
        if not each.parent.is_dir():
            fail(f"There is no folder {each.parent}.")
    from app.datasets.schemas import Annotators
    from app.datasets.service import export_project as write_project
    from app.db import transaction
    from app.projects.service import settings_of

    # Half of a project is no export of it, nor are its settings without it.
    beside = whole(settings) if settings else contextlib.nullcontext()
    with connected(), progress("Exporting") as report, beside:
        with transaction() as session:
            found = project_of(session, project)
            project_id = found.id
            if settings:
                said = settings_of(session, project=found).model_dump_json(indent=2)
                settings.write_text(said + "\n", encoding="utf-8")
        done = 0

        def beat() -> None:
            nonlocal done
            done += 1
            report(done)

        with whole(file):
            lines = write_project(
                project_id=project_id, file=file, annotators=Annotators(annotators), beat=beat
            )
    print(f"{file}: {lines:,} line{'' if lines == 1 else 's'}")


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A dataset folder.")],
) -> None:
    """Check that a dataset folder is as it was frozen: each file, and the rows in it."""
    from app.datasets.formats.verifying import NotAsFrozen
    from app.datasets.formats.verifying import verify as verified

    if not folder.is_dir():
        fail(f"There is no folder {folder}.")
    try:
        found = verified(folder)
    except NotAsFrozen as error:
        sys.stderr.write(f"touchstone: {folder}: {error}\n")
        sys.exit(1)
    print(f"{folder}: {found.files} files, {found.rows:,} rows, identity {found.identity}")


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
    try:
        text = file.read_text(encoding="utf-8-sig")  # some editors begin with a byte order mark
        found = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
    except UnicodeDecodeError:
        fail(f"{file} is not UTF-8. Save it as UTF-8.")
    except ValueError as error:
        fail(f"{file} is not valid {'TOML' if file.suffix == '.toml' else 'JSON'}: {error}.")
    if not isinstance(found, dict):
        fail(f"{file} must hold one object, with names and values.")
    return found
