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

FRESH = 60  # seconds in which a new workspace may not be held yet


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
