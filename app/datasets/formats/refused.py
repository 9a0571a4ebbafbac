"""Rows that a format cannot hold, listed beside the files that lack them."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import IO, Any

from app import artifacts
from app.datasets.rules.counts import REASONS
from app.datasets.rules.identity import Message, canonical_json
from app.datasets.rules.rows import RefusedRow

REFUSED = "refused.jsonl"
_EXCERPT = 200  # characters of what was asked


class RefusedFile:
    """All refused rows, one JSON line each; there is no file where there are none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: IO[bytes] | None = None

    def add(self, rows: Iterable[RefusedRow], *, messages: Sequence[Message]) -> None:
        for row in rows:
            if self.file is None:
                self.file = self.path.open("wb")
            line = {
                **asdict(row),
                "because": REASONS[row.reason],
                "asked": messages[-1]["content"][:_EXCERPT] if messages else "",
            }
            self.file.write(canonical_json(line) + b"\n")

    def close(self) -> list[str]:
        """The names of the files there are: one or none."""
        if self.file is None:
            return []
        self.file.close()
        return [self.path.name]


@contextmanager
def refused_file(folder: Path) -> Iterator[RefusedFile]:
    file = RefusedFile(folder / REFUSED)
    try:
        yield file
    finally:
        file.close()


def first_refused(folder: str, *, limit: int) -> list[dict[str, Any]]:
    """The first of the refused rows of a stored folder that has some."""
    with artifacts.open_file(f"{folder}/{REFUSED}") as lines:
        return [json.loads(line) for line in islice(lines, limit)]
