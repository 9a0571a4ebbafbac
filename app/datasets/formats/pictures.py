"""What the comparisons of a snapshot look like, in figures for a few pictures.

Rows are sorted by a hash, so that the first ones are as good as drawn at random: pictures rest on
so many of them, whatever the size of the snapshot.
"""

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from statistics import median

from app.datasets.formats.blocks import lines, parsed
from app.datasets.formats.folder import Folder, stored_folder
from app.datasets.rules.identity import Split
from app.datasets.rules.rows import ConfigName, Row
from app.db import JsonObject

MOST_ROWS = 10_000
BINS = 10


@lru_cache(maxsize=64)
def pictures(path: str) -> JsonObject | None:
    """Of the stored folder `path`; None where it holds no comparison."""
    return pictures_of(stored_folder(path))


def pictures_of(folder: Folder) -> JsonObject | None:
    rows: list[Row] = []
    total = 0
    for split in Split:
        file = folder.file(ConfigName.PREFERENCE, split)
        if file is None:
            continue
        total += file.rows
        for number, line in lines(folder, file):
            if number >= MOST_ROWS or len(rows) >= MOST_ROWS:
                break
            rows.append(_figures(parsed(line)))
    if not rows:
        return None
    return {"rows": len(rows), "total": total, **_summed(rows)}


def _figures(row: Row) -> Row:
    return {
        "agreement": row["agreement"],
        "n_annotators": row["n_annotators"],
        "chosen": _length(row["chosen"]),
        "rejected": _length(row["rejected"]),
    }


def _length(messages: Iterable[dict[str, str]]) -> int:
    return sum(len(message["content"]) for message in messages)


def _summed(rows: list[Row]) -> JsonObject:
    agreement = Counter(min(int(row["agreement"] * BINS), BINS - 1) for row in rows)
    longer = sum(row["chosen"] > row["rejected"] for row in rows)
    shorter = sum(row["chosen"] < row["rejected"] for row in rows)
    return {
        "agreement": [agreement[number] for number in range(BINS)],
        "judgements": _as_pairs(Counter(row["n_annotators"] for row in rows)),
        "longer": longer,
        "shorter": shorter,
        "lengths": {name: median(row[name] for row in rows) for name in ("chosen", "rejected")},
    }


def _as_pairs(numbers: Counter[int]) -> list[tuple[int, int]]:
    return sorted(numbers.items())
