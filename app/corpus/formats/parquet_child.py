"""Reads a Parquet file in a process of its own, with an allowance of memory.

    python parquet_child.py LIMITS

What a file says of itself (how many values, how long a page) is only known to be true once it is
read, and Arrow reserves what is said. Here a lie ends this process and nothing else. A script that
imports nothing of Touchstone, so that it starts quickly. The starter serves the bytes of the file
over standard input and is told rows over standard output: see `send` and `File.read`.
"""

import io
import json
import marshal
import os
import resource
import struct
import sys
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

LENGTH = struct.Struct("<Q")
PLACE = struct.Struct("<QQ")
MAX_COLUMNS = 200
VALUE = 16  # bytes that a number of a list takes, however few it takes in the file
MAX_VALUES = 100  # per row, over the whole file
MAX_FIXED = 64  # bytes of values of a fixed length, which no dictionary keeps small
BATCH = 500  # rows …
BATCH_BYTES = 32 << 20  # … or so many bytes, whichever is fewer
ROOM = 512 << 20  # bytes beside what the row groups are said to take

Limits = dict[str, int]


class Refused(Exception):
    """`unpacks` or a sentence, and how many rows came before."""

    def __init__(self, why: str, row: int | None = None) -> None:
        super().__init__(why)
        self.why, self.row = why, row


class File(io.RawIOBase):
    """The starter's file, piece by piece."""

    def __init__(self, source: BinaryIO, sink: BinaryIO, size: int) -> None:
        self.source, self.sink, self.size, self.at = source, sink, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self.at = (0, self.at, self.size)[whence] + offset
        return self.at

    def read(self, size: int = -1, /) -> bytes:
        """Never more than the file has, however much is asked for."""
        left = max(0, self.size - self.at)
        wanted = left if size is None or size < 0 else min(size, left)
        if not wanted:
            return b""
        send(self.sink, b"r", PLACE.pack(self.at, wanted))
        piece = self.source.read(wanted)
        if len(piece) < wanted:  # nobody listens any more
            os._exit(1)
        self.at += wanted
        return piece


def send(sink: BinaryIO, kind: bytes, message: bytes) -> None:
    """`r` asks for bytes of the file, `l` brings lines, `e` says why no more come, `.` ends."""
    sink.write(kind + LENGTH.pack(len(message)))
    sink.write(message)
    sink.flush()


def rows(file: File, limits: Limits) -> Iterator[list[Any]]:
    """Lists of (number, row, problem, size); neither row nor problem where a row is too long."""
    taken = _allow(ROOM)
    metadata = pq.read_metadata(file)
    _check(metadata, limits)
    file.seek(0)
    groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
    _allow(ROOM + 2 * max(map(_group_size, groups), default=0), taken=taken)
    content = pq.ParquetFile(file, read_dictionary=_texts(metadata))
    number, total = 0, 0
    for batch in content.iter_batches(batch_size=_rows_at_once(groups), use_threads=False):
        for piece in _pieces(batch, limits["line_bytes"]):
            size = _unpacked_size(piece)
            total += size
            if total > limits["file_bytes"]:
                raise Refused("unpacks", number + 1)
            if size > limits["line_bytes"]:
                number += 1
                yield [(number, None, None, size)]
                continue
            found = _found(piece, first=number + 1)
            yield [
                _line(number + place, row, size=size // piece.num_rows)
                for place, row in enumerate(found, 1)
            ]
            number += len(found)


def _found(piece: pa.RecordBatch, *, first: int) -> list[dict[str, Any]]:
    """The rows of the piece; a map is an object, as in lines of JSON."""
    try:
        return list(piece.to_pylist(maps_as_pydicts="strict"))
    except KeyError as error:
        last = first + piece.num_rows - 1
        where = f"row {first:,}" if first == last else f"rows {first:,} to {last:,}"
        raise Refused(
            f"A map in {where} of the Parquet file has a key twice; keep one of them.", first
        ) from error


def _allow(room: int, *, taken: int | None = None) -> int:
    """Let this process take so many bytes beside those that it had; answers how many those are."""
    if taken is None:
        try:
            with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123
                taken = int(statm.read().split()[0]) * resource.getpagesize()
        except OSError:  # a system that does not say, and enforces no such limit either
            return 0
    if taken:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = taken + room
        soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    return taken


def _texts(metadata: Any) -> list[str]:
    """The columns of texts and bytes, which are read as a dictionary and places in it.

    A text that stands in the file once and is meant a thousand times stays one in memory.
    """
    columns = [metadata.schema.column(n) for n in range(metadata.num_columns)]
    return [each.path for each in columns if each.physical_type == "BYTE_ARRAY"]


def _rows_at_once(groups: list[Any]) -> int:
    """Fewer than usual where rows are long."""
    longest = max((_group_size(each) // max(each.num_rows, 1) for each in groups), default=0)
    return max(1, min(BATCH, BATCH_BYTES // max(longest, 1)))


def _values(group: Any) -> int:
    return sum(group.column(n).num_values for n in range(group.num_columns))


def _group_size(group: Any) -> int:
    """Bytes once it is read: a thousand equal numbers stand in the file as one, and not here."""
    return max(int(group.total_byte_size), VALUE * _values(group))


def _pieces(batch: pa.RecordBatch, most: int) -> Iterator[pa.RecordBatch]:
    """The batch in pieces of at most so many bytes; a longer row alone."""
    if batch.num_rows <= 1 or _unpacked_size(batch) <= most:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _pieces(batch.slice(0, half), most)
    yield from _pieces(batch.slice(half), most)


def _unpacked_size(values: Any) -> int:
    """Bytes of a batch or array once every text stands where it is meant."""
    if isinstance(values, pa.RecordBatch):
        return sum(_unpacked_size(column) for column in values.columns)
    if isinstance(values, pa.DictionaryArray):
        lengths = pc.binary_length(values.dictionary).take(values.indices)
        return int(pc.sum(lengths.cast(pa.int64())).as_py() or 0)
    if isinstance(values, pa.StructArray):
        return sum(_unpacked_size(field) for field in values.flatten())
    if isinstance(values, pa.MapArray):  # which is a list of pairs, and does not flatten
        kept = slice(values.offsets[0].as_py(), values.offsets[-1].as_py())
        return _unpacked_size(values.keys[kept]) + _unpacked_size(values.items[kept])
    if isinstance(values, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray):
        return _unpacked_size(values.flatten())
    return int(values.nbytes)


def _check(metadata: Any, limits: Limits) -> None:
    """What the file says of itself, before anything of it is read."""
    if metadata.num_columns > MAX_COLUMNS:
        raise Refused(
            f"The Parquet file has {metadata.num_columns:,} columns; {MAX_COLUMNS} are allowed."
        )
    if metadata.num_rows > limits["rows"]:
        raise Refused(
            f"The file has more than {limits['rows']:,} rows. Split it, or raise "
            "TOUCHSTONE_MAX_IMPORT_ROWS."
        )
    paths: set[str] = set()
    for number in range(metadata.num_columns):
        column = metadata.schema.column(number)
        if column.path in paths:
            raise Refused(f"The column “{column.path[:80]}” stands twice; keep one of them.")
        paths.add(column.path)
        if column.physical_type == "FIXED_LEN_BYTE_ARRAY" and column.length > MAX_FIXED:
            raise Refused(f"The column “{column.path[:80]}” holds bytes, not text or numbers.")
    groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
    if sum(each.total_byte_size for each in groups) > limits["file_bytes"]:
        raise Refused("unpacks")
    if sum(map(_values, groups)) > MAX_VALUES * limits["rows"]:
        raise Refused(
            f"The Parquet file holds more than {MAX_VALUES * limits['rows']:,} values. Split it, or"
            " leave out columns that are no text."
        )
    if groups and max(map(_group_size, groups)) > limits["row_group"]:
        raise Refused("A row group unpacks to more than 1 GB. Write the file in smaller groups.")


def _line(number: int, row: dict[str, Any], *, size: int) -> tuple[int, Any, str | None, int]:
    try:
        plain = {key: _plain(value, where=key) for key, value in row.items() if value is not None}
    except TypeError as error:
        return number, None, str(error), size
    return number, plain, None, size


def _plain(value: Any, *, where: str) -> Any:
    """The value as JSON knows it, without the nulls that a common schema forces on a row."""
    if isinstance(value, dict):
        return {str(k): _plain(v, where=where) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_plain(item, where=where) for item in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"“{where}” holds {type(value).__name__}, which is neither text nor number.")


def main() -> None:
    limits: Limits = json.loads(sys.argv[1])
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    try:
        for lines in rows(File(source, sink, limits["size"]), limits):
            send(sink, b"l", marshal.dumps(lines))
    except BrokenPipeError:
        os._exit(1)
    except MemoryError:  # Arrow's own too
        os._exit(3)
    except Refused as error:
        send(sink, b"e", marshal.dumps((error.why, error.row)))
    except (pa.ArrowException, OSError, ValueError) as error:
        if "bad_alloc" in str(error):  # wrapped by the part of Arrow that it went through
            os._exit(3)
        reason = str(error).split("\n", maxsplit=1)[0][:200].rstrip(".")
        send(sink, b"e", marshal.dumps((f"unreadable: {reason}", None)))
    else:
        send(sink, b".", b"")


if __name__ == "__main__":
    main()
