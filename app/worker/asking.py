"""An endpoint answers a turn of the playground, and is told of as the models of the child are."""

import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from app.completions import BadReply, Piece, Target, Writer
from app.db import JsonObject
from app.errors import AppError, Stopped
from app.worker.lease import Stop

LOOK = 0.1  # seconds of which pieces are told together, and after which a wish to stop is seen
PATIENCE = 120.0  # seconds for the next piece

Tell = Callable[[list[JsonObject]], bool]  # whether somebody asked to stop it
Pieces = SimpleQueue[Piece]


@dataclass(frozen=True)
class Question:
    """What one endpoint is asked; `settings` are temperature, top_p, max_new_tokens and seed."""

    key: str
    target: Target
    messages: list[dict[str, str]]
    settings: dict[str, Any]


@dataclass
class Heard:
    """What has come of an answer so far."""

    key: str
    begun: float = field(default_factory=time.monotonic)
    text: str = ""
    logps: list[float] = field(default_factory=list)
    finish: str | None = None

    def add(self, piece: Piece) -> JsonObject:
        self.text += piece.text
        self.logps += [token["logp"] for token in piece.tokens]
        self.finish = piece.finish or self.finish
        return {
            "key": self.key,
            "event": "tokens",
            "text": piece.text,
            "tokens": list(piece.tokens),
        }

    def end(self, why: str = "") -> JsonObject:
        surprise = -sum(self.logps) / len(self.logps) if self.logps else None
        return {
            "key": self.key,
            "event": "end",
            "why": why or ("length" if self.finish == "length" else "end"),
            "text": self.text.strip(),
            "perplexity": None if surprise is None else math.exp(min(surprise, 700.0)),
            "seconds": time.monotonic() - self.begun,
        }


def answer(question: Question, *, tell: Tell, stop: Callable[[], Stop | None]) -> None:
    """Tell what the endpoint writes, as it comes; `Stopped` where the worker is to end first."""
    heard = Heard(question.key)
    try:
        stopped = _listen(question, heard, tell, stop)
    except BadReply as error:
        tell([{"key": question.key, "event": "error", "error": f"No answer: {error}."}])
    except AppError as error:
        tell([{"key": question.key, "event": "error", "error": error.detail}])
    else:
        if stopped not in {None, Stop.CANCEL}:
            raise Stopped
        tell([heard.end("stopped" if stopped else "")])


def _listen(
    question: Question, heard: Heard, tell: Tell, stop: Callable[[], Stop | None]
) -> Stop | None:
    """Until the answer is whole, or somebody wants it to end."""
    pieces = Pieces()
    with (
        Writer(question.target, timeout=PATIENCE) as writer,
        ThreadPoolExecutor(1, thread_name_prefix="stream") as pool,
    ):
        reading = pool.submit(_read, writer, question, pieces)
        try:
            stopped = _relay(reading, pieces, heard, tell, stop)
        finally:
            writer.hang_up()
        if stopped is None:
            reading.result()
    return stopped


def _read(writer: Writer, question: Question, pieces: Pieces) -> None:
    for piece in writer.stream(question.messages, **question.settings):
        pieces.put(piece)


def _relay(
    reading: "Future[None]",
    pieces: Pieces,
    heard: Heard,
    tell: Tell,
    stop: Callable[[], Stop | None],
) -> Stop | None:
    while not (reading.done() and pieces.empty()):
        if (wanted := stop()) is not None:
            return wanted
        new = [heard.add(piece) for piece in _new(pieces, reading)]
        if new and tell(new):
            return Stop.CANCEL
    return None


def _new(pieces: Pieces, reading: "Future[None]") -> list[Piece]:
    """What came within a look, together: one transaction tells all of it."""
    found: list[Piece] = []
    until = time.monotonic() + LOOK
    while (left := until - time.monotonic()) > 0 and not (reading.done() and pieces.empty()):
        try:
            found.append(pieces.get(timeout=left))
        except Empty:
            break
    return found
