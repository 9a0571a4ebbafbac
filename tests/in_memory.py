"""Where the database of a run lies: in memory, where there is room for it.

A file system does not give the place of a deleted file away for minutes, and looks at all these
places for each new one. A database has 600 files: on a disk, each that is made after a hundred
others are gone costs half a second.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

import psutil

from app.postgres import Cluster, cluster, running

MEMORY = Path("/dev/shm")
NAME = "touchstone-test-"  # and the number of the process
ROOM = 3 * 1024**3  # bytes; the servers of three processes take 0.4 GB, and logs of up to 0.8
SMALL = {"max_wal_size": "256MB"}


@contextmanager
def quick_server(home: Path) -> Iterator[str]:
    """The URL of a server whose data is in memory, or in `home` where there is no room."""
    if not has_room():
        with running(home) as url:
            yield url
        return
    with folder_in_memory() as folder, ExitStack() as stack:
        with mock.patch.dict(cluster.SETTINGS, SMALL):
            url = stack.enter_context(running(folder))
        yield url


def has_room() -> bool:
    """Also where /dev/shm may become larger than what is free; a container's has 64 MB."""
    if not os.access(MEMORY, os.W_OK | os.X_OK):
        return False
    return min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available) > ROOM


@contextmanager
def folder_in_memory() -> Iterator[Path]:
    """A folder of this process, after those of processes that were killed are gone."""
    for left in MEMORY.glob(f"{NAME}*"):
        if not psutil.pid_exists(int(left.name.removeprefix(NAME))):
            Cluster(left).stop()
            shutil.rmtree(left, ignore_errors=True)
    folder = MEMORY / f"{NAME}{os.getpid()}"
    folder.mkdir(mode=0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
