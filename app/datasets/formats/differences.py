"""The files of a comparison: one per config and kind of difference, JSON lines in gzip."""

import gzip
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from app.artifacts import open_file
from app.datasets.formats.files import GZIP_LEVEL
from app.datasets.formats.folder import DataFile, Folder
from app.datasets.rules.differences import Kind
from app.datasets.rules.identity import Split, canonical_json
from app.datasets.rules.rows import ConfigName

_CHUNK_BYTES = 1 << 18


class DifferenceFiles:
    """Files come to be with their first line; any chunk can be read for itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, IO[bytes]] = {}
        self.waiting: dict[str, list[bytes]] = {}
        self.sizes: dict[str, int] = {}

    def add(self, config: ConfigName, kind: Kind, line: Mapping[str, Any]) -> None:
        path = path_of(config, kind)
        if path not in self.files:
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            self.files[path] = target.open("wb")
            self.waiting[path], self.sizes[path] = [], 0
        written = canonical_json(line) + b"\n"
        self.waiting[path].append(written)
        self.sizes[path] += len(written)
        if self.sizes[path] >= _CHUNK_BYTES:
            self._write(path)

    def drop(self, config: ConfigName) -> None:
        """Forget what was written of a config."""
        for kind in Kind:
            file = self.files.pop(path_of(config, kind), None)
            if file is not None:
                file.close()
                (self.folder / path_of(config, kind)).unlink()

    def close(self) -> None:
        for path, file in self.files.items():
            self._write(path)
            file.close()

    def _write(self, path: str) -> None:
        if self.waiting[path]:
            with gzip.GzipFile(
                filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=self.files[path], mtime=0
            ) as member:
                member.write(b"".join(self.waiting[path]))
        self.waiting[path], self.sizes[path] = [], 0


@contextmanager
def difference_files(folder: Path) -> Iterator[DifferenceFiles]:
    files = DifferenceFiles(folder)
    try:
        yield files
    finally:
        files.close()


def path_of(config: ConfigName, kind: Kind) -> str:
    return f"{config}/{kind}.jsonl.gz"


def stored_differences(path: str) -> Folder:
    """The folder of a comparison, for reading its lines."""
    return Folder(path, lambda name: open_file(f"{path}/{name}"), {}, 0)


def local_differences(path: Path) -> Folder:
    """The same for a folder on this machine."""
    return Folder(str(path), lambda name: (path / name).open("rb"), {}, 0)


def file_of(config: ConfigName, kind: Kind, *, rows: int) -> DataFile:
    return DataFile(config, Split.TRAIN, path_of(config, kind), rows, 0)
