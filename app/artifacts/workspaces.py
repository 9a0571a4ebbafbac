"""Folders on this machine in which files are made before they are stored."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.artifacts.store import local_path

FRESH = 60  # seconds in which a new folder may not be occupied yet


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
    with (
        tempfile.TemporaryDirectory(dir=parent, prefix="touchstone-") as folder,
        occupied(Path(folder)),
    ):
        yield Path(folder)


@contextmanager
def occupied(folder: Path) -> Iterator[None]:
    """Others see that the folder is in use, until this process ends, however it does."""
    handle = os.open(folder, os.O_RDONLY)
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    try:
        yield
    finally:
        os.close(handle)


def is_abandoned(folder: Path) -> bool:
    """Whether nobody occupies a folder, and has not for a while."""
    if time.time() - folder.stat().st_mtime <= FRESH:
        return False
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def remove_abandoned_workspaces() -> int:
    """Remove the workspaces of processes that were killed; answers how many there were."""
    local = local_path("")
    removed = 0
    for folder in (local / ".work").glob("touchstone-*") if local is not None else ():
        with suppress(OSError):  # it is gone meanwhile
            if is_abandoned(folder):
                shutil.rmtree(folder)
                removed += 1
    return removed
