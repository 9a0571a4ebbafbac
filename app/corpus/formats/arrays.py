"""JSON that is no lines: one long list, or objects spread over lines, in bounded memory."""

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from app.corpus.formats.lines import (
    BOM,
    DAMAGED,
    PIECE,
    SKIP_FACTOR,
    Limits,
    Line,
    parsed,
    unpacks_to_too_much,
)
from app.corpus.formats.rows import BadFile, BadLine

# Whole texts and what is between them, up to a bracket or a text whose end is not read yet; and
# what goes on inside such a text. Possessive, so that nothing is tried twice.
RUN = re.compile(
    rb'(?:[^"{}\[\]]*+"[^"\\]*+(?:\\.[^"\\]*+)*+")*+[^"{}\[\]]*+',
    re.DOTALL,
)
INSIDE = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
MOST_LEVELS = 100_000  # open brackets: what is deeper is no data, and reading it takes long
BETWEEN = re.compile(rb"[\s,]*")
WORD_END = re.compile(rb"[\s,\]}]")


@dataclass(slots=True)
class Window:
    """The part of the file that is in memory, and how far it is understood."""

    stream: IO[bytes]
    limits: Limits
    content: bytes = b""
    at: int = 0  # all before is understood
    begin: int = 0  # where the element in hand begins: all before may go
    line: int = 1  # of `begin`
    number: int = 0  # of the element in hand
    began: int = 1  # the line at which it begins
    dropped: int = 0  # bytes of it that were not kept, because it is too long
    total: int = 0
    is_over: bool = False

    def more(self) -> None:
        """Read on, and forget what is before the element in hand."""
        try:
            piece = self.stream.read(PIECE)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            after = f", after element {self.number - 1:,}" if self.number > 1 else ""
            raise BadFile(DAMAGED.format(after=after), line=self.line) from error
        self.is_over = not piece
        if not self.total:
            piece = piece.removeprefix(BOM)
        self.total += len(piece)
        if self.total > self.limits.file_bytes:
            raise BadFile(unpacks_to_too_much(self.limits), line=self.line)
        self.content = self.content[self.begin :] + piece
        self.at, self.begin = self.at - self.begin, 0

    def open_element(self) -> int | None:
        """The first byte of the next element or bracket; None at the end of the file."""
        while True:
            match = BETWEEN.match(self.content, self.at)
            self._move(match.end() if match else self.at)
            if self.begin < len(self.content):
                return self.content[self.begin]
            if self.is_over:
                return None
            self.more()

    def _move(self, to: int) -> None:
        self.line += self.content.count(b"\n", self.begin, to)
        self.at = self.begin = to

    def step(self) -> None:
        """Past a bracket between elements."""
        self._move(self.begin + 1)

    def close_element(self) -> bytes | None:
        """The whole element that begins here; None for one that is too long."""
        self.number += 1
        if self.number > self.limits.rows:
            raise BadFile(
                f"The file has more than {self.limits.rows:,} rows. Split it, or raise "
                "TOUCHSTONE_MAX_IMPORT_ROWS.",
                line=self.line,
            )
        self.began, self.dropped = self.line, 0
        is_bare = self.content[self.begin] not in b'{["'
        end = self._end_of_word() if is_bare else self._end_of_value()
        element = self.content[self.begin : end]
        is_too_long = self.dropped + len(element) > self.limits.line_bytes
        self._move(end)
        return None if is_too_long else element

    def _end_of_word(self) -> int:
        while (match := WORD_END.search(self.content, self.begin + 1)) is None:
            if self.is_over:
                return len(self.content)
            self.at = len(self.content)
            self._read_on()
        return match.start()

    def _end_of_value(self) -> int:
        """Where the brackets opened since the beginning are closed again."""
        depth, is_inside = 0, self.content[self.begin] == ord('"')
        self.at += is_inside
        while True:
            match = (INSIDE if is_inside else RUN).match(self.content, self.at)
            self.at = match.end() if match else self.at
            mark = self.content[self.at : self.at + 1]
            if not mark or (is_inside and mark != b'"'):
                self._read_on()
                continue
            self.at += 1
            if mark == b'"':
                is_inside = not is_inside
            else:
                depth += 1 if mark in b"{[" else -1
            if depth <= 0 and not is_inside:
                return self.at
            if depth > MOST_LEVELS:
                raise BadFile(
                    f"Element {self.number:,} is nested more than {MOST_LEVELS:,} levels deep.",
                    line=self.began,
                )

    def _read_on(self) -> None:
        """Read more of the element in hand; of one that is too long nothing is kept."""
        if self.is_over:
            raise BadFile(
                f"The file is cut off inside element {self.number:,}, which begins at line "
                f"{self.began}. Is the file complete?",
                line=self.began,
            )
        if self.dropped + len(self.content) - self.begin > self.limits.line_bytes:
            self.dropped += self.at - self.begin
            self._move(self.at)
        if self.dropped > SKIP_FACTOR * self.limits.line_bytes:
            raise BadFile(
                f"Element {self.number:,}, which begins at line {self.began}, did not end within "
                f"{self.dropped // 10**6:,} MB, so reading stopped there.",
                line=self.began,
            )
        self.more()


def is_list_per_line(stream: IO[bytes], limits: Limits) -> bool:
    """Whether each line is a list of its own, so that the file is lines; it is rewound."""
    try:
        first, second = stream.readline(limits.line_bytes), stream.readline(2)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return False  # whoever reads on will say it
    finally:
        stream.seek(0)
    return first.rstrip().endswith(b"]") and second.startswith(b"[")


def _too_long(limits: Limits) -> str:
    return (
        f"This is longer than {limits.line_bytes // 10**6:,} MB. Shorten it, or raise "
        "TOUCHSTONE_MAX_LINE_MB."
    )


def json_elements(stream: IO[bytes], limits: Limits) -> Iterator[Line]:
    """Rows of a JSON list, or of objects one after the other; each has the line it begins at."""
    window = Window(stream, limits)
    is_list = window.open_element() == ord("[")
    if is_list:
        window.step()
    while (first := window.open_element()) is not None:
        if is_list and first == ord("]"):
            window.step()
            if window.open_element() is not None:
                raise BadFile(
                    f"The list ends at line {window.line}, and something follows it. Write one "
                    "list, or one object per line.",
                    line=window.line,
                )
            return
        element = window.close_element()
        where, line = f"Element {window.number:,}", window.began
        if element is None:
            yield Line(line, problem=_too_long(limits), where=where)
            continue
        try:
            yield Line(line, row=parsed(element), size=len(element), where=where)
        except BadLine as error:
            yield Line(line, problem=str(error), where=where)
    if is_list:
        raise BadFile(
            f"The list is cut off after element {window.number:,}: its closing bracket “]” is "
            "missing. Is the file complete?",
            line=window.line,
        )
