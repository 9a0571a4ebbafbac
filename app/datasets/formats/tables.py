"""Differences as a table: one line each, safe to open in a spreadsheet."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from app.datasets.rules.identity import canonical_json
from app.datasets.rules.rows import Row
from app.web.tables import BYTE_ORDER_MARK, cell

_FIGURES = ("p", "agreement", "margin", "strength", "weight", "n_annotators")
HEADER = (
    "config", "kind", "what", "why", "prompt_id", "split_before", "split_after",
    "judgements_came", "judgements_went", "prompt", "chosen_before", "rejected_before",
    "chosen_after", "rejected_after",
    *(f"{name}_{side}" for name in _FIGURES for side in ("before", "after")),
)  # fmt: skip
_AT_ONCE = 500


def csv_pieces(differences: Iterable[Row]) -> Iterator[bytes]:
    """A CSV file, piece by piece."""
    written = io.StringIO()
    writer = csv.writer(written)
    written.write(BYTE_ORDER_MARK)
    writer.writerow(HEADER)
    for number, difference in enumerate(differences, 1):
        writer.writerow([cell(value) for value in _cells(difference)])
        if number % _AT_ONCE == 0:
            yield _taken(written)
    yield _taken(written)


def jsonl_pieces(differences: Iterable[Row]) -> Iterator[bytes]:
    waiting: list[bytes] = []
    for difference in differences:
        waiting.append(canonical_json(difference))
        if len(waiting) == _AT_ONCE:
            yield b"\n".join(waiting) + b"\n"
            waiting.clear()
    if waiting:
        yield b"\n".join(waiting) + b"\n"


def _taken(written: io.StringIO) -> bytes:
    piece = written.getvalue().encode("utf-8", "backslashreplace")
    written.seek(0)
    written.truncate()
    return piece


def _cells(difference: Row) -> Iterator[Any]:
    before: Mapping[str, Any] = difference["before"] or {}
    after: Mapping[str, Any] = difference["after"] or {}
    yield difference["config"]
    yield difference["kind"]
    yield ", ".join(difference["what"])
    yield difference["why"] or ""
    yield difference["prompt_id"]
    yield difference["split_before"] or ""
    yield difference["split_after"] or ""
    yield difference["judgements"]["came"]
    yield difference["judgements"]["went"]
    shown = after or before
    yield _said(shown.get("prompt") or shown.get("messages") or "")
    for row in (before, after):
        yield _said(_better(row))
        yield _said(row.get("rejected", ""))
    for name in _FIGURES:
        yield before.get(name)
        yield after.get(name)


def _better(row: Mapping[str, Any]) -> Any:
    """What stands in the place of `chosen` in configs that have no such thing."""
    for name in ("chosen", "completion", "response"):
        if name in row:
            return row[name]
    if "ranks" in row:
        order = sorted(range(len(row["ranks"])), key=row["ranks"].__getitem__)
        return " | ".join(f"{row['ranks'][n]}: {_said(row['responses'][n])}" for n in order)
    return ""


def _said(value: Any) -> str:
    if isinstance(value, str):
        return value
    messages: Sequence[Mapping[str, str]] = value
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in messages)
