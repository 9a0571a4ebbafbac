"""Work folders of attempts on this machine: each attempt has its own, and none outlives it."""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from app.config import settings
from app.runs.service import Lease

FRESH = 60  # seconds in which a new folder may not be held yet


@contextlib.contextmanager
def work_folder(kind: str, lease: Lease) -> Iterator[Path]:
    """A folder of this attempt's own, gone at its end: what counts is in the artifact store.

    It is held until this process ends, however it does, so that others know what is abandoned.
    """
    folder = settings.home_path / "work" / kind / str(lease.id) / f"attempt-{lease.attempt}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    held = os.open(folder, os.O_RDONLY)
    with contextlib.suppress(OSError):
        fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    try:
        yield folder
    finally:
        os.close(held)
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another attempt may have its folder beside
            folder.parent.rmdir()


def remove_abandoned() -> int:
    """Remove the work folders of attempts whose worker was killed; answers how many there were."""
    removed = 0
    for folder in (settings.home_path / "work").glob("*/*/attempt-*"):
        with contextlib.suppress(OSError):  # it is gone meanwhile
            if time.time() - folder.stat().st_mtime > FRESH and _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
                folder.parent.rmdir()
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
