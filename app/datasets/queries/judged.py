"""Everything judged in a project, prompt by prompt."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain, islice
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import (
    Row,
    Select,
    Text,
    Uuid,
    case,
    cast,
    column,
    exists,
    func,
    literal,
    select,
    text,
    true,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, distinct_on
from sqlalchemy.orm import Session
from sqlalchemy.types import NullType

from app.annotation.models import Annotation
from app.corpus.models import Prompt, Response
from app.datasets.rules.comparisons import Ranks, Vote
from app.datasets.rules.judged import JudgedPrompt, JudgedTask, Judgement, Ratings
from app.datasets.rules.rows import Candidate
from app.projects.models import Project
from app.quality.models import Adjudication
from app.tasks.models import Task, TaskKind, TaskResponse

T = TypeVar("T")

BATCH = 1000  # prompts read at once: bounds memory, and the round trips are few

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


def share_moment(session: Session) -> str | None:
    """A name under which other connections see what this transaction sees, for as long as it lasts.

    None inside another transaction (a savepoint): PostgreSQL shares none of what is uncommitted.
    """
    if session.connection().in_nested_transaction():
        return None
    return session.scalar(select(func.pg_export_snapshot()))


def see_moment_of(session: Session, name: str) -> None:
    """Like `see_one_moment`, of the transaction that shares its own as `name`."""
    see_one_moment(session)
    session.execute(text(f"SET TRANSACTION SNAPSHOT '{name}'"))


def judged_prompts(
    session: Session,
    *,
    project: Project,
    limit: int | None = None,
    ahead: bool = False,
    stretch: tuple[int, int] = (0, 1),
) -> Generator[JudgedPrompt]:
    """Every prompt with its ordinary tasks and their current judgements, sorted by content hash.

    Memory is flat: a cursor in the server walks over the prompts, their tasks are read by the
    batch. Prompts that only serve gold or qualification questions come with their number and no
    tasks. `limit`: so many prompts only, which are as good as drawn at random (the order is a
    hash's). `ahead`: the next batch is read while this one is worked on, by another thread;
    `session` is then not for others until the last prompt has come. `stretch`: (number, of how
    many) of the parts into which the range of hashes is cut, as good as equally long.
    """
    number, parts = stretch
    first, after = (2**64 * edge // parts for edge in (number, number + 1))
    prompts = (
        _PROMPTS.where(
            Prompt.project_id == project.id,
            Prompt.content_hash >= first.to_bytes(8),
            Prompt.content_hash < after.to_bytes(8) if number + 1 < parts else true(),
        )
        .order_by(Prompt.content_hash)
        .limit(limit)
        .execution_options(yield_per=BATCH)
    )
    is_settled = has_adjudications(session, project=project)
    with session.connection().execute(prompts) as cursor:
        batches = (
            list(_with_tasks(session, batch, is_settled=is_settled))
            for batch in cursor.partitions()
        )
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
    prompt = session.execute(_PROMPTS.where(Prompt.id == prompt_id)).all()
    return next(_with_tasks(session, prompt, is_settled=True))


def has_adjudications(session: Session, *, project: Project) -> bool:
    """Whether reviewers settled anything: most often not, and then no batch is asked."""
    found = exists().where(Adjudication.task_id == Task.id, Task.project_id == project.id)
    return session.scalar(select(found)) is True


def _ahead(items: Iterator[T]) -> Generator[T]:
    """The same items, each got by another thread while the one before is worked on.

    Closed early, it waits for the one that is being got.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:
        coming = reader.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = reader.submit(next, items, None)
            yield item


def _with_tasks(
    session: Session, prompts: Sequence[Row[Any]], *, is_settled: bool
) -> Iterator[JudgedPrompt]:
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
    task_ids = list(chain.from_iterable(ordinary))
    judged = iter(_judged_tasks(session, task_ids, is_settled=is_settled))
    for prompt, own, gold in zip(prompts, ordinary, golden, strict=True):
        yield _with(prompt, tasks=list(islice(judged, len(own))), gold_tasks=gold)


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


def _judged_tasks(
    session: Session, task_ids: Sequence[UUID], *, is_settled: bool
) -> list[JudgedTask]:
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
    settled = _adjudications(session, asked) if is_settled else {}
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


def number_of_prompts(session: Session, *, project: Project) -> int:
    statement = select(func.count()).where(Prompt.project_id == project.id)
    return session.scalar(statement) or 0
