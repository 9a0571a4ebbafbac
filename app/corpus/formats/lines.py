"""Bytes to numbered lines, and lines to objects, in bounded memory whatever the file holds."""

import csv
import gzip
import io
import json
import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, NoReturn, Self

from app.corpus.formats.rows import BadFile, BadLine
from app.corpus.formats.values import MAX_DEPTH, check_json, kind, paired

GZIP_MAGIC = b"\x1f\x8b"
OTHER_MAGIC = {
    b"PK\x03\x04": "a zip archive; unpack it and upload the file inside",
    b"PK\x05\x06": "a zip archive, and an empty one",
    b"BZh": "compressed with bzip2; use gzip, or no compression",
    b"\xfd7zXZ": "compressed with xz; use gzip, or no compression",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; use gzip, or no compression",
    b"\x37\x7a\xbc\xaf": "a 7-zip archive; unpack it and upload the file inside",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
    b"%PDF": "a PDF document",
}
DAMAGED = (
    "The gzip file is damaged or ends too early{after}. Compress the original again and upload it."
)
BOM = b"\xef\xbb\xbf"
# How JSON writes NUL or a surrogate, which no text of UTF-8 holds as it is.
DOUBTFUL = re.compile(rb"\\u(0000|[dD][89a-fA-F])")
PIECE = 1 << 20
PEEKED = 4096  # bytes
MAX_VALUES = 1_000_000  # of one line: each takes many times as much memory as its bytes
MAX_COLUMNS = 1000
SKIP_FACTOR = 16  # an overlong line is skipped up to so many times the longest allowed one
CSV_AS_JSON = {"responses", "annotations", "gold", "sampling", "meta"}
CSV_NUMBERS = {
    "margin", "score_chosen", "score_rejected", "chosen_score", "rejected_score",
    "chosen-rating", "rejected-rating", "chosen_rating", "rejected_rating",
}  # fmt: skip
CSV_MESSAGES = {"prompt", "messages", "chosen", "rejected"}
# Columns that hold objects or lists in the formats of other projects, and texts in some.
CSV_STRUCTURED = {
    "completions", "models", "question", "quotes_0", "quotes_1", "tokens_0", "tokens_1",
    "conversation", "conversation_a", "conversation_b", "replies", "labels", "emojis", "detoxify",
    "response_0_harm_category", "response_1_harm_category", "data", "fields", "metadata",
    "suggestions", "predictions", "ranks", "response_ids", "items",
}  # fmt: skip
CSV_ANSWERS = (".responses", ".users", ".status", ".suggestion", "-suggestion", "-metadata")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file may hold at most; bytes are counted after decompression."""

    file_bytes: int
    line_bytes: int
    rows: int


@dataclass(slots=True)
class Line:
    """A row of the file, or why it is none. Lines count from 1, rows of Parquet likewise."""

    number: int
    row: dict[str, Any] | None = None
    problem: str | None = None
    size: int = 0  # bytes or characters
    where: str | None = None  # in a container whose lines are no rows: which element it is


def unpacked(stream: IO[bytes]) -> IO[bytes]:
    """The stream behind gzip, if there is any; `BadFile` for what is no text at all."""
    head = stream.read(512)
    stream.seek(0)
    if not head:
        raise BadFile("The file is empty.")
    for magic, what in OTHER_MAGIC.items():
        if head.startswith(magic):
            raise BadFile(f"This is {what}. Import takes JSON lines, CSV or Parquet.")
    if head.startswith(GZIP_MAGIC):
        return io.BufferedReader(gzip.GzipFile(fileobj=stream), PIECE)
    return stream


def peeked(stream: IO[bytes]) -> bytes:
    """The first bytes of an unpacked stream, which is at its beginning again afterwards."""
    try:
        head = stream.read(PEEKED)
        stream.seek(0)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadFile(DAMAGED.format(after="")) from error
    if head.startswith(GZIP_MAGIC):
        raise BadFile("This is compressed with gzip twice. Unpack it once and upload it again.")
    return head


def raw_lines(stream: IO[bytes], limits: Limits) -> Iterator[tuple[int, bytes | None]]:
    """Numbered lines without their ends; None for one that is too long.

    Raises `BadFile` where a limit of the file is passed or its compression is broken.
    """
    number, total = 0, 0
    while True:
        try:
            line = stream.readline(limits.line_bytes + 1)
            size = len(line)
            is_too_long = size > limits.line_bytes and not line.endswith(b"\n")
            if is_too_long:
                size += _skip_rest(stream, limits, line=number + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            after = f", after line {number:,}" if number else ""
            raise BadFile(DAMAGED.format(after=after), line=number + 1) from error
        if not line:
            return
        number, total = number + 1, total + size
        if number > limits.rows:
            raise BadFile(
                f"The file has more than {limits.rows:,} lines. Split it, or raise "
                "TOUCHSTONE_MAX_IMPORT_ROWS.",
                line=number,
            )
        if total > limits.file_bytes:
            raise BadFile(unpacks_to_too_much(limits), line=number)
        if number == 1:
            line = line.removeprefix(BOM)
        yield number, None if is_too_long else line.rstrip(b"\r\n")


def _skip_rest(stream: IO[bytes], limits: Limits, *, line: int) -> int:
    """Read to the end of an overlong line without keeping it; gives up where there is none."""
    skipped = 0
    while piece := stream.readline(PIECE):
        skipped += len(piece)
        if piece.endswith(b"\n"):
            break
        if skipped > SKIP_FACTOR * limits.line_bytes:
            raise BadFile(
                f"{too_long(line, limits)} It did not even end within "
                f"{SKIP_FACTOR * limits.line_bytes // 10**6:,} MB, so reading stopped there.",
                line=line,
            )
    return skipped


def unpacks_to_too_much(limits: Limits) -> str:
    return (
        f"The file unpacks to more than {limits.file_bytes // 10**6:,} MB. Split it, or raise "
        "TOUCHSTONE_MAX_IMPORT_MB."
    )


def too_long(line: int, limits: Limits) -> str:
    return (
        f"Line {line} is longer than {limits.line_bytes // 10**6:,} MB. Each row must be one line; "
        "shorten it, or raise TOUCHSTONE_MAX_LINE_MB."
    )


def json_lines(stream: IO[bytes], limits: Limits) -> Iterator[Line]:
    """Rows of a JSON-lines file; blank lines are passed over."""
    for number, line in raw_lines(stream, limits):
        if line is None:
            yield Line(number, problem=too_long(number, limits))
        elif line and not line.isspace():
            try:
                yield Line(number, row=parsed(line), size=len(line))
            except BadLine as error:
                yield Line(number, problem=str(error))


def parsed(line: bytes | str) -> dict[str, Any]:
    """One JSON object that the database can keep."""
    _check_size(line)
    try:
        value = DECODER.decode(line.decode() if isinstance(line, bytes) else line)
    except UnicodeDecodeError as error:
        raise BadLine(
            f"This is not UTF-8 (byte {error.start + 1} of the line); save the file as UTF-8."
        ) from error
    except json.JSONDecodeError as error:
        raise BadLine(_not_json(line, error)) from error
    except RecursionError as error:
        raise BadLine("This is nested far too deep; flatten it.") from error
    except BadLine:
        raise
    except ValueError as error:  # a number of more than 4,300 digits
        raise BadLine("This has a number that is too long to read; write it as a text.") from error
    if isinstance(value, list):
        value = paired(value)
    if not isinstance(value, dict):
        raise BadLine(f"Each row must be one JSON object {{…}}, and this one is {kind(value)}.")
    if not isinstance(line, bytes) or _is_doubtful(line):
        check_json(value)
    return value


def _is_doubtful(line: bytes) -> bool:
    """Whether a line may hold what `check_json` looks for; most cannot, which is soon seen."""
    return line.count(b"[") + line.count(b"{") > MAX_DEPTH or DOUBTFUL.search(line) is not None


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise BadLine("the line has a number that is infinite or not a number; remove it.")
    return number


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object; one that has a key twice would lose the first of them."""
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise BadLine(f"The key “{twice[:80]}” stands twice in one object; keep one of them.")
    return made


def _refuse_constant(name: str) -> NoReturn:
    raise BadLine(f"{name} is no JSON value; use a number or null.")


def _not_json(line: bytes | str, error: json.JSONDecodeError) -> str:
    is_open = error.msg.startswith("Unterminated string")
    if is_open or error.pos >= len(line.strip()) - 1:
        return "The JSON object is cut off before its end; is the line complete?"
    if line.lstrip()[:1] not in {b"{", b"[", "{", "["}:
        return "This is not JSON: each line must be one JSON object {…}."
    reason = error.msg.removesuffix(" at")
    more = ""
    if error.msg == "Extra data":
        more = " Put each object on a line of its own."
    return f"This is not JSON: {reason} at character {error.pos + 1}.{more}"


def _check_size(line: bytes | str) -> None:
    """Refuse what takes gigabytes once it is read; commas and brackets stand around the values."""
    if len(line) > MAX_VALUES:
        raw = line if isinstance(line, bytes) else line.encode(errors="replace")
        if sum(map(raw.count, (b",", b"[", b"{"))) > MAX_VALUES:
            raise BadLine(f"This has more than {MAX_VALUES:,} values; split it.")


DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_once_each
)


def csv_lines(stream: IO[bytes], limits: Limits) -> Iterator[Line]:
    """Rows of a CSV file with a header; a row may span lines, and has the number of its last."""
    csv.field_size_limit(limits.line_bytes)
    text = _Decoded(stream, limits)
    reader = csv.reader(text, strict=True)
    last = 0  # line of the last whole row
    try:
        header = [name.strip() for name in next(reader, [])]
        if len(header) > MAX_COLUMNS:
            raise BadFile(
                f"The CSV has {len(header):,} columns; {MAX_COLUMNS:,} are allowed.", line=1
            )
        if len(set(header)) < len(header):
            raise BadFile("The CSV header names a column twice.", line=1)
        last = reader.line_num
        for cells in reader:
            last, text.size = reader.line_num, 0
            if cells:
                yield _csv_line(reader.line_num, header, cells)
    except csv.Error as error:
        raise BadFile(
            f"The CSV is broken at line {reader.line_num}, in the row that begins at line "
            f"{last + 1}: {error}. Check the quotation marks of that row.",
            line=reader.line_num,
        ) from error


class _Decoded:
    """Lines as text for the CSV reader, which would put any number of them into one row."""

    def __init__(self, stream: IO[bytes], limits: Limits) -> None:
        self.lines = raw_lines(stream, limits)
        self.limits = limits
        self.size = 0  # bytes since the last whole row

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        number, line = next(self.lines)
        if line is None:
            raise BadFile(too_long(number, self.limits), line=number)
        self.size += len(line)
        if self.size > self.limits.line_bytes:
            raise BadFile(
                f"The row that ends at line {number} or later is longer than "
                f"{self.limits.line_bytes // 10**6:,} MB. Is a quotation mark never closed?",
                line=number,
            )
        try:
            return line.decode() + "\n"
        except UnicodeDecodeError as error:
            raise BadFile(
                f"Line {number} is not UTF-8 (byte {error.start + 1}); save the file as UTF-8.",
                line=number,
            ) from error


def _csv_line(number: int, header: list[str], cells: list[str]) -> Line:
    if len(cells) != len(header):
        return Line(
            number,
            problem=f"This row has {len(cells)} cells and the header {len(header)}. Put texts "
            "with commas or line breaks in quotation marks.",
        )
    try:
        row = {
            name: _cell(name, cell)
            for name, cell in zip(header, cells, strict=True)
            if name and cell != ""
        }
        check_json(row)
    except BadLine as error:
        return Line(number, problem=str(error))
    return Line(number, row=row, size=sum(map(len, cells)))


def _cell(name: str, cell: str) -> Any:
    """A cell by its column: structured columns hold JSON, a conversation may."""
    is_json = name in CSV_AS_JSON or (name in CSV_MESSAGES and cell.startswith("[{"))
    if name in CSV_STRUCTURED or name.endswith(CSV_ANSWERS):
        is_json = cell.startswith(("[", "{"))
    if name in {"tags", "expertise"}:
        if not cell.startswith("["):
            return [tag.strip() for tag in cell.split(",")]
        is_json = True
    if name in CSV_NUMBERS:
        try:
            return float(cell)
        except ValueError:
            raise BadLine(f"“{name}” must be a number, not {cell[:40]!r}.") from None
    if not is_json:
        return cell
    _check_size(cell)
    try:
        return DECODER.decode(cell)
    except BadLine:
        raise
    except RecursionError as error:
        raise BadLine(f"The cell of “{name}” is nested far too deep; flatten it.") from error
    except json.JSONDecodeError as error:
        raise BadLine(
            f'The cell of “{name}” must hold JSON, such as ["a", "b"]: {error}.'
        ) from error
    except ValueError as error:  # a number of more than 4,300 digits
        raise BadLine(f"The cell of “{name}” has a number that is too long to read.") from error
