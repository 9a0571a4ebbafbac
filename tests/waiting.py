"""How long tests wait for what is bound to come. A busy machine is no failure."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 240.0  # seconds
PAGE_PATIENCE = 60_000.0  # ms, for what a page is to show


def until(what: Callable[[], T], *, seconds: float = PATIENCE) -> T:
    """Wait until it is true, and answer what it said then."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"not so after {seconds:g} seconds"
        time.sleep(0.02)
    return found
