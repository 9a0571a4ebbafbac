"""Public data sets beside the repository; a test that needs one is skipped where it is absent."""

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def shared_data(name: str) -> Path:
    """A file of `shared/data` (TOUCHSTONE_SHARED names the folder); skips the test without it."""
    shared = Path(os.environ.get("TOUCHSTONE_SHARED") or REPOSITORY.parent / "shared")
    for path in (shared / "data" / name, shared / name):
        if path.exists():
            return path
    pytest.skip(f"no {name} in {shared}/data; set TOUCHSTONE_SHARED to the folder that has it")


def shared_rows(name: str) -> Iterator[dict[str, Any]]:
    """The objects of a gzipped JSON-lines file."""
    with gzip.open(shared_data(name), "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
