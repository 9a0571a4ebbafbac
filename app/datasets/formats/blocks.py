"""Rows of a frozen file from any place in it.

A gzip file is a row of members that can each be read for itself, and each begins with a new row
(files frozen by earlier versions are one member: those are read from their beginning). Parquet has
row groups. Where members begin is learned while reading and remembered: files never change.
"""

import json
import zlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import itemgetter
from threading import Lock
from typing import BinaryIO

import pyarrow.parquet as pq
from pydantic_core import from_json

from app.datasets.formats.folder import DataFile, Folder
from app.datasets.formats.prompt_ids import prompt_id_in, prompt_id_of
from app.datasets.rules.identity import canonical_json
from app.datasets.rules.rows import ConfigName, Row
from app.errors import Invalid

PIECE = 1 << 16  # packed bytes read at once: at most 64 MB unpacked
GZIP = 31  # zlib's word for: a gzip header, and its checksum at the end
HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00"  # deflate, no name, no time
MOST_LINE = 1 << 28  # bytes; longer ones come from elsewhere
_BATCH = 500  # rows of Parquet decoded at once
_MOST_FILES = 64

Line = tuple[int, bytes]  # number of the row, its JSON


def parsed(line: bytes) -> Row:
    """The row of a line."""
    try:
        row: Row = from_json(line)
    except ValueError:  # a lone surrogate, which the quicker reader does not know
        row = json.loads(line)
    return row


@dataclass(slots=True)
class _Members:
    """(place in the file, number of its first row) of the members known so far."""

    known: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)])
    lock: Lock = field(default_factory=Lock)

    def before(self, row: int) -> tuple[int, int]:
        with self.lock:
            return self.known[bisect_right(self.known, row, key=itemgetter(1)) - 1]

    def learn(self, place: int, row: int) -> None:
        with self.lock:
            if place > self.known[-1][0]:
                self.known.append((place, row))


_KNOWN: OrderedDict[tuple[str, str], _Members] = OrderedDict()
_KNOWN_LOCK = Lock()


def _members(folder: Folder, path: str) -> _Members:
    with _KNOWN_LOCK:
        found = _KNOWN.setdefault((folder.key, path), _Members())
        _KNOWN.move_to_end((folder.key, path))
        while len(_KNOWN) > _MOST_FILES:
            _KNOWN.popitem(last=False)
        return found


def lines(folder: Folder, file: DataFile, *, start: int = 0) -> Iterator[Line]:
    """The rows of a file from number `start` on."""
    if file.path.endswith(".parquet"):
        yield from _parquet_lines(folder, file, start=start)
        return
    members = _members(folder, file.path)
    place, row = members.before(start)
    with folder.open(file.path) as content:
        content.seek(place)
        for begins, line in _gzip_lines(content, place):
            if begins is not None:
                members.learn(begins, row)
            if row >= start:
                yield row, line
            row += 1


def _gzip_lines(content: BinaryIO, place: int) -> Iterator[tuple[int | None, bytes]]:
    """(where the member begins, for its first line; the line without its end)."""
    begins: int | None = place
    tail = b""
    for at, piece in _unpacked(content, place):
        if at is not None:
            begins = at if not tail else None
        parts = (tail + piece).split(b"\n")
        tail = parts.pop()
        for line in parts:
            yield begins, line
            begins = None
        if len(tail) > MOST_LINE:
            raise Invalid("A row of the file is longer than any that Touchstone writes.")
    if tail:
        yield begins, tail


def _unpacked(content: BinaryIO, place: int) -> Iterator[tuple[int | None, bytes]]:
    """Pieces of what is packed, and where its member begins before the first of each."""
    unpack = zlib.decompressobj(GZIP)
    begins: int | None = place
    data = content.read(PIECE)
    read = place + len(data)
    try:
        while data:
            piece = unpack.decompress(data)
            if piece or begins is not None:
                yield begins, piece
                begins = None
            if unpack.eof:
                data = unpack.unused_data
                if not data:
                    data = content.read(PIECE)
                    read += len(data)
                begins = read - len(data)
                unpack = zlib.decompressobj(GZIP)
            else:
                data = content.read(PIECE)
                read += len(data)
    except zlib.error as error:
        raise Invalid(f"A file of the snapshot is damaged: {error}.") from error
    if not unpack.eof and begins is None:
        raise Invalid("A file of the snapshot is damaged: it ends too early.")


def rows_of_prompt(folder: Folder, file: DataFile, prompt_id: str) -> list[Line]:
    """The rows of one prompt, found by halving the file; their numbers are -1."""
    found = []
    for line in _lines_near(folder, file, prompt_id):
        its = prompt_id_in(line) or prompt_id_of(file.config, parsed(line))
        if its == prompt_id:
            found.append((-1, line))
        elif its > prompt_id:
            break
    return found


def _lines_near(folder: Folder, file: DataFile, prompt_id: str) -> Iterator[bytes]:
    """Lines from somewhere before the prompt's on."""
    if file.path.endswith(".parquet"):
        yield from _parquet_near(folder, file, prompt_id)
        return
    with folder.open(file.path) as content:
        place = _member_before(content, file, prompt_id)
        content.seek(place)
        for _, line in _gzip_lines(content, place):
            yield line


def _member_before(content: BinaryIO, file: DataFile, prompt_id: str) -> int:
    """Where a member begins whose first row comes before the prompt's rows."""
    low, high = 0, file.bytes
    while high - low > PIECE:
        middle = (low + high) // 2
        place = _next_member(content, middle, high)
        if place is None:
            high = middle
            continue
        content.seek(place)
        try:
            _, line = next(_gzip_lines(content, place))
        except (Invalid, StopIteration):  # only looked like the beginning of one
            high = middle
            continue
        its = prompt_id_in(line) or prompt_id_of(file.config, parsed(line))
        if its < prompt_id:
            low = place
        else:
            high = middle
    return low


def _next_member(content: BinaryIO, start: int, end: int) -> int | None:
    content.seek(start)
    at, kept = start, b""
    while at < end + len(HEADER) and (piece := content.read(PIECE)):
        found = (kept + piece).find(HEADER)
        if found >= 0:
            place = at - len(kept) + found
            return place if place < end else None
        at += len(piece)
        kept = piece[-len(HEADER) + 1 :]
    return None


@contextmanager
def _parquet(folder: Folder, file: DataFile) -> Iterator[pq.ParquetFile]:
    with folder.open(file.path) as content:
        yield pq.ParquetFile(content)


def _parquet_lines(folder: Folder, file: DataFile, *, start: int) -> Iterator[Line]:
    with _parquet(folder, file) as content:
        row, first = 0, 0
        while first < content.num_row_groups:
            size = content.metadata.row_group(first).num_rows
            if row + size > start:
                break
            row, first = row + size, first + 1
        groups = list(range(first, content.num_row_groups))
        if not groups:
            return
        for batch in content.iter_batches(batch_size=_BATCH, row_groups=groups):
            if row + batch.num_rows > start:
                for number, found in enumerate(batch.to_pylist(), row):
                    if number >= start:
                        yield number, canonical_json(found)
            row += batch.num_rows


def _parquet_near(folder: Folder, file: DataFile, prompt_id: str) -> Iterator[bytes]:
    with _parquet(folder, file) as content:
        low, high = 0, content.num_row_groups
        while high - low > 1:
            middle = (low + high) // 2
            batch = next(content.iter_batches(batch_size=1, row_groups=[middle]), None)
            first = batch.to_pylist() if batch else []  # the last group may be empty
            if first and prompt_id_of(file.config, first[0]) < prompt_id:
                low = middle
            else:
                high = middle
        groups = list(range(low, content.num_row_groups))
        for batch in content.iter_batches(batch_size=_BATCH, row_groups=groups):
            for found in batch.to_pylist():
                yield canonical_json(found)


def prompt_id_reader(config: ConfigName) -> Callable[[bytes], str]:
    """How the prompt's id is read from a line of this config."""

    def read(line: bytes) -> str:
        return prompt_id_in(line) or prompt_id_of(config, parsed(line))

    return read
