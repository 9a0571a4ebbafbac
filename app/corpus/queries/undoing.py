"""What an import brought, and what of it others have used since and so must stay."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    and_,
    bindparam,
    column,
    exists,
    func,
    or_,
    select,
    table,
)
from sqlalchemy.orm import Session
from sqlalchemy.types import Uuid

from app.corpus.models import Import, Prompt, Response

# What used it stands right of the corpus, and is read by the tables' names.
TASK = table("task", column("id"), column("prompt_id"), column("import_id", Uuid()))
ASSIGNMENT = table("assignment", *map(column, ("task_id", "display_order")))
ANNOTATION = table(
    "annotation",
    *map(column, ("id", "task_id", "assignment_id", "is_current")),
    column("import_id", Uuid()),
)
GOLD_KEY = table("gold_key", *map(column, ("task_id", "created_at")))
ADJUDICATION = table("adjudication", column("task_id"))
SEND_BACK = table("send_back", column("task_id"))
SNAPSHOT = table("snapshot", *map(column, ("name", "project_id", "state", "created_at")))
GENERATION = table("generation", *map(column, ("project_id", "state")))

THIS = bindparam("of_import", type_=Uuid())


@dataclass(frozen=True, slots=True)
class Undoing:
    """What undoing an import would remove, and what stays for which reason."""

    tasks: int
    prompts: int
    judgements: int
    stay_judged: int
    stay_gold: int
    stay_snapshot: int
    prompts_stay: int
    snapshot: str | None  # frozen since
    generating: bool

    @property
    def stay(self) -> int:
        return self.stay_judged + self.stay_gold + self.stay_snapshot

    @property
    def is_nothing(self) -> bool:
        return not (self.tasks or self.prompts or self.judgements)


def _has(rows: FromClause, task: FromClause, *where: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(rows.c.task_id == task.c.id, *where).correlate(task)


def was_judged(task: FromClause) -> ColumnElement[bool]:
    """Somebody has been lent the task here, or judged it since: a person, or another import."""
    return or_(
        _has(ASSIGNMENT, task, ASSIGNMENT.c.display_order.is_not(None)),
        _has(ANNOTATION, task, ANNOTATION.c.import_id.is_distinct_from(THIS)),
        _has(ADJUDICATION, task),
        _has(SEND_BACK, task),
    )


def became_gold(task: FromClause) -> ColumnElement[bool]:
    """Somebody has given it a key since."""
    ended = select(Import.finished_at).where(Import.id == THIS).scalar_subquery()
    return _has(GOLD_KEY, task, GOLD_KEY.c.created_at > ended)


def in_snapshot(task: FromClause) -> ColumnElement[bool]:
    """Its judgements may be in a snapshot that was frozen since, whose rows lead back to them."""
    return and_(_frozen_since().exists(), _has(ANNOTATION, task))


def _frozen_since() -> Select[Any]:
    ended = select(Import.finished_at, Import.project_id).where(Import.id == THIS).subquery("ended")
    return (
        select(SNAPSHOT.c.name)
        .join(ended, ended.c.project_id == SNAPSHOT.c.project_id)
        .where(
            SNAPSHOT.c.created_at >= ended.c.finished_at,
            SNAPSHOT.c.state.in_(["queued", "running", "succeeded"]),
        )
        .order_by(SNAPSHOT.c.created_at)
        .limit(1)
    )


def must_stay(task: FromClause) -> ColumnElement[bool]:
    return or_(was_judged(task), became_gold(task), in_snapshot(task))


def undoing_of(session: Session, *, row: Import) -> Undoing:
    """Count what undoing would do now."""
    given = {"of_import": row.id}
    mine = TASK.c.import_id == THIS
    flags = (
        select(
            was_judged(TASK).label("judged"),
            became_gold(TASK).label("gold"),
            in_snapshot(TASK).label("frozen"),
        )
        .where(mine)
        .subquery()
    )
    judged, gold, frozen = flags.c.judged, flags.c.gold, flags.c.frozen
    tasks = session.execute(
        select(
            func.count(),
            func.count().filter(judged),
            func.count().filter(gold & ~judged),
            func.count().filter(frozen & ~judged & ~gold),
        ),
        given,
    ).one()
    total, stay_judged, stay_gold, stay_snapshot = tasks
    prompts, prompts_stay = _prompts(session, row=row)
    snapshot = frozen_since(session, import_id=row.id)
    return Undoing(
        tasks=total - stay_judged - stay_gold - stay_snapshot,
        prompts=prompts,
        judgements=_judgements(session, row=row, is_frozen=snapshot is not None),
        stay_judged=stay_judged,
        stay_gold=stay_gold,
        stay_snapshot=stay_snapshot,
        prompts_stay=prompts_stay,
        snapshot=snapshot,
        generating=is_generating(session, project_id=row.project_id),
    )


def frozen_since(session: Session, *, import_id: UUID) -> str | None:
    """The name of a snapshot that was frozen after the import had ended."""
    name: str | None = session.scalar(_frozen_since(), {"of_import": import_id})
    return name


def is_generating(session: Session, *, project_id: UUID) -> bool:
    """Whether a checkpoint is writing responses to prompts of the project, or about to."""
    waiting = GENERATION.c.state.in_(["queued", "running"])
    found = session.scalar(select(exists().where(GENERATION.c.project_id == project_id, waiting)))
    return bool(found)


def _prompts(session: Session, *, row: Import) -> tuple[int, int]:
    """Prompts that would go, and that stay: with a task that stays, or others' responses."""
    is_used = or_(
        exists().where(
            TASK.c.prompt_id == Prompt.id,
            or_(TASK.c.import_id.is_distinct_from(THIS), must_stay(TASK)),
        ),
        exists().where(Response.prompt_id == Prompt.id, Response.import_id.is_distinct_from(THIS)),
    )
    flags = select(is_used.label("used")).where(Prompt.import_id == THIS).subquery()
    total, used = session.execute(
        select(func.count(), func.count().filter(flags.c.used)), {"of_import": row.id}
    ).one()
    return total - used, used


def _judgements(session: Session, *, row: Import, is_frozen: bool) -> int:
    """Judgements that would go: with their tasks, and of tasks that others had brought."""
    of_task = select(ANNOTATION.c.id).join(TASK, TASK.c.id == ANNOTATION.c.task_id)
    brought = of_task.where(ANNOTATION.c.import_id == THIS)
    theirs = TASK.c.import_id.is_distinct_from(THIS)
    goes = (TASK.c.import_id == THIS) & ~must_stay(TASK)
    chosen = brought.where(goes if is_frozen else or_(theirs, goes)).subquery()
    return session.scalars(select(func.count()).select_from(chosen), {"of_import": row.id}).one()
