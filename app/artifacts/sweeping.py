"""Folders that nobody registered: what killed attempts left behind."""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

from app.artifacts.store import held

UNCLAIMED_FOR = timedelta(days=1)  # its attempt may still be about to register it before


def unclaimed(
    there: Iterable[str], *, known: AbstractSet[str], now: datetime
) -> Iterator[tuple[str, int]]:
    """Folders of `there` that are a day old and neither hold what is known nor lie in it.

    With their bytes. `known`: the paths that rows lead to. List the store first and ask the
    database then: what is registered meanwhile is known.
    """
    above = {parent for path in known for parent in _parents(path)}
    for folder in there:
        if folder in above or not known.isdisjoint(_parents(folder)):
            continue
        found = held(folder)
        if found.newest is not None and found.newest < now - UNCLAIMED_FOR:
            yield folder, found.bytes


def _parents(path: str) -> Iterator[str]:
    """A path and all folders above it."""
    while path:
        yield path
        path = path.rpartition("/")[0]
