"""What an import brought, and what of it others have used since and so must stay."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    CompoundSelect,
    FromClause,
    ScalarSelect,
    Select,
    SelectBase,
    and_,
    bindparam,
    column,
    exists,
    false,
    func,
    or_,
    select,
    table,
    union,
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
ADJUDICATION = table("adjudication", *map(column, ("task_id", "created_at")))
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
        _has(ADJUDICATION, task, ADJUDICATION.c.created_at > _ended()),
        _has(SEND_BACK, task),
    )


def became_gold(task: FromClause) -> ColumnElement[bool]:
    """Somebody has given it a key since."""
    return _has(GOLD_KEY, task, GOLD_KEY.c.created_at > _ended())


def _ended() -> ScalarSelect[Any]:
    return select(Import.finished_at).where(Import.id == THIS).scalar_subquery()


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
    """Count what undoing would do now: by sets, for an import may have a million tasks."""
    snapshot = frozen_since(session, import_id=row.id)
    is_frozen = snapshot is not None
    judged, gold, frozen = _used(is_frozen=is_frozen)
    stay = union(select(judged), select(gold), select(frozen)).cte("stay")
    counts = session.execute(
        select(
            _count(select(TASK.c.id).where(TASK.c.import_id == THIS)),
            _count(select(judged)),
            _count(select(gold).except_(select(judged))),
            _count(select(frozen).except_(select(judged), select(gold))),
            _count(select(Prompt.id).where(Prompt.import_id == THIS)),
            _count(_prompts_that_stay(stay)),
            _count(select(ANNOTATION.c.id).where(ANNOTATION.c.import_id == THIS)),
            _count(_judgements_that_stay(stay, is_frozen=is_frozen)),
        ),
        {"of_import": row.id},
    ).one()
    tasks, stay_judged, stay_gold, stay_snapshot, prompts, prompts_stay, given, kept = counts
    return Undoing(
        tasks=tasks - stay_judged - stay_gold - stay_snapshot,
        prompts=prompts - prompts_stay,
        judgements=given - kept,
        stay_judged=stay_judged,
        stay_gold=stay_gold,
        stay_snapshot=stay_snapshot,
        prompts_stay=prompts_stay,
        snapshot=snapshot,
        generating=is_generating(session, project_id=row.project_id),
    )


def _count(rows: SelectBase) -> ScalarSelect[int]:
    return select(func.count()).select_from(rows.subquery()).scalar_subquery()


def _used(*, is_frozen: bool) -> tuple[CTE, CTE, CTE]:
    """Tasks of the import by what keeps them, as `must_stay` says it of one."""

    def having(rows: FromClause, *where: ColumnElement[bool]) -> Select[Any]:
        ids = select(TASK.c.id).join(rows, rows.c.task_id == TASK.c.id)
        return ids.where(TASK.c.import_id == THIS, *where)

    ended = select(Import.finished_at).where(Import.id == THIS).scalar_subquery()
    judged = union(
        having(ASSIGNMENT, ASSIGNMENT.c.display_order.is_not(None)),
        having(ANNOTATION, ANNOTATION.c.import_id.is_distinct_from(THIS)),
        having(ADJUDICATION),
        having(SEND_BACK),
    )
    gold = having(GOLD_KEY, GOLD_KEY.c.created_at > ended)
    frozen = having(ANNOTATION).distinct() if is_frozen else having(ANNOTATION, false())
    return judged.cte("judged"), gold.cte("gold"), frozen.cte("frozen")


def _prompts_that_stay(stay: CTE) -> CompoundSelect[Any]:
    """With a task of others or one that stays, or with a response of others."""
    mine = Prompt.import_id == THIS
    of_task = select(TASK.c.prompt_id).join(Prompt, Prompt.id == TASK.c.prompt_id).where(mine)
    return union(
        of_task.where(TASK.c.import_id.is_distinct_from(THIS)),
        of_task.join(stay, stay.c.id == TASK.c.id),
        select(Response.prompt_id)
        .join(Prompt, Prompt.id == Response.prompt_id)
        .where(mine, Response.import_id.is_distinct_from(THIS)),
    )


def _judgements_that_stay(stay: CTE, *, is_frozen: bool) -> CompoundSelect[Any]:
    """Of tasks that stay; once a snapshot may hold them, also of tasks that others had brought."""
    of_task = (
        select(ANNOTATION.c.id)
        .join(TASK, TASK.c.id == ANNOTATION.c.task_id)
        .where(ANNOTATION.c.import_id == THIS)
    )
    theirs = TASK.c.import_id.is_distinct_from(THIS)
    return union(
        of_task.join(stay, stay.c.id == TASK.c.id),
        of_task.where(theirs if is_frozen else false()),
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
