"""The list of erasures beside the database: a backup from before would bring a person back.

It holds ids and nothing else. A line is written once its erasure is in the database, never before:
what did not take place must not be repeated. The database has the same list; this copy outlives it.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import event
from sqlalchemy.orm import Session

from app.config import settings
from app.db import JsonObject
from app.privacy.models import Erasure

log = structlog.get_logger(__name__)

NAME = "erasures.jsonl"
WHAT = ("identity", "judgements", "texts")


def path() -> Path:
    return settings.home_path / NAME


def remember(session: Session, erasure: Erasure) -> None:
    _when_committed(session, entry_of(erasure))


def remember_files(session: Session, snapshot_id: UUID) -> None:
    _when_committed(session, {"files_of": str(snapshot_id)})


def entry_of(erasure: Erasure) -> JsonObject:
    return {
        "id": str(erasure.id),
        "user_id": str(erasure.user_id),
        "project_id": str(erasure.project_id) if erasure.project_id else None,
        **{name: getattr(erasure, name) for name in WHAT},
    }


def entries() -> list[JsonObject]:
    """What is on the list; a line that was cut off is none."""
    try:
        lines = path().read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return list(_readable(lines))


def _readable(lines: Iterable[str]) -> Iterable[JsonObject]:
    for line in lines:
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def _when_committed(session: Session, entry: Mapping[str, Any]) -> None:
    def write(_session: Session) -> None:
        _append(entry)

    event.listen(session, "after_commit", write, once=True)


def _append(entry: Mapping[str, Any]) -> None:
    try:
        path().parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path(), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:  # the database has it as well
        log.warning("could not write the list of erasures", error=error.strerror)
