"""Opening tasks for prompts and responses, and how many judgements they want."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import exists, func, select, update
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.db import JsonObject, among, bulk_insert, new_ids, written
from app.errors import Conflict, Invalid
from app.projects.models import Project
from app.tasks import queries
from app.tasks.models import Assignment, Task, TaskKind, TaskResponse
from app.tasks.rules import FEWEST_RESPONSES, MOST_COUNTED, MOST_RESPONSES
from app.tasks.schemas import Gold, NewTask, OpenedTask
from app.tasks.service.gold import put_keys, require_consistent
from app.tasks.service.lanes import lanes_of

OPENING_LOCK = 7_203  # with the project's hash


def identity(response_ids: Sequence[UUID]) -> bytes:
    """What a task is: a set of responses, which belong to one prompt of one project."""
    return hashlib.sha256(b"".join(sorted(each.bytes for each in response_ids))).digest()


def lock_opening(session: Session, *, project: Project) -> None:
    """Let one import of the project write at a time: two would wait for each other's rows."""
    key = func.hashtext(str(project.id))
    session.execute(select(func.pg_advisory_xact_lock(OPENING_LOCK, key)))


def try_lock_opening(session: Session, *, project: Project) -> bool:
    """The same lock, or False where somebody has it."""
    key = func.hashtext(str(project.id))
    return session.scalar(select(func.pg_try_advisory_xact_lock(OPENING_LOCK, key))) is True


def hold_opening(session: Session, *, project: Project) -> None:
    """The same lock; `Conflict` where somebody has it: an import, or a change such as this one."""
    if not try_lock_opening(session, project=project):
        raise Conflict(
            "An import into this project, or another admin's change of its keys or judgements, is "
            "under way. Nothing was changed here; try again when it has ended."
        )


def require_rankable(task: NewTask) -> None:
    size = len(task.response_ids)
    if not FEWEST_RESPONSES <= size <= MOST_RESPONSES:
        raise Invalid(
            f"A task needs {FEWEST_RESPONSES} to {MOST_RESPONSES} responses to rank; "
            f"this one has {size}."
        )
    if len(set(task.response_ids)) < size:
        raise Invalid("The same response stands twice in this task.")
    if task.gold is not None:
        require_consistent(task.gold, size=size)


@dataclass(frozen=True, slots=True)
class PreparedTasks:
    """Tasks to open with all that takes no database; `expected` is what comes of it if all are new.

    Lines with the same responses are one task, in the order of the first.
    """

    lines: Sequence[tuple[bytes, NewTask]]
    first: Mapping[bytes, NewTask]
    golden: Mapping[bytes, NewTask]  # the first line of each that brings a key
    counted: Mapping[bytes, int]  # judgements that an ordinary one is opened with
    ids: Mapping[bytes, UUID]  # of those that are new
    rows: Sequence[JsonObject]
    insert: Insert
    links: Insert
    expected: Sequence[OpenedTask]


def open_tasks(
    session: Session,
    *,
    project: Project,
    tasks: Sequence[NewTask],
    by: User | None = None,
    import_id: UUID | None = None,
) -> Sequence[OpenedTask]:
    """A task for each line, new or found again; answers in the order given.

    A gold key makes a new task gold or a question of the qualification, or an old one that nobody
    has had; what people judged already stays as it is. An ordinary one that is new is opened with
    the judgements of its `judges` counted, and wants as many at least: its row is written once.
    """
    if not tasks:
        return []
    prepared = prepare_tasks(
        tasks, project_id=project.id, overlap=project.overlap_min, import_id=import_id
    )
    return open_prepared(session, project=project, tasks=prepared, by=by)


def prepare_tasks(
    tasks: Sequence[NewTask], *, project_id: UUID, overlap: int, import_id: UUID | None = None
) -> PreparedTasks:
    """Of one task at least; `overlap` is the least that the project asks for."""
    for task in tasks:
        require_rankable(task)
    lines = [(identity(task.response_ids), task) for task in tasks]
    first: dict[bytes, NewTask] = {}
    golden: dict[bytes, NewTask] = {}
    judges: dict[bytes, set[str]] = {}
    for key, task in lines:
        first.setdefault(key, task)
        if task.gold is not None:
            golden.setdefault(key, task)
        judges.setdefault(key, set()).update(task.judges)
    counted = {key: min(len(judges[key]), MOST_COUNTED) for key in first if key not in golden}
    ids = dict(zip(first, new_ids(len(first)), strict=True))
    rows = [
        {
            "id": ids[key],
            "project_id": project_id,
            "prompt_id": task.prompt_id,
            "lane": "",
            "identity": key,
            "kind": _kind(golden.get(key)),
            "wanted": max(overlap, counted[key]) if key in counted else None,
            "counted": counted.get(key, 0),
            "priority": task.priority,
            "external_id": task.external_id,
            "meta": task.meta,
            "import_id": import_id,
        }
        for key, task in first.items()
    ]
    orders = {ids[key]: list(task.response_ids) for key, task in first.items()}
    gold = {ids[key] for key in golden}
    return PreparedTasks(
        lines=lines,
        first=first,
        golden=golden,
        counted=counted,
        ids=ids,
        rows=rows,
        insert=bulk_insert(Task, rows).on_conflict_do_nothing(),
        links=_links(first, ids),
        expected=_opened(lines, first=first, counted=counted, ids=ids, orders=orders, gold=gold),
    )


def open_prepared(
    session: Session, *, project: Project, tasks: PreparedTasks, by: User | None = None
) -> Sequence[OpenedTask]:
    """A task for each line, new or found again, as `open_tasks` says."""
    lock_opening(session, project=project)
    old = _insert(session, project=project, tasks=tasks)
    if not old and not tasks.golden:
        return tasks.expected
    new = {key: row_id for key, row_id in tasks.ids.items() if key not in old}
    ids = new | {key: task.id for key, task in old.items()}
    orders = {new[key]: list(tasks.first[key].response_ids) for key in new}
    if old:
        orders |= queries.responses_of(session, task_ids=[task.id for task in old.values()])
    turned = _turn_untouched(
        session, kinds={ids[key]: _kind(task) for key, task in tasks.golden.items() if key in old}
    )
    gold = {ids[key] for key in tasks.golden if key in new} | turned
    put_keys(
        session,
        keys=[
            (ids[key], _in_order(task, orders[ids[key]]))
            for key, task in tasks.golden.items()
            if ids[key] in gold
        ],
        by=by,
    )
    gold |= {task.id for task in old.values() if task.kind is not TaskKind.ORDINARY}
    counted = {key: number for key, number in tasks.counted.items() if key in new}
    return _opened(
        tasks.lines,
        first={key: task for key, task in tasks.first.items() if key in new},
        counted=counted,
        ids=ids,
        orders=orders,
        gold=gold,
    )


def _opened(
    lines: Sequence[tuple[bytes, NewTask]],
    *,
    first: Mapping[bytes, NewTask],
    counted: Mapping[bytes, int],
    ids: Mapping[bytes, UUID],
    orders: Mapping[UUID, Sequence[UUID]],
    gold: Collection[UUID],
) -> list[OpenedTask]:
    """Where each line ended; `first` and `counted` are of the new ones alone."""
    return [
        OpenedTask(
            task_id=ids[key],
            positions=range(len(task.response_ids))
            if first.get(key) is task
            else [orders[ids[key]].index(each) for each in task.response_ids],
            is_new=first.get(key) is task,
            is_gold=ids[key] in gold,
            counted=counted.get(key),
        )
        for key, task in lines
    ]


def _insert(session: Session, *, project: Project, tasks: PreparedTasks) -> dict[bytes, Task]:
    """Insert those that are not there yet, with their responses; answers the others."""
    prompts = {task.prompt_id for task in tasks.first.values() if task.may_ask}
    insert = tasks.insert
    if lanes := lanes_of(session, project=project, prompt_ids=prompts):
        rows = [row | {"lane": lanes.get(row["prompt_id"], "")} for row in tasks.rows]
        insert = bulk_insert(Task, rows).on_conflict_do_nothing()
    if written(session, insert) == len(tasks.ids):
        session.execute(tasks.links)
        return {}
    found = _find(session, project=project, keys=tasks.ids)
    old = {key: task for key, task in found.items() if task.id != tasks.ids[key]}
    if new := {key: row_id for key, row_id in tasks.ids.items() if key not in old}:
        session.execute(_links(tasks.first, new))
    return old


def _links(first: Mapping[bytes, NewTask], ids: Mapping[bytes, UUID]) -> Insert:
    links = [
        {"task_id": task_id, "position": position, "response_id": response_id}
        for key, task_id in ids.items()
        for position, response_id in enumerate(first[key].response_ids)
    ]
    return bulk_insert(TaskResponse, links)


def _find(session: Session, *, project: Project, keys: Collection[bytes]) -> dict[bytes, Task]:
    if not keys:
        return {}
    tasks = session.scalars(
        select(Task).where(Task.project_id == project.id, among(Task.identity, keys))
    )
    return {task.identity: task for task in tasks}


def _kind(golden: NewTask | None) -> TaskKind:
    """What a line with a key, or none, makes of its task."""
    if golden is None or golden.gold is None:
        return TaskKind.ORDINARY
    return TaskKind.QUALIFICATION if golden.gold.qualification else TaskKind.GOLD


def _turn_untouched(session: Session, *, kinds: Mapping[UUID, TaskKind]) -> set[UUID]:
    """Give those ordinary tasks the kind of their key that nobody has had."""
    was_had = exists().where(Assignment.task_id == Task.id, ~Assignment.is_repeat)  # by its index
    turned: set[UUID] = set()
    for kind in set(kinds.values()):
        tasks = session.scalars(
            update(Task)
            .where(
                Task.id.in_([task_id for task_id, wanted in kinds.items() if wanted is kind]),
                Task.kind == TaskKind.ORDINARY,
                Task.leased + Task.counted == 0,
                ~was_had,
            )
            .values(kind=kind, wanted=None, at_least=0)
            .returning(Task.id)
        )
        turned.update(tasks)
    return turned


def _in_order(task: NewTask, order: Sequence[UUID]) -> Gold:
    """The key of a line in the canonical order of its task."""
    assert task.gold is not None
    places = [order.index(each) for each in task.response_ids]
    return Gold(
        prefers=[(places[i], places[j]) for i, j in task.gold.prefers],
        equal=[(places[i], places[j]) for i, j in task.gold.equal],
        ties_allowed=task.gold.ties_allowed,
        explanation=task.gold.explanation,
        qualification=task.gold.qualification,
        suspended=task.gold.suspended,
    )


def set_overlap(
    session: Session, *, project: Project, after: bytes, limit: int
) -> list[tuple[UUID, bytes]]:
    """Let the next `limit` ordinary tasks behind identity `after` want what is asked for now.

    Those that do so already are passed by, but for complete ones that adaptive overlap may ask
    more of. What is leased or counted already stays wanted, and what a reviewer asked for.
    Answers ids and identities, in order.
    """
    target = func.greatest(project.overlap_min, Task.at_least, Task.leased + Task.counted)
    concerned = Task.wanted != target
    if project.overlap_min < project.overlap_max:
        concerned |= (Task.counted == Task.wanted) & (Task.wanted < project.overlap_max)
    batch = session.execute(
        select(Task.id, Task.identity)
        .where(
            Task.project_id == project.id,
            queries.IS_ORDINARY,
            Task.closed_at.is_(None),
            Task.identity > after,
            concerned,
        )
        .order_by(Task.identity)
        .limit(limit)
        .with_for_update(key_share=True)
    ).all()
    session.execute(
        update(Task)
        .where(Task.id.in_([row.id for row in batch]), Task.wanted != target)
        .values(wanted=target)
    )
    return [(row.id, row.identity) for row in batch]
