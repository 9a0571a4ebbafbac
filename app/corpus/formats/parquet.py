"""Rows of Parquet files, batch by batch."""

import struct
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from app.corpus.formats.lines import Limits, Line, too_long, unpacks_to_too_much
from app.corpus.formats.rows import BadFile, BadLine
from app.corpus.formats.values import check_json

MAGIC = b"PAR1"
MAX_FOOTER = 16 << 20
MAX_COLUMNS = 200
MAX_ROW_GROUP = 1 << 30  # bytes unpacked: one group is read at a time
VALUE = 16  # bytes that a number of a list takes, however few it takes in the file
MAX_VALUES = 100  # per row, over the whole file
MAX_FIXED = 64  # bytes of values of a fixed length, which no dictionary keeps small
BATCH = 500  # rows …
BATCH_BYTES = 32 << 20  # … or so many bytes, whichever is fewer


def is_parquet(head: bytes) -> bool:
    return head.startswith(MAGIC)


def parquet_lines(stream: IO[bytes], limits: Limits) -> Iterator[Line]:
    """Rows of a Parquet file; absent values are left out."""
    _check_footer(stream)
    try:
        metadata = pq.read_metadata(stream)
        _check_size(metadata, limits)
        stream.seek(0)
        file = pq.ParquetFile(stream, read_dictionary=_texts(metadata))
        number, total = 0, 0
        for batch in file.iter_batches(batch_size=_rows_at_once(metadata), use_threads=False):
            for piece in _pieces(batch, limits.line_bytes):
                size = _unpacked_size(piece)
                total += size
                if total > limits.file_bytes:
                    raise BadFile(unpacks_to_too_much(limits), line=number + 1)
                if size > limits.line_bytes:
                    number += 1
                    yield Line(number, problem=too_long(number, limits))
                    continue
                for row in piece.to_pylist():
                    number += 1
                    yield _line(number, row, size=size // piece.num_rows)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).split("\n", maxsplit=1)[0][:200].rstrip(".")
        raise BadFile(
            f"The Parquet file cannot be read: {reason}. Write it again and upload it anew."
        ) from error


def _texts(metadata: Any) -> list[str]:
    """The columns of texts and bytes, which are read as a dictionary and places in it.

    A text that stands in the file once and is meant a thousand times stays one in memory.
    """
    columns = [metadata.schema.column(n) for n in range(metadata.num_columns)]
    return [each.path for each in columns if each.physical_type == "BYTE_ARRAY"]


def _rows_at_once(metadata: Any) -> int:
    """Fewer than usual where rows are long."""
    groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
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
    if isinstance(values, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray):
        return _unpacked_size(values.flatten())
    return int(values.nbytes)


def _check_footer(stream: IO[bytes]) -> None:
    end = stream.seek(0, 2)
    stream.seek(max(0, end - 8))
    tail = stream.read(8)
    stream.seek(0)
    if len(tail) < 8 or tail[4:] != MAGIC:
        raise BadFile("The Parquet file ends too early. Upload it again.")
    if struct.unpack("<I", tail[:4])[0] > MAX_FOOTER:
        raise BadFile(
            "The Parquet file describes too many columns or groups to be a table of ours."
        )


def _check_size(metadata: Any, limits: Limits) -> None:
    if metadata.num_columns > MAX_COLUMNS:
        raise BadFile(
            f"The Parquet file has {metadata.num_columns:,} columns; {MAX_COLUMNS} are allowed."
        )
    if metadata.num_rows > limits.rows:
        raise BadFile(
            f"The file has more than {limits.rows:,} rows. Split it, or raise "
            "TOUCHSTONE_MAX_IMPORT_ROWS."
        )
    for number in range(metadata.num_columns):
        column = metadata.schema.column(number)
        if column.physical_type == "FIXED_LEN_BYTE_ARRAY" and column.length > MAX_FIXED:
            raise BadFile(f"The column “{column.path[:80]}” holds bytes, not text or numbers.")
    groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
    if sum(each.total_byte_size for each in groups) > limits.file_bytes:
        raise BadFile(unpacks_to_too_much(limits))
    if sum(map(_values, groups)) > MAX_VALUES * limits.rows:
        raise BadFile(
            f"The Parquet file holds more than {MAX_VALUES * limits.rows:,} values. Split it, or "
            "leave out columns that are no text."
        )
    if groups and max(map(_group_size, groups)) > MAX_ROW_GROUP:
        raise BadFile("A row group unpacks to more than 1 GB. Write the file in smaller groups.")


def _line(number: int, row: dict[str, Any], *, size: int) -> Line:
    try:
        plain = {key: _plain(value, where=key) for key, value in row.items() if value is not None}
        check_json(plain)
    except BadLine as error:
        return Line(number, problem=str(error))
    return Line(number, row=plain, size=size)


def _plain(value: Any, *, where: str) -> Any:
    """The value as JSON knows it, without the nulls that a common schema forces on a row."""
    if isinstance(value, dict):
        return {k: _plain(v, where=where) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_plain(item, where=where) for item in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise BadLine(f"“{where}” holds {type(value).__name__}, which is neither text nor number.")
