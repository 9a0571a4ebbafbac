"""Rows of Parquet files, read by a process of its own: a file may lie about what it takes."""

import json
import marshal
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from app.corpus.formats import parquet_child
from app.corpus.formats.lines import Limits, Line, too_long, unpacks_to_too_much
from app.corpus.formats.rows import BadFile, BadLine
from app.corpus.formats.values import check_json

MAGIC = b"PAR1"
MAX_FOOTER = 16 << 20
MAX_ROW_GROUP = 1 << 30  # bytes unpacked: one group is read at a time
READER = str(Path(parquet_child.__file__))
# What Arrow takes is counted as the system gives it, not as a pool of its own reserves it.
ALLOCATION = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"}
LIES = (
    "The Parquet file takes far more memory than it says, or is damaged. Write it again, in "
    "groups of fewer rows, and upload it anew."
)


def is_parquet(head: bytes) -> bool:
    return head.startswith(MAGIC)


def parquet_lines(stream: IO[bytes], limits: Limits) -> Iterator[Line]:
    """Rows of a Parquet file; absent values are left out."""
    size = _checked_size(stream)
    allowed = {
        "size": size,
        "file_bytes": limits.file_bytes,
        "line_bytes": limits.line_bytes,
        "rows": limits.rows,
        "row_group": MAX_ROW_GROUP,
    }
    with subprocess.Popen(
        [sys.executable, "-P", READER, json.dumps(allowed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | ALLOCATION,
    ) as reader:
        try:
            for number, row, problem, its_size in _rows(reader, stream, limits):
                if row is not None:
                    yield _line(number, row, size=its_size)
                else:
                    yield Line(number, problem=problem or too_long(number, limits))
        finally:
            reader.kill()


def _rows(
    reader: "subprocess.Popen[bytes]", stream: IO[bytes], limits: Limits
) -> Iterator[tuple[int, dict[str, Any] | None, str | None, int]]:
    """What the reader says of each row; it is given the bytes that it asks for."""
    assert reader.stdin is not None
    assert reader.stdout is not None
    kind, message = _message(reader.stdout)
    while kind != b".":
        if kind == b"r":
            place, size = parquet_child.PLACE.unpack(message)
            stream.seek(place)
            piece = stream.read(size)
            try:
                reader.stdin.write(piece)
                reader.stdin.flush()
            except BrokenPipeError:
                raise BadFile(LIES) from None
        elif kind == b"l":
            yield from marshal.loads(message)  # noqa: S302 - written by our own script
        else:
            raise _refusal(*marshal.loads(message), limits=limits)  # noqa: S302
        kind, message = _message(reader.stdout)


def _message(source: IO[bytes]) -> tuple[bytes, bytes]:
    """A kind and what belongs to it; `BadFile` where the reader has ended without a word."""
    head = source.read(9)
    if len(head) < 9:
        raise BadFile(LIES)
    (size,) = parquet_child.LENGTH.unpack(head[1:])
    message = source.read(size)
    if len(message) < size:
        raise BadFile(LIES)
    return head[:1], message


def _refusal(why: str, row: int | None, *, limits: Limits) -> BadFile:
    if why == "unpacks":
        return BadFile(unpacks_to_too_much(limits), line=row)
    if why.startswith("unreadable: "):
        reason = why.removeprefix("unreadable: ")
        return BadFile(
            f"The Parquet file cannot be read: {reason}. Write it again and upload it anew."
        )
    return BadFile(why, line=row)


def _checked_size(stream: IO[bytes]) -> int:
    """How long the file is; `BadFile` where it has no end that fits."""
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
    return end


def _line(number: int, row: dict[str, Any], *, size: int) -> Line:
    try:
        check_json(row)
    except BadLine as error:
        return Line(number, problem=str(error))
    return Line(number, row=row, size=size)
