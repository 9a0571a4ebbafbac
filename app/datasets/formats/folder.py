"""A frozen dataset folder to be read from: in the artifact store, or anywhere on this machine."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, BinaryIO

from app import artifacts
from app.datasets.rules.identity import Split
from app.datasets.rules.rows import ConfigName
from app.db import JsonObject
from app.errors import Invalid, NotFound

MANIFEST = "manifest.json"
_LINEAGE = b'"annotations": {\n'  # the key on a line of its own: in a text the line would go on
_ENTRY = re.compile(rb'^"([0-9a-f]{64})":')
_MOST_HEAD = 64_000_000  # bytes before the lineage: guidelines and refused rows
_FIELDS = ("id", "annotator", "guidelines_version")


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file of a folder."""

    config: ConfigName
    split: Split
    path: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Folder:
    """What was frozen. `head`: the manifest without the judgements; `lineage_at`: their place.

    `key` names the folder for caches: what was frozen never changes.
    """

    key: str
    open: Callable[[str], BinaryIO]
    head: JsonObject = field(hash=False)
    lineage_at: int

    @property
    def files(self) -> list[DataFile]:
        return [
            DataFile(
                ConfigName(file["config"]),
                Split(file["split"]),
                str(file["path"]),
                int(file["rows"]),
                int(file["bytes"]),
            )
            for file in self.head["files"]
            if "config" in file
        ]

    def file(self, config: ConfigName, split: Split) -> DataFile | None:
        return next(
            (file for file in self.files if file.config is config and file.split is split), None
        )

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def fields(self) -> Sequence[str]:
        """What the lineage says of each judgement, in this order."""
        return tuple(self.head["lineage"].get("annotation_fields", _FIELDS))


_HEADS: dict[str, tuple[JsonObject, int]] = {}  # by the key of a folder that never changes
_MOST_KEPT = 32


def stored_folder(path: str) -> Folder:
    """A folder of the artifact store."""

    def open_inside(name: str) -> BinaryIO:
        return artifacts.open_file(f"{path}/{name}")

    if path not in _HEADS:
        with open_inside(MANIFEST) as manifest:
            head = read_head(manifest)
        while len(_HEADS) >= _MOST_KEPT:
            _HEADS.pop(next(iter(_HEADS)))
        _HEADS[path] = head
    return Folder(path, open_inside, *_HEADS[path])


def local_folder(path: Path) -> Folder:
    """A folder on this machine, as `snapshot --output` or an unpacked archive left it."""

    def open_inside(name: str) -> BinaryIO:
        inside = (path / name).resolve()
        if not inside.is_relative_to(path.resolve()):
            raise Invalid(f"The manifest of {path} names a file outside the folder.")
        return inside.open("rb")

    if not (path / MANIFEST).is_file():
        raise NotFound(f"{path} has no {MANIFEST}; name the folder of a snapshot.")
    with open_inside(MANIFEST) as manifest:
        head, lineage_at = read_head(manifest)
    return Folder(str(path.resolve()), open_inside, head, lineage_at)


def read_head(manifest: IO[bytes]) -> tuple[JsonObject, int]:
    """(the manifest without its judgements, where these begin)."""
    head: list[bytes] = []
    size = 0
    for line in manifest:
        size += len(line)
        if line.endswith(_LINEAGE) and not line.strip(b" \n").startswith(b'"annotations": {}'):
            break
        head.append(line)
        if size > _MOST_HEAD:
            raise Invalid("The manifest is not one that Touchstone writes: its head has no end.")
    text = b"".join(head).rstrip()
    try:
        found: Any = json.loads(text.removesuffix(b",") + b"\n }\n}" if text[-1:] == b"," else text)
        if not {"files", "recipe", "lineage", "counts", "quality"} <= found.keys():
            raise Invalid("The manifest is not one that Touchstone writes.")
    except (ValueError, AttributeError) as error:
        raise Invalid(f"The manifest cannot be read: {error}.") from error
    return found, size


Entry = dict[str, Any]  # of one judgement: id, annotator, guidelines_version


def lineage(folder: Folder) -> Iterator[tuple[str, bytes]]:
    """(prompt id, its judgements as they are written), in the order of the ids."""
    with folder.open(MANIFEST) as manifest:
        manifest.seek(folder.lineage_at)
        for line in manifest:
            found = _ENTRY.match(line)
            if found is None:
                return
            yield found[1].decode(), line[found.end() :]


def judgements(folder: Folder, written: bytes) -> list[Entry]:
    return [
        dict(zip(folder.fields, values, strict=False))
        for values in json.loads(written.rstrip().removesuffix(b","))
    ]


def judgements_of(folder: Folder, prompt_id: str) -> list[Entry]:
    """What the manifest names behind one prompt; one line per prompt, found by halving the file."""
    wanted = prompt_id.encode()
    with folder.open(MANIFEST) as manifest:
        low, high = folder.lineage_at, manifest.seek(0, 2)
        while low < high:  # the line wanted begins at or after `low`, if before `high`
            middle = (low + high) // 2
            begin, line = _line_at_or_after(manifest, middle, floor=folder.lineage_at)
            found = _ENTRY.match(line)
            if begin >= high or found is None or found[1] >= wanted:
                high = middle
            else:
                low = begin + len(line)
        _, line = _line_at_or_after(manifest, low, floor=folder.lineage_at)
    found = _ENTRY.match(line)
    if found is None or found[1] != wanted:
        return []
    return judgements(folder, line[found.end() :])


def _line_at_or_after(file: BinaryIO, at: int, *, floor: int) -> tuple[int, bytes]:
    """The first whole line that begins at `at` or later, and where it does."""
    if at <= floor:
        file.seek(floor)
        return floor, file.readline()
    file.seek(at - 1)
    begin = at - 1 + len(file.readline())  # what is left of the line before
    return begin, file.readline()


@contextmanager
def opened(folder: Folder, path: str) -> Iterator[BinaryIO]:
    with folder.open(path) as file:
        yield file
