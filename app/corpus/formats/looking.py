"""What told the format of a file: how its rows are written, and the keys of the first."""

import itertools
from typing import IO

from app.corpus.formats.lines import BOM, GZIP_MAGIC, Limits
from app.corpus.formats.parquet import is_parquet
from app.corpus.formats.reading import _rows
from app.corpus.formats.rows import BadFile
from app.db import JsonObject

KEYS = 20
TRIES = 100  # rows that may be broken before the first good one
# Which keys tell a format; of one that is not named here, all keys do.
TELLING = {
    "touchstone": {"prompt", "responses"},
    "hh-rlhf": {"chosen", "rejected"},
    "trl": {"prompt", "chosen", "rejected"},
    "prompts": {"prompt", "messages"},
}


def look_at(stream: IO[bytes], *, format: str, limits: Limits) -> JsonObject:  # noqa: A002
    """`written` (in words) and `keys` of the first row; the stream is at its beginning again."""
    head = stream.read(64)
    stream.seek(0)
    found: JsonObject = {"written": _written(head, is_csv=format == "csv"), "keys": []}
    try:
        for line in itertools.islice(_rows(stream, limits, is_csv=format == "csv"), TRIES):
            if line.row is not None:
                found["keys"] = [key[:80] for key in itertools.islice(line.row, KEYS)]
                break
    except BadFile:
        pass  # it is told when the rows are read
    stream.seek(0)
    return found


def _written(head: bytes, *, is_csv: bool) -> str:
    if is_parquet(head):
        return "Parquet"
    if head.startswith(GZIP_MAGIC):
        return "CSV, gzipped" if is_csv else "text, gzipped"
    start = head.removeprefix(BOM).lstrip()
    return "JSON" if start[:1] in {b"{", b"["} and not is_csv else "CSV"


def telling_keys(name: str, keys: list[str]) -> list[str]:
    """Those of the keys by which the format was known."""
    telling = TELLING.get(name)
    return [key for key in keys if telling is None or key in telling]
