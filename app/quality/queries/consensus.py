"""What the answers to tasks and the leaderboard rest on beside the judgements."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import LargeBinary, Text, cast, func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.annotation.models import Annotation
from app.corpus.models import Prompt, Response
from app.projects.models import Project
from app.quality.models import Adjudication
from app.quality.queries.crowd import Crowd, all_bytes
from app.quality.rules.intervals import Ints
from app.tasks.models import Assignment, GoldKey, Task, TaskKind, TaskResponse

_SOURCED = np.dtype(
    [  # uuid in two halves
        ("high", ">u8"), ("low", ">u8"), ("position", ">i4"), ("source", ">i8"), ("length", ">i4"),
    ]
)  # fmt: skip


def names_of(session: Session, *, user_ids: Sequence[str]) -> dict[str, str]:
    rows = session.execute(select(User.id, User.name).where(User.id.in_(map(UUID, user_ids))))
    return {str(user_id): name for user_id, name in rows}


def known_truth(session: Session, *, project: Project) -> tuple[Any, ...]:
    """Changes with everything that is known of tasks: adjudications, and gold keys that hold."""
    settled = session.execute(
        select(func.count(), func.bit_xor(func.hashtextextended(cast(Adjudication.id, Text), 0)))
        .join(Task, Task.id == Adjudication.task_id)
        .where(Task.project_id == project.id, Adjudication.withdrawn_at.is_(None))
    ).one()
    said = func.concat(GoldKey.task_id, cast(GoldKey.prefers, Text), cast(GoldKey.equal, Text))
    keys = session.execute(
        select(func.count(), func.bit_xor(func.hashtextextended(said, 0)))
        .join(Task, Task.id == GoldKey.task_id)
        .where(Task.project_id == project.id, GoldKey.suspended_at.is_(None))
    ).one()
    return (*settled, *keys)


def adjudicated_ranks(session: Session, *, project: Project) -> dict[UUID, Sequence[int]]:
    """What reviewers settled of ordinary tasks: the newest adjudication of each."""
    rows = session.execute(
        select(Adjudication.task_id, Adjudication.ranks)
        .join(Task, Task.id == Adjudication.task_id)
        .where(
            Task.project_id == project.id,
            Task.kind == TaskKind.ORDINARY,
            Adjudication.withdrawn_at.is_(None),
        )
        .ext(distinct_on(Adjudication.task_id))
        .order_by(Adjudication.task_id, Adjudication.created_at.desc(), Adjudication.id)
    )
    return {row.task_id: row.ranks for row in rows}


@dataclass(frozen=True, slots=True)
class GoldAnswer:
    """A judgement of a gold task whose key holds."""

    user_id: UUID
    ranks: Sequence[int]
    display_order: Sequence[int] | None
    prefers: Sequence[Sequence[int]]
    equal: Sequence[Sequence[int]]
    ties_allowed: bool


def answers_to_gold(session: Session, *, project: Project) -> list[GoldAnswer]:
    rows = session.execute(
        select(
            Annotation.user_id,
            Annotation.ranks,
            Assignment.display_order,
            GoldKey.prefers,
            GoldKey.equal,
            GoldKey.ties_allowed,
        )
        .join(Assignment, Assignment.id == Annotation.assignment_id)
        .join(Task, Task.id == Annotation.task_id)
        .join(GoldKey, GoldKey.task_id == Task.id)
        .where(
            Annotation.project_id == project.id,
            Annotation.is_current,
            Annotation.source.is_(None),
            ~Annotation.is_repeat,
            Task.kind == TaskKind.GOLD,
            GoldKey.suspended_at.is_(None),
        )
    )
    return [GoldAnswer(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the responses of the judged tasks come from.

    names: of the sources; places (tasks, widest): number of the source by task code and canonical
    position, −1 = not known; characters (tasks, widest): of those with a source.
    """

    names: Sequence[str]
    places: Ints
    characters: Ints


def response_sources(session: Session, *, project: Project, crowd: Crowd) -> Sources:
    """In two statements; the rows come as bytes, like the judgements."""
    number = func.hashtextextended(Response.source, 0)
    named = session.execute(
        select(number, Response.source)
        .join(Prompt, Prompt.id == Response.prompt_id)
        .where(Prompt.project_id == project.id, Response.source.is_not(None))
        .distinct()
    ).all()
    names = {int(value): str(name) for value, name in sorted(named, key=lambda row: str(row[1]))}
    record = func.uuid_send(TaskResponse.task_id).concat(func.int4send(TaskResponse.position))
    record = record.concat(func.int8send(number))
    record = record.concat(func.int4send(func.char_length(Response.text)))
    statement = (
        select(func.string_agg(record, cast(None, LargeBinary)))
        .select_from(TaskResponse)
        .join(Task, Task.id == TaskResponse.task_id)
        .join(Response, Response.id == TaskResponse.response_id)
        .where(Task.project_id == project.id, Response.source.is_not(None))
        .group_by(func.get_byte(func.uuid_send(TaskResponse.task_id), 15))
    )
    rows = np.frombuffer(all_bytes(session, statement), dtype=_SOURCED)
    halves = np.stack([rows["high"], rows["low"]], axis=1).astype(np.uint64)
    code = codes_of(crowd, halves)
    judged = code >= 0
    numbers = np.array(list(names), np.int64)
    ascending = np.argsort(numbers)
    given = rows["source"][judged].astype(np.int64)
    places = np.full((len(crowd.tasks), crowd.judgements.ranks.shape[1]), -1, np.int64)
    characters = np.zeros(places.shape, np.int64)
    at = code[judged], rows["position"][judged].astype(np.int64)
    places[at] = ascending[np.searchsorted(numbers, given, sorter=ascending)]
    characters[at] = rows["length"][judged]
    return Sources(list(names.values()), places, characters)


def codes_of(crowd: Crowd, ids: NDArray[np.uint64]) -> Ints:
    """The code of each task (N, 2), −1 where nobody judged it. Codes follow the order of ids."""
    place = np.searchsorted(crowd.tasks[:, 0], ids[:, 0])
    codes = np.full(len(ids), -1)
    left = np.arange(len(ids))
    while len(left):  # more than once only where two ids share their first half
        left = left[place[left] < len(crowd.tasks)]
        left = left[crowd.tasks[place[left], 0] == ids[left, 0]]
        is_it = crowd.tasks[place[left], 1] == ids[left, 1]
        codes[left[is_it]] = place[left[is_it]]
        left = left[~is_it]
        place[left] += 1
    return codes


def halves_of(ids: Sequence[UUID]) -> NDArray[np.uint64]:
    """(N, 2): ids as 64-bit halves."""
    pairs = [(each.int >> 64, each.int & (2**64 - 1)) for each in ids]
    return np.array(pairs, np.uint64).reshape(-1, 2)
