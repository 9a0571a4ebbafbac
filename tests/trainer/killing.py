"""Trainings that die by SIGKILL at a chosen write: each a fork of a process that has torch loaded.

Python tells of every file it opens, makes, renames or removes (an audit hook), so the n-th of them
inside the run folder is a moment that can be named, and reached again.
"""

import contextlib
import os
import signal
import sys
from pathlib import Path

import torch

from app.trainer.__main__ import main
from tests import forks

CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir")
NEVER = 0


def run_upto(moment: int, arguments: list[str], folder: str, count: str) -> None:
    """Train, and die before the write number `moment` in the folder; at the end tell how many."""
    torch.set_num_threads(1)
    writes = 0

    def watch(event: str, given: tuple) -> None:
        nonlocal writes
        opened = event == "open" and isinstance(given[2], int) and given[2] & os.O_ACCMODE
        if (opened or event in CHANGES) and folder in str(given[0]):
            writes += 1
            if writes == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        code = main(arguments)
    Path(count).write_text(str(writes))
    sys.exit(code)


def run(arguments: list[str], folder: Path, *, until: int = NEVER) -> int:
    """The number of writes of one training that went well, else below 0 (-9: it was killed)."""
    count = folder.with_name(f"{folder.name}-writes")
    count.unlink(missing_ok=True)
    code = forks.run(run_upto, until, arguments, str(folder), str(count))
    return int(count.read_text()) if code == 0 else -abs(code or 1)
