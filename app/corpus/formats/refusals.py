"""Refused lines: why, in groups; all of them in a file, with their beginnings; and to be mended."""

import csv
import io
import json
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from app.corpus.formats.lines import BOM, Limits, peeked, raw_lines, unpacked
from app.corpus.formats.parquet import is_parquet, parquet_lines
from app.corpus.formats.rows import BadFile
from app.corpus.rules import reason_of
from app.db import JsonObject

LISTED = 1000  # with the import itself
KEPT = 100_000  # in the file of all of them
GROUPS = 50
OTHER = "Other reasons"
EXAMPLES = 10  # lines that a group names
BEGINNING = 200  # characters of a line that are shown
MESSAGE = 500  # characters
MENDED_BYTES = 200_000_000  # in the file of lines to mend
IN_MEMORY = 1 << 20

RawRow = tuple[int, bytes | None]


@dataclass(slots=True)
class Reason:
    """A kind of refusal: the first message, how many, and the first lines."""

    message: str
    count: int = 0
    lines: list[int] = field(default_factory=list)


class Refusals:
    """Refused lines as they come, in bounded memory however many they are."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[JsonObject] = []  # [{line, message}]
        self.reasons: dict[str, Reason] = {}
        self._all: IO[str] | None = None  # on disk where they are many

    def add(self, line: int, message: str) -> None:
        self.count += 1
        message = message[:MESSAGE]
        kind = reason_of(message)
        if kind not in self.reasons and len(self.reasons) >= GROUPS:
            kind = message = OTHER
        reason = self.reasons.setdefault(kind, Reason(message))
        reason.count += 1
        if len(reason.lines) < EXAMPLES:
            reason.lines.append(line)
        if len(self.first) < LISTED:
            self.first.append({"line": line, "message": message})
        if self._all is None:
            self._all = tempfile.SpooledTemporaryFile(IN_MEMORY, mode="w+", encoding="utf-8")  # noqa: SIM115 # see close()
        if self.count <= KEPT:
            self._all.write(json.dumps([line, message]) + "\n")

    def report(self) -> list[JsonObject]:
        """The reasons, the most frequent one first."""
        found = sorted(self.reasons.values(), key=lambda each: (-each.count, each.lines))
        return [
            {"message": each.message, "count": each.count, "lines": each.lines} for each in found
        ]

    def write(
        self,
        folder: Path,
        stream: IO[bytes],
        *,
        format: str,  # noqa: A002
        limits: Limits,
    ) -> str | None:
        """Read the file again for the text of the refused lines.

        Writes `refused.jsonl` (line, message, beginning) and `mend` (the lines as they are) into
        `folder`; answers how the latter is written, `jsonl` or `csv`; None where there is none.
        The first ones in memory get their texts on the way.
        """
        stream.seek(0)
        kind, head, rows = raw_rows(stream, format=format, limits=limits)
        left, written = MENDED_BYTES, 0
        with (
            (folder / "refused.jsonl").open("w", encoding="utf-8") as report,
            (folder / "mend").open("wb") as mend,
        ):
            mend.write(head)
            for number, (line, message, raw) in enumerate(self._joined(rows)):
                text = beginning(raw)
                if number < len(self.first):
                    self.first[number]["text"] = text
                row = {"line": line, "message": message, "text": text}
                report.write(json.dumps(row, ensure_ascii=False) + "\n")
                if raw is not None and len(raw) < left:
                    mend.write(raw + b"\n")
                    left -= len(raw)
                    written += 1
        return kind if written else None

    def _joined(self, rows: Iterator[RawRow]) -> Iterator[tuple[int, str, bytes | None]]:
        """Each refused line with its bytes; both come in the order of the file."""
        if self._all is None:
            return
        self._all.seek(0)
        number, raw = next(rows, (0, None))
        for each in self._all:
            line, message = json.loads(each)
            while number and number < line:
                number, raw = next(rows, (0, None))
            yield line, message, raw if number == line else None

    def close(self) -> None:
        if self._all is not None:
            self._all.close()


def beginning(raw: bytes | None) -> str:
    """The first characters of a line, as far as they are text that can be kept."""
    text = (raw or b"")[: 4 * BEGINNING].decode("utf-8", "replace").replace("\0", "\ufffd")
    return text if len(text) <= BEGINNING else text[:BEGINNING] + " …"


def raw_rows(
    stream: IO[bytes],
    *,
    format: str,  # noqa: A002
    limits: Limits,
) -> tuple[str, bytes, Iterator[RawRow]]:
    """How the rows are written, what stands before them, and each as bytes.

    Rows of Parquet become JSON. A document of JSON that spans lines has no such rows.
    """
    start = stream.read(16)
    stream.seek(0)
    if is_parquet(start):
        return "jsonl", b"", _until_it_breaks(_parquet_rows(stream, limits))
    try:
        text = unpacked(stream)
        first = peeked(text).removeprefix(BOM).lstrip()[:1]
    except BadFile:
        return "jsonl", b"", iter(())
    if first == b"[":
        return "jsonl", b"", iter(())
    if first == b"{" and format != "csv":
        return "jsonl", b"", _until_it_breaks(raw_lines(text, limits))
    rows = _until_it_breaks(_csv_rows(text, limits))
    _, head = next(rows, (0, None))
    return "csv", head + b"\n" if head else b"", rows


def _until_it_breaks(rows: Iterator[RawRow]) -> Iterator[RawRow]:
    with suppress(BadFile, csv.Error):
        yield from rows


def _parquet_rows(stream: IO[bytes], limits: Limits) -> Iterator[RawRow]:
    for line in parquet_lines(stream, limits):
        row = line.row
        yield line.number, None if row is None else _json(row)


def _json(row: Any) -> bytes:
    return json.dumps(row, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")


def _csv_rows(stream: IO[bytes], limits: Limits) -> Iterator[RawRow]:
    csv.field_size_limit(limits.line_bytes)
    lines = (
        (line or b"").decode("utf-8", "replace") + "\n" for _, line in raw_lines(stream, limits)
    )
    reader = csv.reader(lines, strict=True)
    for cells in reader:
        written = io.StringIO()
        csv.writer(written, lineterminator="").writerow(cells)
        yield reader.line_num, written.getvalue().encode()
