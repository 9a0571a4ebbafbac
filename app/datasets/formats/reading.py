"""The first rows of a frozen file, for people to look at."""

import gzip
import json
from itertools import islice
from typing import Any

import pyarrow.parquet as pq

from app import artifacts


def first_rows(path: str, *, limit: int) -> list[dict[str, Any]]:
    """At most `limit` rows of a stored data file; no more of it is read than they need."""
    with artifacts.open_file(path) as content:
        if path.endswith(".parquet"):
            for batch in pq.ParquetFile(content).iter_batches(batch_size=limit):
                rows: list[dict[str, Any]] = batch.to_pylist()
                return rows
            return []
        with gzip.open(content, "rb") as lines:
            return [json.loads(line) for line in islice(lines, limit)]
