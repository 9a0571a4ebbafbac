"""The data files of a snapshot: the same rows always give the same bytes."""

import gzip
import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from app.datasets.formats.columns import arrow_schema
from app.datasets.rules.identity import Split, canonical_json
from app.datasets.rules.rows import ConfigName, Row
from app.datasets.schemas import FileFormat

GZIP_LEVEL = 1  # five times as fast as the usual 6, and a tenth larger
_CHUNK_BYTES = 1 << 18
_ROW_GROUP = 2_000
_WAITING = 8  # chunks that may wait for the compressor: bounds memory


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A data file. content_sha256: over its rows as uncompressed JSON lines, in any format."""

    config: ConfigName
    split: Split
    path: str
    rows: int
    content_sha256: str


class _Sink(Protocol):
    def write(self, lines: bytes, rows: Sequence[Row]) -> None: ...
    def close(self) -> None: ...


class _JsonLines:
    """gzip with nothing in its header that could differ: no name, no time.

    Each chunk of lines is a member of its own, as the format allows: any of them can be read
    without those before it.
    """

    def __init__(self, path: Path) -> None:
        self.file = path.open("wb")

    def write(self, lines: bytes, rows: Sequence[Row]) -> None:  # noqa: ARG002
        if lines:
            with gzip.GzipFile(
                filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=self.file, mtime=0
            ) as member:
                member.write(lines)

    def close(self) -> None:
        self.file.close()


class _Parquet:
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.schema = schema
        self.writer = pq.ParquetWriter(path, schema, compression="zstd")

    def write(self, lines: bytes, rows: Sequence[Row]) -> None:  # noqa: ARG002
        self.writer.write_table(pa.Table.from_pylist(list(rows), schema=self.schema))

    def close(self) -> None:
        self.writer.close()


class _DataFile:
    """Rows of one config and split, handed on in chunks."""

    def __init__(self, sink: _Sink, path: str, *, keeps_rows: bool) -> None:
        self.sink = sink
        self.path = path
        self.keeps_rows = keeps_rows
        self.content = hashlib.sha256()
        self.lines: list[bytes] = []
        self.waiting: list[Row] = []
        self.waiting_bytes = 0
        self.rows = 0

    def add(self, row: Row) -> bool:
        """Keep a row; True when a chunk is full."""
        line = canonical_json(row) + b"\n"
        self.lines.append(line)
        self.waiting_bytes += len(line)
        if self.keeps_rows:
            self.waiting.append(row)
            return len(self.waiting) >= _ROW_GROUP
        return self.waiting_bytes >= _CHUNK_BYTES

    def take(self) -> tuple[bytes, list[Row]]:
        chunk, rows = b"".join(self.lines), self.waiting
        self.rows += len(self.lines)
        self.lines, self.waiting, self.waiting_bytes = [], [], 0
        return chunk, rows

    def write(self, lines: bytes, rows: list[Row]) -> None:
        self.content.update(lines)
        self.sink.write(lines, rows)


class DataFiles:
    """All data files of a folder. Files come to be with their first row: none is empty.

    Hashing and compressing happen in a thread beside the one that makes the rows (zlib lets the
    interpreter go), at most a few chunks behind.
    """

    def __init__(self, folder: Path, *, file_format: FileFormat, criteria: Sequence[str]) -> None:
        self.folder = folder
        self.format = file_format
        self.criteria = criteria
        self.files: dict[tuple[ConfigName, Split], _DataFile] = {}
        self.writer = ThreadPoolExecutor(1, thread_name_prefix="snapshot-writer")
        self.pending: deque[Future[None]] = deque()

    def add(self, config: ConfigName, split: Split, row: Row) -> None:
        file = self.files.get((config, split))
        if file is None:
            file = self.files[config, split] = self._open(config, split)
        if file.add(row):
            self._hand_over(file)

    def close(self) -> list[WrittenFile]:
        """Write what is left; the files in the order of configs, training before test."""
        for file in self.files.values():
            self._hand_over(file)
        self._wait(until=0)
        order = list(ConfigName)
        written = []
        for (config, split), file in sorted(
            self.files.items(), key=lambda item: (order.index(item[0][0]), item[0][1] != "train")
        ):
            file.sink.close()
            written.append(
                WrittenFile(config, split, file.path, file.rows, file.content.hexdigest())
            )
        return written

    def _hand_over(self, file: _DataFile) -> None:
        self.pending.append(self.writer.submit(file.write, *file.take()))
        self._wait(until=_WAITING)

    def _wait(self, *, until: int) -> None:
        while len(self.pending) > until:
            self.pending.popleft().result()

    def _open(self, config: ConfigName, split: Split) -> _DataFile:
        is_parquet = self.format is FileFormat.PARQUET
        path = f"{config}/{split}.{'parquet' if is_parquet else 'jsonl.gz'}"
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        sink: _Sink = (
            _Parquet(target, arrow_schema(config, criteria=self.criteria))
            if is_parquet
            else _JsonLines(target)
        )
        return _DataFile(sink, path, keeps_rows=is_parquet)


@contextmanager
def data_files(
    folder: Path, *, file_format: FileFormat, criteria: Sequence[str]
) -> Iterator[DataFiles]:
    """Files to add rows to; they and the thread behind them are closed with the block."""
    files = DataFiles(folder, file_format=file_format, criteria=criteria)
    try:
        yield files
    finally:
        files.writer.shutdown(wait=True, cancel_futures=True)
        for file in files.files.values():
            file.sink.close()
