"""`touchstone compare`: what two frozen datasets differ in."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.terminal import connected, fail, progress

if TYPE_CHECKING:
    from app.datasets.formats.folder import Folder
    from app.datasets.formats.told import ConfigTold

ENDINGS = (".jsonl", ".csv")
_COLUMNS = ("before", "after", "same", "changed", "came", "went")
What = Annotated[str, typer.Argument(metavar="DIR_OR_ID", help="A snapshot's folder, or its id.")]


def add_to(app: typer.Typer) -> None:
    app.command()(compare)


def compare(
    before: What,
    after: What,
    *,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A new .jsonl or .csv file for every difference."),
    ] = None,
) -> None:
    """Say what came, went and changed between two snapshots; folders need no database."""
    if output is not None and (output.suffix not in ENDINGS or output.exists()):
        fail(f"{output} must be a new file that ends in .jsonl or .csv.")
    with contextlib.ExitStack() as stack:
        if not all(Path(name).is_dir() for name in (before, after)):
            stack.enter_context(connected())
        old, new = (_folder(name) for name in (before, after))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        summary = _compared(old, new, folder)
        _print(summary, old, new, names=(before, after))
        if output is not None:
            _write(output, folder, summary)


def _folder(name: str) -> "Folder":
    from uuid import UUID

    from app.datasets.formats.folder import local_folder, stored_folder
    from app.datasets.models import Snapshot
    from app.db import transaction

    if Path(name).is_dir():
        return local_folder(Path(name))
    try:
        snapshot_id = UUID(name)
    except ValueError:
        fail(f"{name} is neither a folder nor the id of a snapshot.")
    with transaction() as session:
        snapshot = session.get(Snapshot, snapshot_id)
        if snapshot is None:
            fail(f"There is no snapshot {name}.")
        if snapshot.path is None:
            fail(f"“{snapshot.name}” is {snapshot.state} and has no files.")
        return stored_folder(snapshot.path)


def _compared(old: "Folder", new: "Folder", folder: Path) -> dict[str, Any]:
    from app.datasets.service.comparing import compare as run

    total = old.rows + new.rows
    with progress("Comparing", total) as report:
        return run(old, new, output=folder, beat=lambda done: report(min(done, total)))


def _print(
    summary: dict[str, Any], old: "Folder", new: "Folder", *, names: tuple[str, str]
) -> None:
    from app.datasets.formats.told import configs_told, headline, moves
    from app.datasets.rules.settings import changed_settings

    told = configs_told(summary, before=names[0], after=names[1])
    print(headline(told))
    moved = moves(told)
    if moved:
        print(f"Careful: {moved}")
    for setting in changed_settings(old.head["recipe"], new.head["recipe"]):
        print(f"  {setting.key}: {setting.before} → {setting.after}")
    width = max(len(config.config) for config in told)
    print(" " * width + "".join(f"{name:>11}" for name in _COLUMNS))
    for config in told:
        numbers = (getattr(config, name) for name in _COLUMNS)
        print(f"{config.config:{width}}" + "".join(f"{number:>11,}" for number in numbers))
    for config in told:
        for line in _details(config):
            print(f"  {config.config}: {line}")


def _details(config: "ConfigTold") -> Iterator[str]:
    for _, words, rows in config.what:
        yield f"{rows:,} {words}"
    for kind, reasons in config.why.items():
        for reason in reasons:
            yield f"{reason.rows:,} {kind}: {reason.text}"


def _write(output: Path, folder: Path, summary: dict[str, Any]) -> None:
    from app.datasets.formats.differences import local_differences
    from app.datasets.formats.tables import csv_pieces, jsonl_pieces
    from app.datasets.service.looking import every_difference

    found = every_difference(local_differences(folder), summary)
    pieces = csv_pieces(found) if output.suffix == ".csv" else jsonl_pieces(found)
    with output.open("xb") as file:
        for piece in pieces:
            file.write(piece)
    print(f"{output}: every difference")
