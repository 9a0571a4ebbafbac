"""Storing files and folders. What is stored is never written again."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from app.artifacts.reading import check_whole
from app.artifacts.store import (
    StoredFile,
    digest,
    exists,
    inside,
    local_path,
    remove,
    store,
)
from app.errors import Conflict

READ_ONLY = 0o444


def put_folder(folder: Path, *, to: str, read_only: bool = False) -> list[StoredFile]:
    """Store everything inside `folder` as the folder `to`, and say what it was, sorted by path.

    `folder` may be gone afterwards. Raises `Conflict` where `to` exists: nothing is replaced.
    On a local disk it comes whole or not at all. In a store that is elsewhere the files come one
    by one: what counts is that nobody registers the folder before this has returned, and that a
    folder which nobody registered is swept away (`worker.cleaning`).
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
        _upload(folder, files, to=to)
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
        filesystem, root = store()
        filesystem.put_file(str(file), f"{root}/{inside(to)}")
        check_whole("", [stored])
        return stored
    _flush_to_disk(file)
    local.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(file, local)
    _flush_to_disk(local.parent)
    return stored


def _upload(folder: Path, files: Sequence[StoredFile], *, to: str) -> None:
    """Large files go in parts (the file system sees to it); half a folder is taken away again."""
    filesystem, root = store()
    target = f"{root}/{inside(to)}"
    try:
        for file in files:
            place = f"{target}/{file.path}"
            filesystem.makedirs(place.rpartition("/")[0], exist_ok=True)
            filesystem.put_file(str(folder / file.path), place)
        check_whole(to, files)
    except BaseException:
        remove(to)
        raise


def _flush_to_disk(path: Path) -> None:
    """What the database calls stored must survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
