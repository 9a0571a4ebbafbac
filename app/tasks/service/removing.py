"""Removing tasks that an import brought and nobody has used since."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.corpus.queries import undoing
from app.tasks.models import Task, TaskResponse

TASK = Task.__table__
FIRST = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Removed:
    """A batch: where it ended, None at the end; what is gone, and what it had shown."""

    last: UUID | None
    tasks: int
    prompt_ids: Sequence[UUID]
    response_ids: Sequence[UUID]


def remove_unused(session: Session, *, import_id: UUID, after: UUID, limit: int) -> Removed:
    """Remove the next tasks of the import, by id, that nobody has been lent or has judged.

    Whoever takes one at this moment holds its row: it is passed by, and stays. A row that is
    locked here is lent to nobody, so what is looked at again then cannot change any more.
    """
    given = {"of_import": import_id}
    unused = ~undoing.must_stay(TASK)
    found = session.scalars(
        select(Task.id)
        .where(Task.import_id == import_id, Task.id > after, unused)
        .order_by(Task.id)
        .limit(limit)
        .with_for_update(skip_locked=True),
        given,
    ).all()
    if not found:
        return Removed(None, 0, [], [])
    ids = session.scalars(select(Task.id).where(Task.id.in_(found), unused), given).all()
    shown = session.execute(
        select(TaskResponse.response_id, Task.prompt_id)
        .join(Task, Task.id == TaskResponse.task_id)
        .where(Task.id.in_(ids))
    ).all()
    session.execute(
        delete(Task).where(Task.id.in_(ids)), execution_options={"synchronize_session": False}
    )
    return Removed(
        found[-1],
        len(ids),
        list({row.prompt_id for row in shown}),
        list({row.response_id for row in shown}),
    )
