"""Reading what is stored, and checking that it is what was stored."""

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from fsspec.spec import AbstractBufferedFile

from app.artifacts.store import (
    Damaged,
    StoredFile,
    digest,
    exists,
    inside,
    local_path,
    missing,
    store,
)
from app.artifacts.workspaces import workspace


def open_file(path: str) -> BinaryIO:
    """A stored file, to be read as bytes; `NotFound` where it is missing."""
    filesystem, root = store()
    try:
        content = filesystem.open(f"{root}/{inside(path)}", "rb")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise missing(path) from error
    if isinstance(content, AbstractBufferedFile):  # its readline() knows no limit
        content = io.BufferedReader(cast("io.RawIOBase", content), 1 << 16)
    return cast("BinaryIO", content)


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
    filesystem, root = store()
    try:
        return int(filesystem.size(f"{root}/{inside(path)}"))
    except (FileNotFoundError, TypeError) as error:
        raise missing(path) from error


def check_whole(folder: str, files: Iterable[StoredFile]) -> None:
    """Raise where a registered file is missing or has another length than it had."""
    for file in files:
        path = f"{folder}/{file.path}" if folder else file.path
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


@contextmanager
def local_folder(path: str, *, files: Sequence[StoredFile] | None = None) -> Iterator[Path]:
    """A stored folder as one on this machine, to be read only: itself, or a copy for the while.

    With the `files` that were registered, each must be there as it was stored, byte by byte.
    """
    if not exists(path):
        raise missing(path)
    local = local_path(path)
    if local is not None:
        _compare(local, files or (), path=path)
        yield local
        return
    filesystem, root = store()
    with workspace() as folder:
        copy = folder / "copy"
        filesystem.get(f"{root}/{inside(path)}", str(copy), recursive=True)
        _compare(copy, files or (), path=path)
        yield copy


def _compare(folder: Path, files: Iterable[StoredFile], *, path: str) -> None:
    for file in files:
        here = folder / file.path
        if not here.is_file():
            raise missing(f"{path}/{file.path}")
        if here.stat().st_size != file.bytes or digest(here) != file.sha256:
            raise Damaged(f"{path}/{file.path}")
