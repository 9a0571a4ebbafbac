"""What one line of a file says, in one shape for all formats.

What there is one of per row is not frozen: there are a million of them, and a frozen one takes
several times as long to make.
"""

from dataclasses import dataclass, field
from datetime import datetime

from app.db import JsonObject

Message = dict[str, str]


class BadLine(ValueError):
    """Why a line is refused and what to change: a sentence for whoever made the file."""


class BadFile(ValueError):
    """Why reading cannot go on; `line` is where it stopped, if lines were read at all."""

    def __init__(self, message: str, *, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(slots=True)
class ImportedResponse:
    """A candidate reply. One of several turns has them as `meta["messages"]` too."""

    text: str
    source: str | None = None
    sampling: JsonObject | None = None
    meta: JsonObject = field(default_factory=dict)


@dataclass(slots=True)
class ImportedAnnotation:
    """A judgement in the order of the line's responses, by a person or a `dataset:` or `model:`.

    `ratings` are by criterion, with None for a response that is not rated.
    """

    annotator: str
    ranks: list[int]
    strength: int | None = None
    rationale: str | None = None
    created_at: datetime | None = None
    ratings: dict[str, list[int | None]] = field(default_factory=dict)
    flags: list[list[str]] = field(default_factory=list)  # of each response; or none at all
    rewrite: str | None = None
    counted: bool = True  # False for what came too late there, or was taken out of the count
    guidelines_version: int | None = None  # that it was made under
    times: dict[str, int] = field(default_factory=dict)  # milliseconds: wall, visible, active
    meta: JsonObject = field(default_factory=dict)  # what else the file says of it


@dataclass(frozen=True, slots=True)
class ImportedGold:
    """A known answer by indices into the line's responses."""

    prefers: list[list[int]]
    equal: list[list[int]]
    ties_allowed: bool
    explanation: str
    qualification: bool = False  # asked openly, before real work
    suspended: str | None = None  # why it is not in force


@dataclass(frozen=True, slots=True)
class ImportedAdjudication:
    """What a reviewer settled, by ranks over the line's responses."""

    ranks: list[int]
    reason: str
    created_at: datetime | None = None


@dataclass(slots=True)
class ImportedTask:
    """A prompt with no response (to be filled) or 2–10, and what is known about their order.

    `order_tells`: the better response always comes first, as in `chosen` and `rejected`.
    """

    messages: list[Message]
    system: str | None = None
    responses: list[ImportedResponse] = field(default_factory=list)
    order_tells: bool = False
    gold: ImportedGold | None = None
    annotations: list[ImportedAnnotation] = field(default_factory=list)
    adjudication: ImportedAdjudication | None = None
    external_id: str | None = None
    source: str | None = None
    tags: list[str] = field(default_factory=list)
    language: str | None = None
    expertise: list[str] = field(default_factory=list)
    meta: JsonObject = field(default_factory=dict)
