"""A stored folder as one zip, made while it is sent."""

import io
import re
import zipfile
from collections.abc import Iterator, Sequence

from app import artifacts


class _Pipe(io.RawIOBase):
    """What the zip writes, until it is taken."""

    def __init__(self) -> None:
        self.waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]
        self.waiting += piece
        return len(piece)

    def take(self) -> bytes:
        piece = bytes(self.waiting)
        self.waiting.clear()
        return piece


def zipped(folder: str, files: Sequence[str]) -> Iterator[bytes]:
    """A zip of these files of a stored folder, piece by piece. Weights do not compress."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for file in files:
            with archive.open(file, "w", force_zip64=True) as entry:
                for piece in artifacts.chunks(f"{folder}/{file}"):
                    entry.write(piece)
                    yield pipe.take()
    yield pipe.take()


def file_name(name: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "checkpoint"
