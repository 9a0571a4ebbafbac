"""Rows of Parquet files, batch by batch."""

import struct
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from app.corpus.formats.lines import Limits, Line
from app.corpus.formats.rows import BadFile, BadLine
from app.corpus.formats.values import check_json

MAGIC = b"PAR1"
MAX_FOOTER = 16 << 20
MAX_COLUMNS = 200
MAX_ROW_GROUP = 1 << 30  # bytes unpacked: one group is read at a time
BATCH = 500


def is_parquet(head: bytes) -> bool:
    return head.startswith(MAGIC)


def parquet_lines(stream: IO[bytes], limits: Limits) -> Iterator[Line]:
    """Rows of a Parquet file; absent values are left out."""
    _check_footer(stream)
    try:
        file = pq.ParquetFile(stream, memory_map=False)
        _check_size(file.metadata, limits)
        number = 0
        for batch in file.iter_batches(batch_size=BATCH, use_threads=False):
            for row in batch.to_pylist():
                number += 1
                yield _line(number, row)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).split("\n", maxsplit=1)[0][:200]
        raise BadFile(f"The Parquet file cannot be read: {reason}") from error


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
    groups = [metadata.row_group(n).total_byte_size for n in range(metadata.num_row_groups)]
    if sum(groups) > limits.file_bytes:
        raise BadFile(
            f"The file unpacks to more than {limits.file_bytes // 10**6:,} MB. Split it, or raise "
            "TOUCHSTONE_MAX_IMPORT_MB."
        )
    if groups and max(groups) > MAX_ROW_GROUP:
        raise BadFile("A row group unpacks to more than 1 GB. Write the file in smaller groups.")


def _line(number: int, row: dict[str, Any]) -> Line:
    try:
        plain = {key: _plain(value, where=key) for key, value in row.items() if value is not None}
        check_json(plain)
    except BadLine as error:
        return Line(number, problem=str(error))
    return Line(number, row=plain)


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
