"""File locks. The kernel gives them back when their process ends, however it ends."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.postgres.problems import PostgresProblem


def open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise PostgresProblem(
            f"{path} belongs to another account. Run Touchstone as the account that made this "
            "home, or set TOUCHSTONE_HOME to a folder of your own."
        ) from error


def try_exclusive(descriptor: int) -> bool:
    """Take the lock for us alone, or say that somebody else has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def share(descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_SH)


@contextmanager
def exclusive(path: Path, *, patience: float, busy: str) -> Iterator[None]:
    """Hold `path` for us alone; `PostgresProblem(busy)` when others keep it too long (seconds)."""
    descriptor = open_lock(path)
    try:
        deadline = time.monotonic() + patience
        while not try_exclusive(descriptor):
            if time.monotonic() > deadline:
                raise PostgresProblem(busy)
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)
