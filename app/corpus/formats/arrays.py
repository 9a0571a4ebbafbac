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
    Limits,
    Line,
    parsed,
    unpacks_to_too_much,
)
from app.corpus.formats.rows import BadFile, BadLine

# A whole text, a bracket, or a text whose end is not read yet.
TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]|"', re.DOTALL)
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

    def close_element(self) -> bytes:
        """The whole element that begins here."""
        self.number += 1
        if self.number > self.limits.rows:
            raise BadFile(
                f"The file has more than {self.limits.rows:,} rows. Split it, or raise "
                "TOUCHSTONE_MAX_IMPORT_ROWS.",
                line=self.line,
            )
        is_bare = self.content[self.begin] not in b'{["'
        end = self._end_of_word() if is_bare else self._end_of_value()
        element = self.content[self.begin : end]
        self._move(end)
        return element

    def _end_of_word(self) -> int:
        while (match := WORD_END.search(self.content, self.begin + 1)) is None:
            if self.is_over:
                return len(self.content)
            self._read_on()
        return match.start()

    def _end_of_value(self) -> int:
        """Where the brackets opened since the beginning are closed again."""
        depth = 0
        while True:
            for token in TOKEN.finditer(self.content, self.at):
                first = self.content[token.start()]
                if first == 0x22 and token.end() - token.start() == 1:
                    self.at = token.start()
                    break  # its end is not read yet
                if first in b"{[":
                    depth += 1
                elif first in b"}]":
                    depth -= 1
                if depth <= 0:
                    return token.end()
                self.at = token.end()
            else:
                self.at = len(self.content)
            if self.is_over:
                raise BadFile(
                    f"The file is cut off inside element {self.number:,}, which begins at line "
                    f"{self.line}. Is the file complete?",
                    line=self.line,
                )
            self._read_on()

    def _read_on(self) -> None:
        if len(self.content) - self.begin > self.limits.line_bytes:
            raise BadFile(
                f"Element {self.number:,}, which begins at line {self.line}, is longer than "
                f"{self.limits.line_bytes // 10**6:,} MB, so reading stopped there. Shorten it, "
                "or raise TOUCHSTONE_MAX_LINE_MB.",
                line=self.line,
            )
        self.more()


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
        where = f"Element {window.number:,}"
        line = window.line - element.count(b"\n")
        if len(element) > limits.line_bytes:
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
