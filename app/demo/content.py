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
    """`rows` in the `touchstone` import format; `judged` by (the task's id, the text)."""

    rows: Sequence[JsonObject]
    judged: dict[tuple[str, str], Judged]

    def file(self) -> bytes:
        """The rows as a file to import."""
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows)
        return "".join(lines).encode()


def load() -> Content:
    text = (files("app.demo") / "prompts.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    judged = {
        (row["id"], response["text"]): Judged(response["quality"], response["note"])
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
