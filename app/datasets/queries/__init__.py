"""Reads for datasets: snapshots, and everything judged in a project, prompt by prompt."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain, islice
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    Text,
    Uuid,
    case,
    cast,
    column,
    func,
    literal,
    or_,
    select,
    text,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, distinct_on
from sqlalchemy.orm import Session
from sqlalchemy.types import NullType

from app.accounts.models import User
from app.annotation.models import Annotation, Removal
from app.corpus.models import Import, Prompt, Response
from app.datasets.models import Snapshot
from app.datasets.rules.comparisons import Ranks, Vote
from app.datasets.rules.judged import JudgedPrompt, JudgedTask, Judgement, Ratings
from app.datasets.rules.rows import Candidate
from app.db import JobState
from app.projects.models import Guidelines, Membership, Project, Standing
from app.quality.models import Adjudication
from app.tasks.models import Task, TaskKind, TaskResponse

T = TypeVar("T")

BATCH = 500  # prompts read at once: bounds memory, and the round trips are few


# Of a response that goes on for some turns, import keeps them beside its text.
_MESSAGES = Response.meta["messages"]
_TURNS = case(
    (func.jsonb_typeof(_MESSAGES) == "array", func.jsonb_array_length(_MESSAGES)), else_=1
)


def see_one_moment(session: Session) -> None:
    """From here on this transaction sees the database as of now, whatever others commit.

    Must come before anything else in the transaction. Inside another one (a savepoint) PostgreSQL
    cannot change the view; it is then that of the outer transaction.
    """
    connection = session.connection()
    if not connection.in_nested_transaction():
        session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))


_PROMPTS = select(
    Prompt.id,
    Prompt.content_hash,
    Prompt.system,
    Prompt.messages,
    Prompt.source,
    Prompt.tags,
    Prompt.language,
)


def judged_prompts(
    session: Session, *, project: Project, limit: int | None = None, ahead: bool = False
) -> Generator[JudgedPrompt]:
    """Every prompt with its ordinary tasks and their current judgements, sorted by content hash.

    Memory is flat: a cursor in the server walks over the prompts, their tasks are read by the
    batch. Prompts that only serve gold or qualification questions come with their number and no
    tasks. `limit`: so many prompts only, which are as good as drawn at random (the order is a
    hash's). `ahead`: the next batch is read while this one is worked on, by another thread;
    `session` is then not for others until the last prompt has come.
    """
    prompts = (
        _PROMPTS.where(Prompt.project_id == project.id)
        .order_by(Prompt.content_hash)
        .limit(limit)
        .execution_options(yield_per=BATCH)
    )
    with session.connection().execute(prompts) as cursor:
        batches = (list(_with_tasks(session, batch)) for batch in cursor.partitions())
        with closing(_ahead(batches) if ahead else batches) as read:
            for batch in read:
                yield from batch


def prompts_alone(
    session: Session, *, project: Project, limit: int | None = None
) -> Iterator[JudgedPrompt]:
    """The same prompts in the same order, without their tasks."""
    prompts = (
        _PROMPTS.where(Prompt.project_id == project.id)
        .order_by(Prompt.content_hash)
        .limit(limit)
        .execution_options(yield_per=BATCH)
    )
    with session.execute(prompts) as cursor:
        for prompt in cursor:
            yield _with(prompt, tasks=(), gold_tasks=0)


def judged_prompt(session: Session, *, prompt_id: UUID) -> JudgedPrompt:
    """One of them, as a snapshot frozen now would see it."""
    return next(_with_tasks(session, session.execute(_PROMPTS.where(Prompt.id == prompt_id)).all()))


def _ahead(items: Iterator[T]) -> Generator[T]:
    """The same items, each got by another thread while the one before is worked on.

    Closed early, it waits for the one that is being got.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:
        coming = reader.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = reader.submit(next, items, None)
            yield item


def _with_tasks(session: Session, prompts: Sequence[Row[Any]]) -> Iterator[JudgedPrompt]:
    golden = [0 for _ in prompts]
    ordinary: list[list[UUID]] = [[] for _ in prompts]
    asked = numbered([prompt.id for prompt in prompts])
    for number, task_id, kind in session.connection().execute(
        select(asked.c.number, Task.id, Task.kind).join(Task, Task.prompt_id == asked.c.id)
    ):
        if kind is TaskKind.ORDINARY:
            ordinary[number - 1].append(task_id)
        else:
            golden[number - 1] += 1
    judged = iter(_judged_tasks(session, list(chain.from_iterable(ordinary))))
    for prompt, task_ids, gold in zip(prompts, ordinary, golden, strict=True):
        yield _with(prompt, tasks=list(islice(judged, len(task_ids))), gold_tasks=gold)


def _with(prompt: Row[Any], *, tasks: Sequence[JudgedTask], gold_tasks: int) -> JudgedPrompt:
    messages = [
        {"role": message["role"], "content": message["content"]} for message in prompt.messages
    ]
    if prompt.system:
        messages.insert(0, {"role": "system", "content": prompt.system})
    return JudgedPrompt(
        id=prompt.content_hash.hex(),
        messages=messages,
        tasks=tasks,
        gold_tasks=gold_tasks,
        source=prompt.source,
        tags=prompt.tags,
        language=prompt.language,
    )


def numbered(ids: Sequence[UUID]) -> Any:
    """`ids` as a table of (id, number from 1): one parameter, and rows come back by number."""
    given = cast(literal("{" + ",".join(map(str, ids)) + "}", Text()), ARRAY(Uuid()))
    return (
        func.unnest(given)
        .table_valued(column("id", Uuid()), with_ordinality="number", name="asked")
        .render_derived()
    )


def _judged_tasks(session: Session, task_ids: Sequence[UUID]) -> list[JudgedTask]:
    """In the order given; everything in a task is put into the order of its responses' ids."""
    if not task_ids:
        return []
    asked = numbered(task_ids)
    stored: list[list[tuple[str, str, int, int]]] = [[] for _ in task_ids]
    connection = session.connection()
    for number, position, content_hash, body, turns in connection.execute(
        select(
            asked.c.number,
            TaskResponse.position,
            Response.content_hash,
            Response.text,
            _TURNS,
        )
        .join(TaskResponse, TaskResponse.task_id == asked.c.id)
        .join(Response, Response.id == TaskResponse.response_id)
    ).all():
        stored[number - 1].append((content_hash.hex(), body, position, turns))
    orders = []
    for found in stored:
        found.sort()
        orders.append([position for _, _, position, _ in found])
    judgements: list[list[Judgement]] = [[] for _ in task_ids]
    for number, ranks, strength, ratings, requeued, *rest in connection.execute(
        _annotations(asked)
    ).all():
        order = orders[number - 1]
        if len(ranks) == len(order):
            vote = Vote(tuple([ranks[position] for position in order]), strength)
            by_id = ratings_in_order(ratings, order) if ratings else None
            judgements[number - 1].append(Judgement._make((*rest, vote, by_id, requeued)))
    settled = _adjudications(session, asked)
    return [
        JudgedTask(
            task_id,
            [Candidate(name, body, turns) for name, body, _, turns in stored[index]],
            judgements[index],
            _in_order(settled.get(index + 1), orders[index]) if settled else None,
        )
        for index, task_id in enumerate(task_ids)
    ]


def _annotations(asked: Any) -> Select[Any]:
    """Ranks and what goes with them, then the other fields of a `Judgement` in their order."""
    return (
        select(
            asked.c.number,
            type_coerce(Annotation.ranks, NullType),  # a list already: nothing to look through
            Annotation.strength,
            func.nullif(Annotation.ratings, text("'{}'::jsonb"), type_=JSONB),
            Annotation.requeue_id.is_not(None),
            cast(Annotation.id, Text),
            cast(Annotation.user_id, Text),
            Annotation.source,
            Annotation.guidelines_version,
            Annotation.counted,
            Annotation.is_repeat,
            Annotation.submitted_at,
            func.nullif(Annotation.rewrite, ""),
        )
        .join(Annotation, Annotation.task_id == asked.c.id)
        .where(Annotation.is_current)
    )


def ratings_in_order(stored: Mapping[str, Any] | Sequence[Any], order: Sequence[int]) -> Ratings:
    """Criterion → value per position (a list, or an object by position) → by response id."""
    ratings: Ratings = {}
    for criterion, values in dict(stored).items():
        by_position = values if isinstance(values, Mapping) else dict(enumerate(values))
        ratings[criterion] = [
            by_position.get(position, by_position.get(str(position))) for position in order
        ]
    return ratings


def _adjudications(session: Session, asked: Any) -> dict[int, list[int]]:
    """The newest adjudication of each task that was not withdrawn, by number."""
    newest = (
        select(asked.c.number, Adjudication.ranks)
        .join(Adjudication, Adjudication.task_id == asked.c.id)
        .where(Adjudication.withdrawn_at.is_(None))
        .order_by(asked.c.number, Adjudication.created_at.desc(), Adjudication.id)
        .ext(distinct_on(asked.c.number))
    )
    return {row.number: row.ranks for row in session.connection().execute(newest)}


def _in_order(ranks: Sequence[int] | None, order: Sequence[int]) -> Ranks | None:
    if ranks is None or len(ranks) != len(order):
        return None
    return tuple(ranks[position] for position in order)


def imports_behind(session: Session, *, project: Project) -> Sequence[Import]:
    """The files that brought prompts of the project, in their order."""
    brought = select(Prompt.import_id).where(Prompt.project_id == project.id).distinct()
    return session.scalars(
        select(Import).where(Import.id.in_(brought)).order_by(Import.created_at, Import.id)
    ).all()


def checkpoints_behind(session: Session, *, project: Project) -> Sequence[UUID]:
    """The checkpoints that wrote responses of the project."""
    written = (
        select(Response.checkpoint_id)
        .join(Prompt, Prompt.id == Response.prompt_id)
        .where(Prompt.project_id == project.id, Response.checkpoint_id.is_not(None))
        .distinct()
    )
    return sorted(each for each in session.scalars(written) if each is not None)


def number_of_prompts(session: Session, *, project: Project) -> int:
    statement = select(func.count()).where(Prompt.project_id == project.id)
    return session.scalar(statement) or 0


def people_who_fail_gold(session: Session, *, project: Project) -> frozenset[str]:
    failed = select(Membership.user_id).where(
        Membership.project_id == project.id, Membership.standing == Standing.FAILED
    )
    return frozenset(str(user_id) for user_id in session.scalars(failed))


def people_kept_out(session: Session, *, project: Project) -> frozenset[str]:
    """Those whose judgements an admin keeps out of every snapshot."""
    kept_out = select(Membership.user_id).where(
        Membership.project_id == project.id, Membership.excluded_at.is_not(None)
    )
    return frozenset(str(user_id) for user_id in session.scalars(kept_out))


def people_called(
    session: Session, *, project: Project, names: Sequence[str]
) -> dict[str, list[UUID]]:
    """Whom each of `names` means in the project: an e-mail, an imported name, a name or an id."""
    folded = {name.strip().lower() for name in names}
    means: ColumnElement[bool] = or_(
        func.lower(User.email).in_(folded),
        func.lower(User.name).in_(folded),
        func.lower(Membership.imported_name).in_(folded),
    )
    ids = [UUID(name) for name in folded if is_uuid(name)]
    rows = session.execute(
        select(User.id, User.email, User.name, Membership.imported_name)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.project_id == project.id, or_(means, User.id.in_(ids)))
        .order_by(User.id)
    ).all()
    return {
        name: [
            row.id
            for row in rows
            if name.strip().lower()
            in {
                str(row.id),
                (row.email or "").lower(),
                row.name.lower(),
                (row.imported_name or "").lower(),
            }
        ]
        for name in names
    }


def is_uuid(name: str) -> bool:
    try:
        UUID(name)
    except ValueError:
        return False
    return True


def guidelines_versions(session: Session, *, project: Project) -> Sequence[Guidelines]:
    return session.scalars(
        select(Guidelines)
        .where(Guidelines.project_id == project.id)
        .order_by(Guidelines.version.desc())
    ).all()


def removals_in(session: Session, *, project: Project) -> Sequence[Removal]:
    """What was removed of people's judgements, the last first."""
    return session.scalars(
        select(Removal).where(Removal.project_id == project.id).order_by(Removal.at.desc())
    ).all()


def replacement_of(session: Session, *, snapshot: Snapshot) -> Snapshot | None:
    """The newest corrected edition of a snapshot that did not fail."""
    return session.scalars(
        select(Snapshot)
        .where(Snapshot.replaces_id == snapshot.id, Snapshot.state != JobState.FAILED)
        .order_by(Snapshot.created_at.desc())
        .limit(1)
    ).one_or_none()


def snapshot_for(session: Session, *, snapshot_id: UUID) -> tuple[Snapshot, Project] | None:
    row = session.execute(
        select(Snapshot, Project)
        .join(Project, Project.id == Snapshot.project_id)
        .where(Snapshot.id == snapshot_id)
    ).one_or_none()
    return None if row is None else (row[0], row[1])


def snapshots_of(
    session: Session, *, project: Project, after: Snapshot | None = None, limit: int = 100
) -> Sequence[Snapshot]:
    """Newest first."""
    statement = select(Snapshot).where(Snapshot.project_id == project.id)
    if after is not None:
        older = func.row(Snapshot.created_at, Snapshot.id) < func.row(after.created_at, after.id)
        statement = statement.where(older)
    return session.scalars(
        statement.order_by(Snapshot.created_at.desc(), Snapshot.id.desc()).limit(limit)
    ).all()
