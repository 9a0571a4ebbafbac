"""Where the store is, and what lies in it."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem

from app.config import settings
from app.errors import Conflict, Invalid, NotFound


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a stored folder: its path inside that folder, size and SHA-256."""

    path: str
    bytes: int
    sha256: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Held:
    """What a folder of the store holds. `newest`: when the last of its files was written."""

    files: int
    bytes: int
    newest: datetime | None


class Damaged(Conflict):
    title = "A stored file is damaged"

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} in the artifact store is not what was stored: somebody or something changed"
            " it. Bring the artifact store back from a backup, or make the file again."
        )


def digest(file: Path) -> str:
    """SHA-256 of a file, in hex."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def folder_digest(files: Iterable[StoredFile]) -> str:
    """One SHA-256 for a folder: over its sorted file names and their hashes."""
    lines = sorted(f"{file.path}\t{file.sha256}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def exists(path: str) -> bool:
    filesystem, root = store()
    return bool(filesystem.exists(f"{root}/{inside(path)}"))


def folders(path: str) -> list[str]:
    """Names of the folders directly inside `path`; none where it is missing."""
    filesystem, root = store()
    try:
        found = filesystem.ls(f"{root}/{inside(path)}", detail=True)
    except FileNotFoundError:
        return []
    return [
        PurePosixPath(each["name"].rstrip("/")).name
        for each in found
        if each["type"] == "directory"
    ]


def files(path: str) -> list[str]:
    """Names of all files in `path`, also in folders further down; none where it is missing."""
    filesystem, root = store()
    target = f"{root}/{inside(path)}"
    try:
        return sorted(each.removeprefix(f"{target}/") for each in filesystem.find(target))
    except FileNotFoundError:
        return []


def held(path: str) -> Held:
    """How many files lie in a folder, how large they are, and when the newest was written."""
    filesystem, root = store()
    target = f"{root}/{inside(path)}"
    try:
        found = filesystem.find(target, detail=True).values()
    except FileNotFoundError:
        return Held(0, 0, None)
    times = [_when(each) for each in found]
    return Held(
        len(times),
        sum(int(each["size"] or 0) for each in found),
        max((time for time in times if time is not None), default=None),
    )


def _when(found: dict[str, Any]) -> datetime | None:
    """The time of a file, as each kind of store tells it."""
    time = found.get("LastModified") or found.get("mtime") or found.get("created")
    if isinstance(time, int | float):
        return datetime.fromtimestamp(time, UTC)
    if isinstance(time, datetime):
        return time if time.tzinfo else time.replace(tzinfo=UTC)
    return None


def modified_at(path: str) -> datetime | None:
    """When a stored file was written; None where it is missing."""
    filesystem, root = store()
    try:
        modified: datetime = filesystem.modified(f"{root}/{inside(path)}")
    except FileNotFoundError:
        return None
    return modified if modified.tzinfo else modified.replace(tzinfo=UTC)


def remove(path: str) -> None:
    """Take a file or folder out of the store; nothing happens where there is none."""
    filesystem, root = store()
    target = f"{root}/{inside(path)}"
    if filesystem.exists(target):
        filesystem.rm(target, recursive=True)


def remove_beside(path: str) -> None:
    """Take out what stands beside the folder `path`: what earlier attempts had not registered."""
    where, _, name = path.rpartition("/")
    for other in folders(where):
        if other != name:
            remove(f"{where}/{other}")


def local_path(path: str) -> Path | None:
    """Where `path` lies on this machine's disk, or None for a store that is elsewhere."""
    filesystem, root = store()
    if not isinstance(filesystem, LocalFileSystem):
        return None
    return Path(root) / inside(path) if path else Path(root)


def missing(path: str) -> NotFound:
    return NotFound(
        f"{path} is missing in the artifact store. Was it moved or deleted by hand? Bring it"
        " back from a backup, or make it again."
    )


def store() -> tuple[Any, str]:
    """The file system and the root of the store in it.

    fsspec keeps one file system per process and settings; listings are never kept, for other
    processes write to the store as well.
    """
    url = settings.artifacts_url
    if url.startswith("file://"):  # fsspec leaves %20 as it is
        parts = urlsplit(url)
        return LocalFileSystem(), str(Path(unquote(parts.netloc + parts.path)).absolute())
    try:
        filesystem, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise Invalid(
            f"The artifact store {url} cannot be used: {error}. Check TOUCHSTONE_ARTIFACTS."
        ) from error
    return filesystem, str(root).rstrip("/")


def inside(path: str) -> str:
    """`path` where it stays inside the store; `Invalid` where it would leave it."""
    parts = PurePosixPath(path).parts
    if path.startswith("/") or "\\" in path or "\0" in path or ".." in parts:
        raise Invalid("A path in the artifact store is relative and never goes up.")
    return "/".join(parts)
