"""What people's programs did, as they saw it: a line per request sent, and one per answer.

A request whose answer never came has an unknown end: it may have been carried out or not.
"""

import json
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OK, FAIL, UNKNOWN = "ok", "fail", "unknown"
FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class Call:
    """One request: what was sent when, and what came back when."""

    person: str
    op: str  # claim, submit, skip, release, renew; or what an admin did: pause, resume
    sent: float
    assignment: str | None = None
    key: str | None = None
    body: dict[str, Any] | None = None
    outcome: str = UNKNOWN
    ended: float = FOREVER
    status: int = 0
    answer: dict[str, Any] | None = None


class Recorder:
    """Writes events of one process to a file, whole lines at a time."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()
        self._number = 0

    def invoke(self, **what: Any) -> int:
        with self._lock:
            self._number += 1
            self._write({"id": self._number, "type": "invoke", "at": time.time()} | what)
            return self._number

    def end(self, number: int, outcome: str, **what: Any) -> None:
        with self._lock:
            self._write({"id": number, "type": outcome, "at": time.time()} | what)

    def close(self) -> None:
        self._file.close()

    def _write(self, event: dict[str, Any]) -> None:
        self._file.write(json.dumps(event) + "\n")
        self._file.flush()


def calls_of(lines: Iterable[str]) -> Iterator[Call]:
    """The calls in one recorder's file; one without an end may have happened."""
    open_calls: dict[int, dict[str, Any]] = {}
    for line in lines:
        event = json.loads(line)
        number, kind, at = event.pop("id"), event.pop("type"), event.pop("at")
        if kind == "invoke":
            open_calls[number] = event | {"sent": at}
        else:
            yield Call(**open_calls.pop(number), **event, outcome=kind, ended=at)
    for event in open_calls.values():
        yield Call(**event)


def read_calls(folder: Path) -> list[Call]:
    """The calls of all recorders that wrote into `folder`."""
    found: list[Call] = []
    for path in sorted(folder.glob("*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            found += calls_of(lines)
    return found
