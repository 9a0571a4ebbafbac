"""Taking back judgements that an import brought to tasks that were there before it."""

from collections import Counter
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.annotation.models import Annotation
from app.annotation.service.gold import restand
from app.projects.models import Membership, Project
from app.tasks.models import Assignment, Task, TaskKind
from app.tasks.queries import wanted_once

AS_ROWS = {"synchronize_session": False}  # nobody in this session holds them as objects


def take_back_imported(session: Session, *, import_id: UUID, limit: int) -> int:
    """Remove some judgements of the import on tasks of others; how many, 0 at the end.

    Their tasks want again what the project asks for. Tasks that somebody works on wait their turn.
    """
    rows = session.execute(
        select(Annotation.id, Annotation.task_id, Annotation.assignment_id, Annotation.counted)
        .join(Task, Task.id == Annotation.task_id)
        .where(Annotation.import_id == import_id, Task.import_id.is_distinct_from(import_id))
        .limit(limit)
        .with_for_update(key_share=True, skip_locked=True, of=Task)
    ).all()
    assignments = [row.assignment_id for row in rows if row.assignment_id is not None]
    session.execute(
        delete(Annotation).where(Annotation.id.in_([row.id for row in rows])),
        execution_options=AS_ROWS,
    )
    session.execute(
        delete(Assignment).where(Assignment.id.in_(assignments)), execution_options=AS_ROWS
    )
    fewer = Counter(row.task_id for row in rows if row.counted)
    for number in set(fewer.values()):
        left = Task.counted - number
        session.execute(
            update(Task)
            .where(
                Task.id.in_([task_id for task_id, n in fewer.items() if n == number]),
                Task.kind == TaskKind.ORDINARY,
            )
            .values(counted=left, wanted=wanted_once(Task.leased + left)),
            execution_options=AS_ROWS,
        )
    return len(rows)


def recount_imported(session: Session, *, project: Project) -> None:
    """Score the people of imported data anew: some of their answers to gold may have gone."""
    people = session.scalars(
        select(Membership.user_id).where(
            Membership.project_id == project.id,
            Membership.imported_name.is_not(None),
            Membership.gold_seen > 0,
        )
    ).all()
    restand(session, project=project, user_ids=people)
