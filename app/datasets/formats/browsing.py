"""Looking through the rows of a frozen file: a page of them, all or those that match."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any

from app.datasets.formats.blocks import lines, parsed
from app.datasets.formats.folder import DataFile, Folder
from app.datasets.rules.rows import Row

PATIENCE = 1.5  # seconds of looking for one page; then the person says whether to go on


@dataclass(frozen=True, slots=True)
class Filters:
    """What rows must have; None and "" ask for nothing. A row without the figure has it not."""

    words: str = ""
    agreement_below: float | None = None
    margin_from: float | None = None
    judgements_from: int | None = None
    judgements_below: int | None = None
    what: str = ""  # of a difference
    why: str = ""

    @property
    def ask(self) -> bool:
        return self != Filters()


@dataclass(frozen=True, slots=True)
class RowsPage:
    """Rows with their numbers. `next_row`: where to go on, None at the end of the file."""

    rows: list[tuple[int, Row]]
    next_row: int | None
    is_whole: bool  # False: patience ended before the page was full


def rows_page(
    folder: Folder,
    file: DataFile,
    *,
    start: int = 0,
    limit: int = 20,
    filters: Filters | None = None,
    patience: float = PATIENCE,
) -> RowsPage:
    """At most `limit` rows from number `start` on that have what the filters ask for."""
    is_wanted = matcher(filters or Filters())
    found: list[tuple[int, Row]] = []
    until = monotonic() + patience
    number = start - 1
    for number, line in lines(folder, file, start=start):
        if len(found) == limit:
            return RowsPage(found, number, is_whole=True)
        row = is_wanted(line)
        if row is not None:
            found.append((number, row))
        elif number % 100 == 0 and monotonic() > until:
            return RowsPage(found, number + 1, is_whole=False)
    return RowsPage(found, None, is_whole=True)


def matching(folder: Folder, file: DataFile, *, filters: Filters) -> Iterator[Row]:
    """All rows that have what the filters ask for."""
    is_wanted = matcher(filters)
    for _, line in lines(folder, file):
        row = is_wanted(line)
        if row is not None:
            yield row


def matcher(filters: Filters) -> Callable[[bytes], Row | None]:
    """The row of a line where it has what is asked for, else None."""
    if not filters.ask:
        return parsed
    words = " ".join(filters.words.casefold().split())
    plain = words.encode() if words.isascii() and words.isalnum() else None

    def look(line: bytes) -> Row | None:
        if plain is not None and plain not in line.lower():
            return None
        row = parsed(line)
        return row if _has_figures(row, filters) and (not words or _has_words(row, words)) else None

    return look


def _has_figures(row: Row, filters: Filters) -> bool:
    below = (("agreement", filters.agreement_below), ("n_annotators", filters.judgements_below))
    least = (("margin", filters.margin_from), ("n_annotators", filters.judgements_from))
    return (
        all(most is None or (_figure(row, name, 2.0**31) < most) for name, most in below)
        and all(floor is None or (_figure(row, name, -1.0) >= floor) for name, floor in least)
        and (not filters.what or filters.what in row.get("what", ()))
        and (not filters.why or filters.why == row.get("why"))
    )


def _figure(row: Row, name: str, otherwise: float) -> float:
    value = row.get(name)
    return otherwise if value is None else float(value)


def _has_words(value: Any, words: str) -> bool:
    """Whether any text of a row has the words, whatever the case and the blanks."""
    if isinstance(value, str):
        return words in " ".join(value.casefold().split())
    if isinstance(value, dict):
        return any(_has_words(inner, words) for key, inner in value.items() if key != "role")
    return isinstance(value, list) and any(_has_words(inner, words) for inner in value)
