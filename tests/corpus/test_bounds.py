"""Files made to exhaust the machine are refused in little memory, with a sentence.

What counts is the memory of the whole process, as the system sees it: compression and Parquet
allocate outside of Python. No test writes the bytes that its file unpacks to.
"""

import gzip
import io
import json
import zlib
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.corpus.formats import BadFile, Limits, parquet, read_file
from tests.corpus import lying

LIMITS = Limits(file_bytes=20 * 10**9, line_bytes=16 * 10**6, rows=200_000)
STATUS = Path("/proc/self/status")
GOOD = json.dumps({"prompt": "x", "responses": ["a", "b"]}).encode() + b"\n"
HEADER = b"prompt,chosen,rejected\n"
LITTLE = 150  # MB, of which one line of 16 MB takes its share several times over


class Repeated(io.RawIOBase):
    """A file that says `head` and then the same thing over and over, made as it is read."""

    def __init__(self, head: bytes, unit: bytes, size: int) -> None:
        self.head, self.at, self.size = head, 0, size
        self.body = unit * max(1, (1 << 20) // len(unit))

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=0):
        self.at = (0, self.at, self.size)[whence] + offset
        return self.at

    def tell(self):
        return self.at

    def readinto(self, target):
        count = min(len(target), self.size - self.at)
        piece = self.head[self.at : self.at + count]
        while len(piece) < count:
            start = (self.at + len(piece) - len(self.head)) % len(self.body)
            piece += self.body[start : start + count - len(piece)]
        target[:count] = piece
        self.at += count
        return count


def repeated(head: bytes, unit: bytes, size: int = 2 * 10**9):
    return io.BufferedReader(Repeated(head, unit, size), 1 << 20)


def packed(unit: bytes, size: int) -> io.BytesIO:
    """A gzip of the same thing over and over."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    piece = unit * (10**7 // len(unit))
    pieces = [packer.compress(piece) for _ in range(size // 10**7)]
    return io.BytesIO(b"".join([*pieces, packer.flush()]))


def table(columns: dict, **options) -> io.BytesIO:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, compression="zstd", **options)
    file.seek(0)
    return file


def numbers(rows: int, each: int) -> pa.Array:
    """Lists of zeros, which take a few bytes in a file however many they are."""
    offsets = pa.array(np.arange(rows + 1) * each, pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(np.zeros(rows * each, "int8")))


def nested(levels: int) -> pa.Array:
    kind, value = pa.int8(), 1
    for _ in range(levels):
        kind, value = pa.list_(kind), [value]
    return pa.array([value], kind)


def line(further: bytes) -> io.BytesIO:
    return io.BytesIO(b'{"prompt": "x", "further": ' + further + b"}\n")


def megabytes(name: str) -> float:
    (found,) = (each for each in STATUS.read_text().splitlines() if each.startswith(name))
    return int(found.split()[1]) / 1024


def said_of(file) -> str:
    """Why the file or its last row is refused, having taken little memory to say so."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = megabytes("VmRSS")
    said = ""
    try:
        for row in read_file(file, format="auto", limits=LIMITS):
            said = row.problem or said
    except BadFile as error:
        said = str(error)
    assert megabytes("VmHWM") - before < LITTLE
    return said


pytestmark = pytest.mark.skipif(not STATUS.exists(), reason="measures memory as Linux tells it")

FILES = {
    "a gzip of zeros": (
        lambda: packed(b"0", 5 * 10**8),
        "Line 1 is longer than 16 MB",
    ),
    "a gzip of line ends": (lambda: packed(b"\n", 10**8), "more than 200,000 lines"),
    "a gzip of a gzip": (
        lambda: io.BytesIO(gzip.compress(gzip.compress(GOOD))),
        "compressed with gzip twice",
    ),
    "a zip": (lambda: io.BytesIO(b"PK\x03\x04" + b"\0" * 1000), "a zip archive; unpack it"),
    "empty members of gzip without end": (
        lambda: io.BytesIO(gzip.compress(GOOD) + gzip.compress(b"") * 50_000 + b"\x1f\x8b\x08"),
        "ends too early",
    ),
    "a line of two gigabytes": (
        lambda: repeated(b'{"prompt": "', b"x"),
        "did not even end within 256 MB",
    ),
    "lines without anything": (lambda: repeated(b"", b"\n"), "more than 200,000 lines"),
    "lists in lists": (lambda: line(b"[" * 10_000 + b"]" * 10_000), "nested far too deep"),
    "objects in objects": (
        lambda: line(b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
        "nested far too deep",
    ),
    "a line of brackets": (lambda: line(b"[" * 7_000_000), "more than 1,000,000 values"),
    "a list of millions": (
        lambda: line(b"[" + b"[]," * 5_000_000 + b"1]"),
        "more than 1,000,000 values",
    ),
    "an object of millions": (
        lambda: line(b"{" + b'"a":1,' * 2_000_000 + b'"b":1}'),
        "more than 1,000,000 values",
    ),
    "a number of many digits": (lambda: line(b"9" * 10**6), "too long to read"),
    "lists in lists in a cell": (
        lambda: io.BytesIO(b'prompt,responses\nx,"' + b"[" * 10_000 + b"]" * 10_000 + b'"\n'),
        "The cell of “responses” is nested far too deep",
    ),
    "a number of many digits in a cell": (
        lambda: io.BytesIO(b'prompt,responses,meta\nx,"[""a"", ""b""]",' + b"9" * 5000 + b"\n"),
        "The cell of “meta” has a number that is too long to read",
    ),
    "a table of a million columns": (
        lambda: io.BytesIO(b"prompt," + b",".join(b"c%d" % n for n in range(10**6)) + b"\nx\n"),
        "1,000,001 columns; 1,000 are allowed",
    ),
    "a quotation mark never closed": (
        lambda: repeated(HEADER + b'"', b"some text " * 200 + b"\n"),
        "row that begins at line 2: field larger than field limit",
    ),
    "a row of many long cells": (
        lambda: repeated(HEADER, b'"' + (b"text" * 100 + b"\n") * 1000 + b'",'),
        "is longer than 16 MB. Is a quotation mark never closed?",
    ),
    "a Parquet file of many columns": (
        lambda: table({f"c{n}": [1] for n in range(3000)}),
        "3,000 columns; 200 are allowed",
    ),
    "a Parquet file that says it has a million columns": (
        lambda: io.BytesIO(b"PAR1" + b"x" * 100 + (64 << 20).to_bytes(4, "little") + b"PAR1"),
        "describes too many columns",
    ),
    "Parquet cells of millions together": (
        lambda: table({"prompt": ["x"] * 11, "a": numbers(11, 2_000_000)}, row_group_size=1),
        "holds more than 20,000,000 values",
    ),
    "bytes that stand once and are meant often": (
        lambda: table(
            {
                "prompt": ["x"] * 300,
                "b": pa.DictionaryArray.from_arrays(
                    pa.array([0] * 300, pa.int32()), pa.array([b"x" * 3_000_000])
                ),
            }
        ),
        "“b” holds bytes",
    ),
    "bytes of a fixed length": (
        lambda: table({"prompt": ["x"], "b": pa.array([b"x" * 100_000], pa.binary(100_000))}),
        "The column “b” holds bytes",
    ),
    "lists in lists in Parquet": (
        lambda: table({"prompt": ["x"], "a": nested(150)}),
        "The Parquet file cannot be read: Parquet schema too deeply nested",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_made_to_exhaust_the_machine_is_refused_in_little_memory(name):
    make, says = FILES[name]
    assert says in said_of(make())


def test_a_row_of_lists_is_read_a_few_at_a_time():
    limits = Limits(file_bytes=10**9, line_bytes=16 * 10**6, rows=200_000)
    file = table({"prompt": ["x"] * 40, "a": numbers(40, 50_000)})
    Path("/proc/self/clear_refs").write_text("5")
    before = megabytes("VmRSS")
    rows = [len(row.task.meta["a"]) for row in read_file(file, format="auto", limits=limits)]
    assert rows == [50_000] * 40
    assert megabytes("VmHWM") - before < LITTLE


def test_a_group_of_rows_that_holds_too_many_numbers_is_refused(monkeypatch):
    """However few bytes they take in the file: a group is read at once."""
    monkeypatch.setattr("app.corpus.formats.parquet.MAX_ROW_GROUP", 10**7)
    file = table({"prompt": ["x"], "a": numbers(1, 10**6)})
    assert len(file.getvalue()) < 10_000
    assert "A row group unpacks to more than" in said_of(file)


LIES = {
    "columns by the million in a footer": lying.chunks_without_end,
    "a page of a gigabyte": lambda: lying.page_of(1 << 30),
}


@pytest.mark.parametrize("name", LIES)
def test_a_parquet_file_that_lies_about_what_it_takes_is_refused_in_little_memory(name):
    """Arrow takes one to four gigabytes for them, in whichever process reads them."""
    content = io.BytesIO(LIES[name]())
    assert "takes far more memory than it says" in said_of(content)


def test_the_reader_of_parquet_ends_with_whoever_wants_no_more_rows():
    rows = parquet.parquet_lines(table({"prompt": ["x"] * 5_000}, row_group_size=1_000), LIMITS)
    assert next(rows).row == {"prompt": "x"}
    (reader,) = (each for each in psutil.Process().children() if parquet.READER in each.cmdline())
    rows.close()
    assert not reader.is_running()


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-12:00"])
def test_a_time_that_no_clock_shows_is_refused(moment):
    judged = {"annotator": "T1", "ranks": [1, 2], "created_at": moment}
    row = {"prompt": "x", "responses": ["a", "b"], "annotations": [judged]}
    assert "a year in which nobody judged" in said_of(io.BytesIO(json.dumps(row).encode()))


@pytest.mark.parametrize(
    "text",
    [r"\u0000", r"\ud800", r"\uDFFF x", r"\udc00\ud800"],
)
def test_what_the_database_cannot_keep_is_found_however_it_is_written(text):
    said = said_of(io.BytesIO(b'{"prompt": "' + text.encode() + b'"}\n'))
    assert "NUL character" in said or "half of a surrogate pair" in said


def test_a_pair_of_surrogates_is_one_sign():
    (row,) = read_file(io.BytesIO(rb'{"prompt": "\ud83d\ude00"}'), format="auto", limits=LIMITS)
    assert row.task.messages[0]["content"] == "\N{GRINNING FACE}"
