"""Processes of tests, forked from a server that has loaded what takes seconds to load."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from functools import cache
from typing import Any

from tests.waiting import PATIENCE

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.preloaded"])


def run(what: Callable[..., object], *given: Any, seconds: float = PATIENCE) -> int | None:
    """Exit code of a function in a process of its own (-9: killed); None where it did not end."""
    process = FORKS.Process(target=what, args=given, daemon=True)
    process.start()
    return ended(process, seconds)


def ended(process: Any, seconds: float = PATIENCE) -> int | None:
    """The exit code; None where it still runs then, and is ended after it has told where it is."""
    process.join(seconds)
    code: int | None = process.exitcode
    if code is None:
        os.kill(process.pid, signal.SIGUSR1)  # a trainer writes its stack to standard error
        process.join(5)
        process.kill()
        process.join(60)
    return code


@cache
def loaded() -> None:
    """Wait until the server is ready: nobody's patience with a process is meant for that."""
    assert run(int) == 0, "the server of forks does not get ready"
