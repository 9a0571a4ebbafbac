"""What other domains hand in to fill the corpus, and what goes out over HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from app.db import JobState, JsonObject


@dataclass(frozen=True, slots=True)
class NewPrompt:
    """A conversation to keep; `messages` ends with the user's turn."""

    messages: Sequence[dict[str, str]]
    system: str | None = None
    source: str | None = None
    tags: Sequence[str] = ()
    language: str | None = None
    expertise: Sequence[str] = ()
    external_id: str | None = None
    meta: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewResponse:
    """A candidate reply to a stored prompt; its hash where the caller has it already."""

    prompt_id: UUID
    prompt_hash: bytes
    text: str
    source: str | None = None
    checkpoint_id: UUID | None = None
    sampling: JsonObject | None = None
    meta: JsonObject = field(default_factory=dict)
    content_hash: bytes | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a new prompt or response ended: its row, which may have been there already."""

    id: UUID
    content_hash: bytes
    is_new: bool


class LineError(BaseModel):
    line: int
    message: str


class ImportOut(BaseModel):
    id: str
    project_id: str
    filename: str
    format: str
    state: JobState
    bytes: int
    bytes_read: int
    dry_run: bool
    rows_read: int
    rows_imported: int
    rows_skipped: int
    rows_rejected: int
    errors: list[LineError]
    error: str | None
    created_at: datetime
    finished_at: datetime | None
    undo_requested_at: datetime | None
    undone_at: datetime | None
    undone: dict[str, int]


class ImportReport(ImportOut):
    """An import by itself says more: what the file holds, and why lines were refused.

    `report` has, as far as they are known: `brings` (counts of tasks, prompts, responses,
    judgements, gold), `reasons` ([{message, count, lines}]); of a check also `told_by`, `samples`,
    `values`, `people` and `warnings`.
    """

    report: JsonObject
    waits_for: str | None = None


class UndoingOut(BaseModel):
    """What undoing an import would remove now, and what stays because it was used since."""

    tasks: int
    prompts: int
    judgements: int
    stay_judged: int
    stay_gold: int
    stay_snapshot: int
    prompts_stay: int
    snapshot: str | None
    generating: bool
