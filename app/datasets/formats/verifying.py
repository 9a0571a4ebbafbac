"""Whether a dataset folder is still what was frozen: every file, and the rows in it."""

import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from app.artifacts import digest
from app.datasets.formats.files import WrittenFile
from app.datasets.formats.manifest import identity
from app.datasets.rules.identity import Split, canonical_json
from app.datasets.rules.rows import ConfigName

_PIECE = 1 << 20
_NOT_LISTED = frozenset({"manifest.json", ".gitattributes"})


class NotAsFrozen(Exception):
    """What is wrong with a folder, as a sentence that names the file."""


@dataclass(frozen=True, slots=True)
class Verified:
    files: int
    rows: int
    identity: str


def verify(folder: Path) -> Verified:
    """Check every file against the manifest; `NotAsFrozen` at the first that differs."""
    manifest = _manifest(folder)
    written, rows = [], 0
    for entry in manifest["files"]:
        path = _checked(folder, entry)
        if "content_sha256" in entry:
            file = _contents(path, entry)
            written.append(file)
            rows += file.rows
    listed = {entry["path"] for entry in manifest["files"]} | _NOT_LISTED
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in listed:
            raise NotAsFrozen(
                f"{name} is not in the manifest: it was not there when it was frozen."
            )
    if identity(written, recipe=manifest["recipe"]) != manifest["identity"]:
        raise NotAsFrozen(
            "manifest.json names an identity that its files and its recipe do not have."
        )
    return Verified(len(manifest["files"]), rows, manifest["identity"])


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    if not path.is_file():
        raise NotAsFrozen(f"{folder} has no manifest.json, so it is no dataset folder.")
    try:
        manifest = json.loads(path.read_bytes())
        entries = [(entry["path"], entry["bytes"], entry["sha256"]) for entry in manifest["files"]]
        whole = {"identity", "recipe"} <= manifest.keys()
    except (ValueError, KeyError, TypeError) as error:
        raise NotAsFrozen("manifest.json is damaged: it cannot be read.") from error
    if not whole or any(_leads_out(str(path)) for path, _, _ in entries):
        raise NotAsFrozen("manifest.json is damaged: it is not as Touchstone writes it.")
    return dict(manifest)


def _leads_out(path: str) -> bool:
    return ".." in PurePosixPath(path).parts or PurePosixPath(path).is_absolute() or "\\" in path


def _checked(folder: Path, entry: Mapping[str, Any]) -> Path:
    path = folder / str(entry["path"])
    if not path.is_file():
        raise NotAsFrozen(f"{entry['path']} is missing.")
    size = path.stat().st_size
    if size != entry["bytes"]:
        raise NotAsFrozen(
            f"{entry['path']} has {size:,} bytes, and {entry['bytes']:,} when it was frozen."
        )
    if digest(path) != entry["sha256"]:
        raise NotAsFrozen(f"{entry['path']} was changed: its SHA-256 is not that of the manifest.")
    return path


def _contents(path: Path, entry: Mapping[str, Any]) -> WrittenFile:
    """The file with the hash of its rows, however they are packed."""
    try:
        rows, content = (_of_parquet if path.suffix == ".parquet" else _of_lines)(path)
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        raise NotAsFrozen(f"{entry['path']} cannot be unpacked.") from error
    if (rows, content) != (entry["rows"], entry["content_sha256"]):
        raise NotAsFrozen(f"The rows of {entry['path']} are not those that the manifest names.")
    return WrittenFile(
        ConfigName(entry["config"]), Split(entry["split"]), entry["path"], rows, content
    )


def _of_lines(path: Path) -> tuple[int, str]:
    rows, content = 0, hashlib.sha256()
    with gzip.open(path, "rb") as lines:
        unpacked: IO[bytes] = lines  # type: ignore[assignment]
        while piece := unpacked.read(_PIECE):
            rows += piece.count(b"\n")
            content.update(piece)
    return rows, content.hexdigest()


def _of_parquet(path: Path) -> tuple[int, str]:
    rows, content = 0, hashlib.sha256()
    for batch in pq.ParquetFile(path).iter_batches(batch_size=1_000):
        for row in batch.to_pylist():
            rows += 1
            content.update(canonical_json(row) + b"\n")
    return rows, content.hexdigest()
