"""Reads for near-copies: how much each of a few prompts has been judged."""

from collections.abc import Sequence

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from app.annotation.models import Annotation
from app.corpus.models import Prompt
from app.db import among
from app.projects.models import Project
from app.tasks.models import Task, TaskKind

_AT_ONCE = 10_000


def judgements_of_prompts(
    session: Session, *, project: Project, hashes: Sequence[bytes]
) -> dict[bytes, int]:
    """Judgements by prompt; without those that serve gold or qualification questions alone."""
    found: dict[bytes, int] = {}
    for start in range(0, len(hashes), _AT_ONCE):
        judged = (
            select(Prompt.content_hash, func.count(Annotation.id))
            .outerjoin(Task, Task.prompt_id == Prompt.id)
            .outerjoin(
                Annotation,
                and_(
                    Annotation.task_id == Task.id,
                    Annotation.is_current,
                    Task.kind == TaskKind.ORDINARY,
                ),
            )
            .where(
                Prompt.project_id == project.id,
                among(Prompt.content_hash, hashes[start : start + _AT_ONCE]),
            )
            .group_by(Prompt.content_hash)
            .having(
                or_(
                    func.count(Task.id) == 0,
                    func.bool_or(Task.kind == TaskKind.ORDINARY),
                )
            )
        )
        found |= {row[0]: row[1] for row in session.execute(judged)}
    return found
