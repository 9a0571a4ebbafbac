"""The artifact store: the files of imports, snapshots, runs and checkpoints under one URL.

`settings.artifacts_url` names it (`file://…`, `s3://…`, anything `fsspec` knows). A path in the
store is relative, with forward slashes, and never leaves the store. What is registered in the
database is never written again: each attempt of a job has a folder of its own.
"""

import fcntl
import hashlib
import io
import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem

from app.config import settings
from app.errors import Conflict, Invalid, NotFound

READ_ONLY = 0o444
FRESH = 60  # seconds in which a new workspace may not be held yet


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a stored folder: its path inside that folder, size and SHA-256."""

    path: str
    bytes: int
    sha256: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def digest(file: Path) -> str:
    """SHA-256 of a file, in hex."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def folder_digest(files: Iterable[StoredFile]) -> str:
    """One SHA-256 for a folder: over its sorted file names and their hashes."""
    lines = sorted(f"{file.path}\t{file.sha256}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@contextmanager
def workspace() -> Iterator[Path]:
    """An empty folder on this machine, gone at the end.

    Beside a local store it lies inside it, so that `put_folder` is a rename: a folder is in its
    place whole or not at all.
    """
    local = local_path("")
    parent = None
    if local is not None:
        parent = local / ".work"
        parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix="touchstone-") as folder:
        held = os.open(folder, os.O_RDONLY)  # until this process ends, however it does
        with suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
        try:
            yield Path(folder)
        finally:
            os.close(held)


def remove_abandoned_workspaces() -> int:
    """Remove the workspaces of processes that were killed; answers how many there were."""
    local = local_path("")
    removed = 0
    for folder in (local / ".work").glob("touchstone-*") if local is not None else ():
        with suppress(OSError):  # somebody holds it, or it is gone
            if time.time() - folder.stat().st_mtime > FRESH and _is_abandoned(folder):
                shutil.rmtree(folder)
                removed += 1
    return removed


def _is_abandoned(folder: Path) -> bool:
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(held)
    return True


def folders(path: str) -> list[str]:
    """Names of the folders directly inside `path`; none where it is missing."""
    filesystem, root = _store()
    try:
        found = filesystem.ls(f"{root}/{_inside(path)}", detail=True)
    except FileNotFoundError:
        return []
    return [
        PurePosixPath(each["name"].rstrip("/")).name
        for each in found
        if each["type"] == "directory"
    ]


def modified_at(path: str) -> datetime | None:
    """When a stored file was written; None where it is missing."""
    filesystem, root = _store()
    try:
        modified: datetime = filesystem.modified(f"{root}/{_inside(path)}")
    except FileNotFoundError:
        return None
    return modified if modified.tzinfo else modified.replace(tzinfo=UTC)


def put_folder(folder: Path, *, to: str, read_only: bool = False) -> list[StoredFile]:
    """Store everything inside `folder` as the folder `to`, and say what it was, sorted by path.

    `folder` may be gone afterwards. Raises `Conflict` where `to` exists: nothing is replaced.
    `read_only`: on a local disk nobody may write to its files, so that no slip changes them.
    """
    files = [
        StoredFile(path.relative_to(folder).as_posix(), path.stat().st_size, digest(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    if exists(to):
        raise Conflict(f"{to} is already in the artifact store, and what is stored never changes.")
    local = local_path(to)
    if local is None:
        filesystem, root = _store()
        for file in files:
            target = f"{root}/{_inside(to)}/{file.path}"
            filesystem.makedirs(target.rpartition("/")[0], exist_ok=True)
            filesystem.put_file(str(folder / file.path), target)
        return sorted(files, key=lambda file: file.path)
    for file in files:
        if read_only:
            (folder / file.path).chmod(READ_ONLY)
        _flush_to_disk(folder / file.path)
    local.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(folder, local)
    _flush_to_disk(local.parent)
    return sorted(files, key=lambda file: file.path)


def put_file(file: Path, *, to: str) -> StoredFile:
    """Store one file as `to`. `file` may be gone afterwards; an existing one is never replaced."""
    stored = StoredFile(to, file.stat().st_size, digest(file))
    if exists(to):
        raise Conflict(f"{to} is already in the artifact store, and what is stored never changes.")
    local = local_path(to)
    if local is None:
        filesystem, root = _store()
        filesystem.put_file(str(file), f"{root}/{_inside(to)}")
        return stored
    _flush_to_disk(file)
    local.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(file, local)
    _flush_to_disk(local.parent)
    return stored


def open_file(path: str) -> BinaryIO:
    """A stored file, to be read as bytes; `NotFound` where it is missing."""
    filesystem, root = _store()
    try:
        return cast("BinaryIO", filesystem.open(f"{root}/{_inside(path)}", "rb"))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise _missing(path) from error


def chunks(
    path: str, *, start: int = 0, stop: int | None = None, size: int = 1 << 20
) -> Iterator[bytes]:
    """The bytes of a stored file, or those from `start` up to `stop`, piece by piece.

    The file is opened before the first piece.
    """
    content = open_file(path)

    def pieces() -> Iterator[bytes]:
        with content:
            content.seek(start)
            left = size if stop is None else stop - start
            while piece := content.read(min(size, left)):
                left -= 0 if stop is None else len(piece)
                yield piece

    return pieces()


def stored_bytes(path: str) -> int:
    """How long a stored file is; `NotFound` where it is missing."""
    filesystem, root = _store()
    try:
        return int(filesystem.size(f"{root}/{_inside(path)}"))
    except (FileNotFoundError, TypeError) as error:
        raise _missing(path) from error


def check_whole(folder: str, files: Iterable[StoredFile]) -> None:
    """Raise where a registered file is missing or has another length than it had."""
    for file in files:
        path = f"{folder}/{file.path}"
        if stored_bytes(path) != file.bytes:
            raise Damaged(path)


def unharmed(pieces: Iterable[bytes], *, path: str, sha256: str) -> Iterator[bytes]:
    """The pieces of a whole file; the last is held back until all are as they were stored.

    Whoever reads them gets a file that ends too early rather than one that is wrong.
    """
    content = hashlib.sha256()
    held = b""
    for piece in pieces:
        content.update(piece)
        if held:
            yield held
        held = piece
    if content.hexdigest() != sha256:
        raise Damaged(path)
    if held:
        yield held


class Damaged(Conflict):
    title = "A stored file is damaged"

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} in the artifact store is not what was stored: somebody or something changed"
            " it. Bring the artifact store back from a backup, or make the file again."
        )


class _Pipe(io.RawIOBase):
    """What a zip writes, until it is taken."""

    def __init__(self) -> None:
        self.waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]
        self.waiting += piece
        return len(piece)

    def take(self) -> bytes:
        piece = bytes(self.waiting)
        self.waiting.clear()
        return piece


def zipped(folder: str, files: Iterable[str]) -> Iterator[bytes]:
    """A zip of these files of a stored folder, piece by piece; always the same bytes.

    Nothing is compressed: data files are already, and weights do not shrink. `NotFound` where the
    folder is missing is raised at once, before anything is sent.
    """
    if not exists(folder):
        raise _missing(folder)
    return _zip_pieces((file, chunks(f"{folder}/{file}")) for file in files)


def zipped_whole(folder: str, files: Sequence[StoredFile]) -> Iterator[bytes]:
    """The same of registered files, which must be as they were stored."""
    check_whole(folder, files)
    paths = [f"{folder}/{file.path}" for file in files]
    return _zip_pieces(
        (file.path, unharmed(chunks(path), path=path, sha256=file.sha256))
        for path, file in zip(paths, files, strict=True)
    )


def zip_bytes(files: Iterable[StoredFile]) -> int | None:
    """How long the zip of these files is; None for one so large that its layout changes."""
    total = _ZIP_END
    for file in files:
        total += _ZIP_ENTRY + 2 * len(file.path.encode()) + file.bytes
    return total if total < zipfile.ZIP64_LIMIT else None


_ZIP_ENTRY = 30 + 20 + 24 + 46  # header, its 64-bit sizes, what follows the content, in the index
_ZIP_END = 22


def _zip_pieces(files: Iterable[tuple[str, Iterator[bytes]]]) -> Iterator[bytes]:
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for file, pieces in files:
            entry = zipfile.ZipInfo(file, date_time=(1980, 1, 1, 0, 0, 0))  # the zip epoch
            entry.external_attr = 0o644 << 16
            with archive.open(entry, "w", force_zip64=True) as content:
                for piece in pieces:
                    content.write(piece)
                    yield pipe.take()
    yield pipe.take()


def exists(path: str) -> bool:
    filesystem, root = _store()
    return bool(filesystem.exists(f"{root}/{_inside(path)}"))


def remove(path: str) -> None:
    """Take a file or folder out of the store; nothing happens where there is none."""
    filesystem, root = _store()
    target = f"{root}/{_inside(path)}"
    if filesystem.exists(target):
        filesystem.rm(target, recursive=True)


def remove_beside(path: str) -> None:
    """Take out what stands beside the folder `path`: what earlier attempts had not registered."""
    inside, _, name = path.rpartition("/")
    for other in folders(inside):
        if other != name:
            remove(f"{inside}/{other}")


def local_path(path: str) -> Path | None:
    """Where `path` lies on this machine's disk, or None for a store that is elsewhere."""
    filesystem, root = _store()
    if not isinstance(filesystem, LocalFileSystem):
        return None
    return Path(root) / _inside(path) if path else Path(root)


@contextmanager
def local_folder(path: str) -> Iterator[Path]:
    """A stored folder as one on this machine, to be read only: itself, or a copy for the while."""
    if not exists(path):
        raise _missing(path)
    local = local_path(path)
    if local is not None:
        yield local
        return
    filesystem, root = _store()
    with workspace() as folder:
        copy = folder / "copy"
        filesystem.get(f"{root}/{_inside(path)}", str(copy), recursive=True)
        yield copy


def _missing(path: str) -> NotFound:
    return NotFound(
        f"{path} is missing in the artifact store. Was it moved or deleted by hand? Bring it"
        " back from a backup, or make it again."
    )


def _store() -> tuple[Any, str]:
    """The file system and the root of the store in it."""
    url = settings.artifacts_url
    if url.startswith("file://"):  # fsspec leaves %20 as it is
        parts = urlsplit(url)
        return LocalFileSystem(), str(Path(unquote(parts.netloc + parts.path)).absolute())
    try:
        filesystem, root = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise Invalid(
            f"The artifact store {url} cannot be used: {error}. Check TOUCHSTONE_ARTIFACTS."
        ) from error
    return filesystem, str(root).rstrip("/")


def _inside(path: str) -> str:
    """`path` where it stays inside the store; `Invalid` where it would leave it."""
    parts = PurePosixPath(path).parts
    if path.startswith("/") or "\\" in path or "\0" in path or ".." in parts:
        raise Invalid("A path in the artifact store is relative and never goes up.")
    return "/".join(parts)


def _flush_to_disk(path: Path) -> None:
    """What the database calls stored must survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
