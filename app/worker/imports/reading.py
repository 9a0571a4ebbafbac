"""Reading a file ahead of the database, and how far it is read."""

import io
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import IO

from app.corpus.formats import Read

PIECE = 200  # rows that are handed over at once
ROW = 2_000  # bytes that a row takes beside its own
AHEAD = 8_000_000  # bytes of rows that wait for the database at most …
READ_AT_ONCE = 1 << 20


class Metered(io.RawIOBase):
    """A file that counts the bytes read of it; what is read twice counts once or twice."""

    def __init__(self, source: IO[bytes]) -> None:
        self.source = source
        self.taken = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self.source.seek(offset, whence)

    def tell(self) -> int:
        return self.source.tell()

    def readinto(self, target: bytearray | memoryview, /) -> int:  # type: ignore[override]
        piece = self.source.read(len(target))
        target[: len(piece)] = piece
        self.taken += len(piece)
        return len(piece)

    def buffered(self) -> IO[bytes]:
        return io.BufferedReader(self, READ_AT_ONCE)


class _Pipe:
    """Rows on their way from the reading thread, few enough that memory stays flat."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.pieces: deque[tuple[list[Read], int]] = deque()
        self.weight = 0
        self.is_over = False  # no more will come, for `error` if there is one
        self.is_closed = False  # nobody waits for more
        self.error: BaseException | None = None

    def put(self, rows: list[Read], weight: int) -> bool:
        """Hand rows over, or wait until there is room; False when nobody wants them."""
        with self.changed:
            self.changed.wait_for(
                lambda: self.is_closed or not self.pieces or self.weight + weight <= AHEAD
            )
            self.pieces.append((rows, weight))
            self.weight += weight
            self.changed.notify_all()
            return not self.is_closed

    def end(self, error: BaseException | None = None) -> None:
        with self.changed:
            self.is_over, self.error = True, error
            self.changed.notify_all()

    def close(self) -> None:
        with self.changed:
            self.is_closed = True
            self.pieces.clear()
            self.changed.notify_all()

    def take(self, *, timeout: float) -> list[Read] | None:
        """The next rows; none when they do not come in time, None at the end."""
        with self.changed:
            self.changed.wait_for(lambda: self.pieces or self.is_over, timeout)
            if self.pieces:
                rows, weight = self.pieces.popleft()
                self.weight -= weight
                self.changed.notify_all()
                return rows
            if self.error is not None:
                raise self.error
            return None if self.is_over else []


def read_ahead(reads: Iterator[Read], *, at_least_every: float) -> Iterator[Read | None]:
    """The rows, read by a thread of its own while the caller waits for the database.

    None comes in between where no row came for so many seconds, so that the caller can look up.
    """
    pipe = _Pipe()
    thread = threading.Thread(
        target=_read, args=[reads, pipe, at_least_every / 2], name="reading", daemon=True
    )
    thread.start()
    try:
        while (rows := pipe.take(timeout=at_least_every)) is not None:
            if rows:
                yield from rows
            else:
                yield None
    finally:
        pipe.close()
        thread.join()


def _read(reads: Iterator[Read], pipe: _Pipe, patience: float) -> None:
    rows: list[Read] = []
    weight, due = 0, time.monotonic() + patience
    try:
        for read in reads:
            rows.append(read)
            weight += ROW + read.size
            if len(rows) == PIECE or weight > AHEAD // 8 or time.monotonic() > due:
                if not pipe.put(rows, weight):
                    return
                rows, weight, due = [], 0, time.monotonic() + patience
    except BaseException as error:  # noqa: BLE001 - the caller raises it
        pipe.put(rows, weight)
        pipe.end(error)
    else:
        pipe.put(rows, weight)
        pipe.end()
