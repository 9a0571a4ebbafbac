"""Work folders of attempts on this machine: each attempt has its own, and none outlives it."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from app import artifacts
from app.config import settings
from app.runs.service import Lease


@contextlib.contextmanager
def work_folder(kind: str, lease: Lease) -> Iterator[Path]:
    """A folder of this attempt's own, gone at its end: what counts is in the artifact store."""
    folder = settings.home_path / "work" / kind / str(lease.id) / f"attempt-{lease.attempt}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        with artifacts.occupied(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another attempt may have its folder beside
            folder.parent.rmdir()


def remove_abandoned() -> int:
    """Remove the work folders of attempts whose worker was killed; answers how many there were."""
    removed = 0
    for folder in (settings.home_path / "work").glob("*/*/attempt-*"):
        with contextlib.suppress(OSError):  # it is gone meanwhile
            if artifacts.is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
                folder.parent.rmdir()
    return removed
