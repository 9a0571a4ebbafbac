"""The prompts and responses of the demo project, written for it (`prompts.jsonl`)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from app.db import JsonObject

# What only the simulated annotators may know: it never enters the database.
HIDDEN = {"quality", "note"}


@dataclass(frozen=True, slots=True)
class Judged:
    """What the crowd knows of a response: how good it is (0–1) and, in a few words, why."""

    quality: float
    note: str


@dataclass(frozen=True, slots=True)
class Content:
    """`rows` in the `touchstone` import format; `judged` by the text, which is never the same."""

    rows: Sequence[JsonObject]
    judged: dict[str, Judged]

    def file(self) -> bytes:
        """The rows as a file to import."""
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows)
        return "".join(lines).encode()


def guidelines() -> str:
    return _file("guidelines.md")


def load() -> Content:
    rows = [json.loads(line) for line in _file("prompts.jsonl").split("\n") if line]
    judged = {
        response["text"]: Judged(response["quality"], response["note"])
        for row in rows
        for response in row["responses"]
    }
    return Content(rows=[_without_hidden(row) for row in rows], judged=judged)


def _without_hidden(row: JsonObject) -> JsonObject:
    responses = [
        {key: value for key, value in response.items() if key not in HIDDEN}
        for response in row["responses"]
    ]
    return {**row, "responses": responses}


def _file(name: str) -> str:
    return (files("app.demo") / name).read_text(encoding="utf-8")
