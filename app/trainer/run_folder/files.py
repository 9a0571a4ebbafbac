"""Files that a reader never sees half written."""

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from app.trainer.failures import BadInput


def read_config(folder: Path) -> dict[str, Any]:
    """The settings that a run folder was begun with.

    Raises:
        BadInput: when the file is no longer what it was.

    """
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        found = error
    if not isinstance(found, dict):
        raise BadInput(
            f"{folder / 'config.json'} cannot be read, so that the run cannot be resumed. Remove "
            "it and give all settings again, or choose another --output."
        )
    return found


def finite(value: float) -> float | None:
    return value if value == value and abs(value) != float("inf") else None  # noqa: PLR0124


def append(path: Path, row: Mapping[str, Any]) -> None:
    """One JSON line, on disk before the next step; NaN becomes null, which JSON has."""
    plain = {k: finite(v) if isinstance(v, float) else v for k, v in row.items()}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(plain, ensure_ascii=False) + "\n")


def keep_upto(path: Path, step: int) -> None:
    """Drop lines after `step`, and a last line that was cut off (be it inside a character)."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_bytes().split(b"\n"):
        try:
            within = json.loads(line)["step"] <= step
        except (ValueError, TypeError, KeyError):  # somebody else wrote it
            continue
        if within:
            kept.append(line.decode() + "\n")
    write_whole(path, "".join(kept))


@contextlib.contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `folder` when all went well, and else goes.

    Whatever kills the process, `tidy` finds the old one or the new one.
    """
    partial, old = (folder.with_name(f".{folder.name}.{end}") for end in ("partial", "old"))
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def discard(folder: Path) -> None:
    """Remove a folder; half of one is never taken for the whole."""
    partial = folder.with_name(f".{folder.name}.partial")
    folder.rename(partial)
    shutil.rmtree(partial)


def tidy(parent: Path) -> None:
    """Put back what `replaced` had moved aside and remove what was half written, after a kill."""
    for old in parent.glob(".*.old"):
        folder = parent / old.name[1:].removesuffix(".old")
        if folder.exists():
            shutil.rmtree(old)
        else:
            old.rename(folder)
    for partial in parent.glob(".*.partial"):
        if partial.is_dir():
            shutil.rmtree(partial)
        else:
            partial.unlink()


def write_whole(path: Path, text: str) -> None:
    """Replace a file in one move, so that a reader sees the old or the new one."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
