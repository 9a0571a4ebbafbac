"""Drafts of guidelines: kept while an admin writes, gone once they are published."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.db import JsonObject
from app.errors import Conflict, Invalid, found
from app.projects import queries, rules
from app.projects.formats import as_written
from app.projects.models import GuidelinesDraft, Project
from app.projects.schemas import MAX_GUIDELINES


def save_draft(
    session: Session,
    *,
    project: Project,
    by: User,
    base_version: int,
    text: str,
    note: str,
    is_clarification: bool,
    examples: Sequence[JsonObject],
    now: datetime,
) -> None:
    """Keep what she has written; nobody else sees it."""
    if len(text) > MAX_GUIDELINES:
        raise Invalid(f"Guidelines have {MAX_GUIDELINES:,} characters at most.")
    values = {
        "base_version": base_version,
        "text": text,
        "note": note,
        "is_clarification": is_clarification,
        "examples": list(examples),
        "updated_at": now,
    }
    session.execute(
        insert(GuidelinesDraft)
        .values(project_id=project.id, user_id=by.id, **values)
        .on_conflict_do_update(
            index_elements=[GuidelinesDraft.project_id, GuidelinesDraft.user_id], set_=values
        )
    )
    session.expire_all()


def drop_draft(session: Session, *, project: Project, by: User) -> None:
    session.execute(
        delete(GuidelinesDraft).where(
            GuidelinesDraft.project_id == project.id, GuidelinesDraft.user_id == by.id
        )
    )


def add_example(
    session: Session, *, project: Project, by: User, example: Mapping[str, Any], now: datetime
) -> None:
    """Put an example into her draft, which begins with the version in force.

    Raises `Conflict` where the task is an example of it already.
    """
    draft = queries.guidelines_draft(session, project=project, user=by)
    current = found(queries.guidelines_of(session, project=project))
    written = draft.examples if draft else [as_written(each) for each in current.examples]
    task_id = example.get("task_id")
    if task_id and any(each.get("task_id") == task_id for each in written):
        raise Conflict("This task is an example in your draft of the guidelines already.")
    if len(written) >= rules.MOST_EXAMPLES:
        raise Conflict(
            f"There are {rules.MOST_EXAMPLES} examples already, which is the most. Take one out "
            "first."
        )
    save_draft(
        session,
        project=project,
        by=by,
        base_version=draft.base_version if draft else current.version,
        text=draft.text if draft else current.text,
        note=draft.note if draft else "",
        is_clarification=draft.is_clarification if draft else False,
        examples=[*written, dict(example)],
        now=now,
    )
