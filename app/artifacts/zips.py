"""Stored folders as zips, made while they are sent."""

import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence

from app.artifacts.reading import check_whole, chunks, unharmed
from app.artifacts.store import StoredFile, exists, files, missing


class _Pipe(io.RawIOBase):
    """What a zip writes, until it is taken."""

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


def zipped(folder: str) -> Iterator[bytes]:
    """A zip of all that a stored folder holds, piece by piece; always the same bytes.

    Nothing is compressed: data files are already, and weights do not shrink. `NotFound` where the
    folder is missing is raised at once, before anything is sent.
    """
    if not exists(folder):
        raise missing(folder)
    return _zip_pieces((file, chunks(f"{folder}/{file}")) for file in files(folder))


def zipped_whole(folder: str, stored: Sequence[StoredFile]) -> Iterator[bytes]:
    """The same of registered `stored` files, which must be as they were."""
    check_whole(folder, stored)
    paths = [f"{folder}/{file.path}" for file in stored]
    return _zip_pieces(
        (file.path, unharmed(chunks(path), path=path, sha256=file.sha256))
        for path, file in zip(paths, stored, strict=True)
    )


def zip_bytes(stored: Iterable[StoredFile]) -> int | None:
    """How long the zip of these files is; None for one so large that its layout changes."""
    total = _ZIP_END
    for file in stored:
        total += _ZIP_ENTRY + 2 * len(file.path.encode()) + file.bytes
    return total if total < zipfile.ZIP64_LIMIT else None


_ZIP_ENTRY = 30 + 20 + 24 + 46  # header, its 64-bit sizes, what follows the content, in the index
_ZIP_END = 22


def _zip_pieces(contents: Iterable[tuple[str, Iterator[bytes]]]) -> Iterator[bytes]:
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for file, pieces in contents:
            entry = zipfile.ZipInfo(file, date_time=(1980, 1, 1, 0, 0, 0))  # the zip epoch
            entry.external_attr = 0o644 << 16
            with archive.open(entry, "w", force_zip64=True) as content:
                for piece in pieces:
                    content.write(piece)
                    yield pipe.take()
    yield pipe.take()
