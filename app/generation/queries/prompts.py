"""Reads of the prompts that a generation could take."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, exists, func, select
from sqlalchemy.orm import Session

from app.corpus.models import Prompt
from app.generation.schemas import Selection
from app.projects.models import Project
from app.tasks.models import Task

SOURCE = func.coalesce(Prompt.source, "")


def fitting(project_id: UUID, selection: Selection) -> Select[UUID, bytes, str]:
    """Id, hash and source of the prompts that the selection allows; one of share 0 is none."""
    conditions: list[ColumnElement[bool]] = [Prompt.project_id == project_id]
    if selection.tags:
        conditions.append(Prompt.tags.overlap(selection.tags))
    wanted = [name for name, share in selection.sources.items() if share > 0]
    if wanted:
        conditions.append(SOURCE.in_(wanted))
    if selection.unjudged:
        conditions.append(~exists().where(Task.prompt_id == Prompt.id, Task.counted > 0))
    return select(Prompt.id, Prompt.content_hash, SOURCE.label("source")).where(*conditions)


def counted(session: Session, *, project: Project, selection: Selection) -> dict[str, int]:
    """How many prompts of each source the selection allows."""
    its = fitting(project.id, selection).subquery()
    rows = session.execute(
        select(its.c.source, func.count()).group_by(its.c.source).order_by(its.c.source)
    )
    return {row[0]: row[1] for row in rows}


def sources_of(session: Session, *, project: Project, limit: int = 20) -> list[tuple[str, int]]:
    """Where the project's prompts come from, the largest source first."""
    rows = session.execute(
        select(SOURCE, func.count())
        .where(Prompt.project_id == project.id)
        .group_by(SOURCE)
        .order_by(func.count().desc(), SOURCE)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in rows]


def tags_of(session: Session, *, project: Project, limit: int = 50) -> list[tuple[str, int]]:
    """The tags of the project's prompts, the commonest first."""
    tag: Any = func.unnest(Prompt.tags).label("tag")
    each = select(tag).where(Prompt.project_id == project.id).subquery()
    rows = session.execute(
        select(each.c.tag, func.count())
        .group_by(each.c.tag)
        .order_by(func.count().desc(), each.c.tag)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in rows]
