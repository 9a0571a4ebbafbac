"""Reads for quality: a project's judgements as columns, and what is known of people and tasks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    Integer,
    LargeBinary,
    Select,
    SQLColumnExpression,
    cast,
    extract,
    func,
    select,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from app.annotation.models import Annotation
from app.corpus.models import Prompt, Response
from app.projects.models import Project
from app.quality.rules.intervals import Ints
from app.quality.rules.judgements import Judgements
from app.tasks.models import Assignment, AssignmentState, Task, TaskKind, TaskResponse
from app.tasks.rules import MOST_RESPONSES

_BITS = 4  # of a rank or place inside a packed number: a task has at most ten responses
LAST = 2_000  # judgements of one person that her page looks at
UUID_BYTES = np.dtype([("high", ">u8"), ("low", ">u8")])
_SENDS = {  # how PostgreSQL writes each type in its binary format
    UUID_BYTES: func.uuid_send,
    np.dtype(">i8"): func.int8send,
    np.dtype(">i4"): func.int4send,
    np.dtype(">f8"): func.float8send,
}

Column = tuple[str, Any, SQLColumnExpression[Any]]  # name, numpy type, expression


@dataclass(frozen=True, slots=True)
class Crowd:
    """All judgements of a project that figures are made of, with the names behind the codes.

    tasks (T, 2), annotators (A, 2): ids by code, as 64-bit halves; sources (N,): a hash of the
    prompt's source by row, 0 = none.
    """

    judgements: Judgements
    tasks: NDArray[np.uint64]
    annotators: NDArray[np.uint64]
    sources: Ints

    def task_id(self, code: int) -> UUID:
        return _as_uuid(self.tasks[code])

    def task_codes(self, ids: NDArray[Any]) -> Ints:
        """Codes of tasks by their ids as bytes (UUID_BYTES), −1 where nobody has judged it."""
        known = np.empty(len(self.tasks), UUID_BYTES)
        known["high"], known["low"] = self.tasks[:, 0], self.tasks[:, 1]
        common, _ = _codes(np.concatenate([known, ids]))
        code = np.full(len(common), -1)
        code[common[: len(known)]] = np.arange(len(known))
        codes: Ints = code[common[len(known) :]]
        return codes

    def annotator_ids(self) -> list[UUID]:
        return [_as_uuid(halves) for halves in self.annotators]


def crowd_of(
    session: Session,
    *,
    project: Project,
    tasks: Select[UUID] | None = None,
    with_lengths: bool = True,
) -> Crowd:
    """People's current judgements of ordinary tasks that count, and repeats.

    Sources, surplus, gold and superseded revisions are left out; `tasks`: only of these, by their
    ids. The rows come as bytes of fixed width, put together by the database in a piece per person,
    and numpy reads them as they are: few pieces, so that PostgreSQL makes them on several cores.
    What is told of tasks is read once for each. To measure every response takes long: not all
    need it.
    """
    width = _widest_task(session, project=project, chosen=tasks)
    criteria = [str(criterion["key"]) for criterion in project.criteria]
    columns = [*_said(width), *_seen(width, criteria)]
    statement = (
        _records(columns, project=project, tasks=tasks)
        .add_columns(func.uuid_send(Annotation.user_id))
        .join(Assignment, Assignment.id == Annotation.assignment_id)
        .group_by(Annotation.user_id)
    )
    rows, people, annotator = _pieces(session, statement, columns)
    ids = np.frombuffer(b"".join(people), UUID_BYTES)
    crowd = _crowd(rows, annotator, _halves(ids), width=width, criteria=criteria)
    sources = _sources(session, crowd, project=project, tasks=tasks)
    if not with_lengths:
        return replace(crowd, sources=sources[crowd.judgements.task])
    lengths = _lengths(session, crowd, width, project=project, tasks=tasks)
    judgements = replace(
        crowd.judgements,
        lengths=lengths[crowd.judgements.task],
        characters=np.maximum(lengths, 0).sum(axis=1).astype(np.float64)[crowd.judgements.task],
    )
    return replace(crowd, judgements=judgements, sources=sources[crowd.judgements.task])


def crowd_by_prompt(
    session: Session,
    *,
    project: Project,
    tasks: Select[UUID],
    by: Sequence[SQLColumnExpression[Any]],
) -> tuple[Crowd, list[tuple[Sequence[Any], Ints]]]:
    """Who said what of these tasks and when, and no more; the tasks by what their prompts are.

    As (values of `by`, codes of the tasks) for every combination of values there is. In one
    statement: where tasks are few among many, to look them up is what takes the time.
    """
    columns: list[Column] = [("annotator", UUID_BYTES, Annotation.user_id), *_said(MOST_RESPONSES)]
    statement = (
        _records(columns, project=project, tasks=tasks)
        .add_columns(*by)
        .join(Prompt, Prompt.id == Task.prompt_id)
        .group_by(*by)
    )
    found = _all_rows(session, statement)
    pieces = [np.frombuffer(piece, dtype=_type_of(columns)) for piece, *_ in found]
    rows = np.concatenate([np.zeros(0, _type_of(columns)), *pieces])
    crowd = _crowd(rows, *_codes(rows["annotator"]), width=MOST_RESPONSES)
    codes = np.split(crowd.task_codes(rows["task"]), np.cumsum([len(each) for each in pieces]))
    return crowd, [
        (values, np.unique(mine)) for (_, *values), mine in zip(found, codes, strict=False)
    ]


def _records(
    columns: Sequence[Column], *, project: Project, tasks: Select[UUID] | None
) -> Select[Any]:
    """What counts, as bytes: a record per judgement, end to end."""
    return (
        select(_end_to_end(columns))
        .select_from(Annotation)
        .join(Task, Task.id == Annotation.task_id)
        .where(
            Annotation.project_id == project.id,
            Annotation.is_current,
            Annotation.source.is_(None),
            Annotation.counted | Annotation.is_repeat,
            Task.kind == TaskKind.ORDINARY,
            *([] if tasks is None else [Annotation.task_id.in_(tasks)]),
        )
    )


def _end_to_end(columns: Sequence[Column]) -> ColumnElement[bytes]:
    sent: list[ColumnElement[Any]] = [
        _SENDS[np.dtype(kind)](expression) for _, kind, expression in columns
    ]
    record = reduce(lambda left, right: left.concat(right), sent)
    return func.string_agg(record, cast(None, LargeBinary))


def _type_of(columns: Sequence[Column]) -> np.dtype[Any]:
    return np.dtype([(name, kind) for name, kind, _ in columns])


def _said(width: int) -> list[Column]:
    """What was said of which task, and when; no column is ever null."""
    return [
        ("task", UUID_BYTES, Annotation.task_id),
        ("ranks", ">i8", _packed(Annotation.ranks, width)),
        ("submitted", ">f8", cast(extract("epoch", Annotation.submitted_at), Double)),
        ("repeat", ">i4", cast(Annotation.is_repeat, Integer)),
        ("version", ">i4", Annotation.guidelines_version),
    ]


def _seen(width: int, criteria: Sequence[str]) -> list[Column]:
    """What was on screen, and all else that was said; no column is ever null."""
    milliseconds = func.coalesce(
        Annotation.active_ms, Annotation.visible_ms, Annotation.wall_ms, -1
    )
    words = func.nullif(func.lower(func.btrim(Annotation.rationale)), "")
    columns: list[Column] = [
        ("order", ">i8", _packed(Assignment.display_order, width, plus=1)),
        ("strength", ">i4", cast(func.coalesce(Annotation.strength, -1), Integer)),
        ("milliseconds", ">i4", cast(milliseconds, Integer)),
        ("rationale", ">i8", func.coalesce(func.hashtextextended(words, 0), 0)),
    ]
    for number, key in enumerate(criteria):
        given = Annotation.ratings[key]
        for place in range(width):
            value = func.coalesce(given[place].astext, given[str(place)].astext, "NaN")
            columns.append((f"rating_{number}_{place}", ">f8", cast(value, Double)))
    return columns


def _packed(array: Any, width: int, *, plus: int = 0) -> ColumnElement[int]:
    """The first `width` elements of a small array in one number, four bits each; absent is 0."""
    packed: Any = cast(0, BigInteger)
    for place in range(width):
        element = cast(func.coalesce(array[place + 1] + plus, 0), BigInteger)
        packed = packed + element.bitwise_lshift(_BITS * place)
    return cast(packed, BigInteger)


def last_tasks_of(project: Project, user_id: UUID) -> Select[UUID]:
    """The tasks that she handed in last; what of it counts is not asked here."""
    return (
        select(Assignment.task_id)
        .where(
            Assignment.project_id == project.id,
            Assignment.user_id == user_id,
            Assignment.state == AssignmentState.SUBMITTED,
            ~Assignment.is_repeat,
        )
        .order_by(Assignment.finished_at.desc(), Assignment.id)
        .limit(LAST)
    )


def _sources(
    session: Session, crowd: Crowd, *, project: Project, tasks: Select[UUID] | None
) -> Ints:
    """A hash of the prompt's source by task of the crowd."""
    columns: list[Column] = [("task", UUID_BYTES, Task.id)]
    statement = (
        select(_end_to_end(columns))
        .add_columns(source_hash())
        .join(Prompt, Prompt.id == Task.prompt_id)
        .where(*_of_tasks(project, tasks))
        .group_by(source_hash())
    )
    rows, hashes, piece = _pieces(session, statement, columns)
    code = crowd.task_codes(rows["task"])
    sources = np.zeros(len(crowd.tasks), np.int64)
    sources[code[code >= 0]] = np.array(hashes, np.int64)[piece[code >= 0]]
    return sources


def _lengths(
    session: Session, crowd: Crowd, width: int, *, project: Project, tasks: Select[UUID] | None
) -> Ints:
    """Characters of each response of each task of the crowd, −1 = no such response."""
    columns: list[Column] = [
        ("task", UUID_BYTES, TaskResponse.task_id),
        ("characters", np.dtype(">i4"), func.char_length(Response.text)),
    ]
    statement = (
        select(_end_to_end(columns))
        .add_columns(TaskResponse.position)
        .join(Response, Response.id == TaskResponse.response_id)
        .join(Task, Task.id == TaskResponse.task_id)
        .where(*_of_tasks(project, tasks))
        .group_by(TaskResponse.position)
    )
    rows, positions, piece = _pieces(session, statement, columns)
    code = crowd.task_codes(rows["task"])
    lengths = np.full((len(crowd.tasks), width), -1)
    position = np.array(positions, np.int64)[piece]
    known = (code >= 0) & (position < width)  # a wider task may have been judged meanwhile
    lengths[code[known], position[known]] = rows["characters"][known]
    return lengths


def _of_tasks(project: Project, tasks: Select[UUID] | None) -> list[ColumnElement[bool]]:
    return [Task.project_id == project.id, *([] if tasks is None else [Task.id.in_(tasks)])]


def source_hash() -> ColumnElement[int]:
    """The prompt's source as a number, 0 where it has none."""
    return func.coalesce(func.hashtextextended(Prompt.source, 0), 0)


def _widest_task(session: Session, *, project: Project, chosen: Select[UUID] | None = None) -> int:
    widest = (
        select(func.max(TaskResponse.position))
        .join(Task, Task.id == TaskResponse.task_id)
        .where(*_of_tasks(project, chosen))
    )
    return max(2, 1 + (session.scalar(widest) or 0))


def all_bytes(session: Session, statement: Select[Any]) -> bytes:
    """The one column of all rows, end to end."""
    return b"".join(piece for (piece,) in _all_rows(session, statement))


def _pieces(
    session: Session, statement: Select[Any], columns: Sequence[Column]
) -> tuple[NDArray[Any], list[Any], Ints]:
    """(records, keys in their order, which of the keys each record has) of a piece per key."""
    found = sorted(_all_rows(session, statement), key=lambda row: row[1])
    kind = _type_of(columns)
    rows = np.frombuffer(b"".join(piece for piece, _ in found), kind)
    number = [len(piece) // kind.itemsize for piece, _ in found]
    return rows, [key for _, key in found], np.repeat(np.arange(len(found)), number)


def _all_rows(session: Session, statement: Select[Any]) -> list[tuple[Any, ...]]:
    """As PostgreSQL's binary format has them: bytes as text would take twice as many."""
    compiled = statement.compile(
        # Not psycopg's own style: with no parameters, it would leave every % doubled.
        dialect=postgresql.psycopg.dialect(paramstyle="named"),  # type: ignore[no-untyped-call]
        compile_kwargs={"literal_binds": True},
    )
    # Joins of everything: in memory, not in temporary files.
    session.execute(text("SET LOCAL work_mem = '64MB'"))
    connection: Any = session.connection().connection.driver_connection
    with connection.cursor(binary=True) as cursor:
        rows: list[tuple[Any, ...]] = cursor.execute(str(compiled)).fetchall()
        return rows


def _crowd(
    rows: NDArray[Any],
    annotator: Ints,
    annotators: NDArray[np.uint64],
    *,
    width: int,
    criteria: Sequence[str] = (),
) -> Crowd:
    """Sorted columns with codes in place of ids; of what the rows do not have, nothing is known."""
    task, tasks = _codes(rows["task"])
    order = np.argsort(task, kind="stable")
    rows, task, annotator = rows[order], task[order], annotator[order]
    ranks = _unpacked(rows["ranks"], width)

    def given(name: str, *, unknown: int = 0) -> NDArray[Any]:
        known = name in (rows.dtype.names or ())
        return rows[name] if known else np.full(len(rows), unknown)

    strength = given("strength", unknown=-1).astype(np.float64)
    milliseconds = given("milliseconds", unknown=-1).astype(np.float64)
    judgements = Judgements(
        task=task,
        annotator=annotator,
        ranks=ranks,
        display=_places(_unpacked(given("order"), width)),
        lengths=np.full((len(rows), width), -1),
        strength=np.where(strength < 0, np.nan, strength),
        seconds=np.where(milliseconds < 0, np.nan, milliseconds / 1000),
        submitted=rows["submitted"].astype(np.float64),
        repeat=rows["repeat"] != 0,
        version=rows["version"].astype(np.int64),
        ratings={
            key: np.stack(
                [rows[f"rating_{number}_{place}"].astype(np.float64) for place in range(width)],
                axis=1,
            )
            for number, key in enumerate(criteria)
        },
        rationale=given("rationale").astype(np.int64),
    )
    return Crowd(judgements, tasks, annotators, np.zeros(len(rows), np.int64))


def _codes(ids: NDArray[Any]) -> tuple[Ints, NDArray[np.uint64]]:
    """(code of each row, (codes, 2) halves of each id); codes follow the order of the ids."""
    halves = _halves(ids)
    order = np.argsort(halves[:, 0])
    apart = np.diff(halves[order], axis=0) != 0
    if (~apart[:, 0] & apart[:, 1]).any():  # ids that begin alike, as those by time may
        order = np.lexsort((halves[:, 1], halves[:, 0]))
        apart = np.diff(halves[order], axis=0) != 0
    is_new = np.ones(len(order), np.bool_)
    is_new[1:] = apart.any(axis=1)
    code = np.empty(len(order), np.int64)
    code[order] = np.cumsum(is_new) - 1
    return code, halves[order[is_new]]


def _halves(ids: NDArray[Any]) -> NDArray[np.uint64]:
    return np.stack([ids["high"], ids["low"]], axis=1).astype(np.uint64)


def _as_uuid(halves: NDArray[np.uint64]) -> UUID:
    return UUID(int=(int(halves[0]) << 64) | int(halves[1]))


def _unpacked(packed: NDArray[Any], width: int) -> NDArray[np.int16]:
    """The inverse of `_packed`: (N,) → (N, width)."""
    shifts = np.arange(width) * _BITS
    values = (packed.astype(np.int64)[:, None] >> shifts) & (2**_BITS - 1)
    return np.asarray(values, np.int16)


def _places(order: NDArray[np.int16]) -> NDArray[np.int16]:
    """Position + 1 by place on screen, 0 unknown → place by position, −1 unknown."""
    places = np.full(order.shape, -1, np.int16)
    row, place = np.nonzero(order)
    places[row, order[row, place] - 1] = place
    return places
