"""The tags of the prompts behind a project's judgements."""

from typing import Any

import numpy as np
from sqlalchemy import LargeBinary, cast, func, select
from sqlalchemy.orm import Session

from app.corpus.models import Prompt
from app.projects.models import Project
from app.quality.queries.crowd import UUID_BYTES, Crowd
from app.quality.rules.intervals import Ints
from app.tasks.models import Task, TaskKind


def tasks_by_tag(session: Session, *, project: Project, crowd: Crowd) -> dict[str, Ints]:
    """Codes of the judged tasks by each tag of their prompts; a task may have several."""
    tagged = (
        select(Task.id, func.unnest(Prompt.tags).label("tag"))
        .join(Prompt, Prompt.id == Task.prompt_id)
        .where(Task.project_id == project.id, Task.kind == TaskKind.ORDINARY)
        .subquery()
    )
    packed: Any = func.string_agg(func.uuid_send(tagged.c.id), cast(None, LargeBinary))
    rows = session.execute(select(tagged.c.tag, packed).group_by(tagged.c.tag)).all()
    if not rows:
        return {}
    ids = [np.frombuffer(bytes(found), dtype=UUID_BYTES) for _, found in rows]
    codes = crowd.task_codes(np.concatenate(ids))
    parts = np.split(codes, np.cumsum([len(part) for part in ids])[:-1])
    judged = {
        str(tag): np.unique(part[part >= 0]) for (tag, _), part in zip(rows, parts, strict=True)
    }
    return {tag: tasks for tag, tasks in judged.items() if len(tasks)}
