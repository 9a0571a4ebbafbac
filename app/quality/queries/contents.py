"""Tasks by what they hold: an order that does not depend on ids or on who stored them when."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BigInteger, Integer, LargeBinary, Select, cast, func, literal, select
from sqlalchemy.orm import Session

from app.corpus.models import Response
from app.projects.models import Project
from app.quality.queries.crowd import Crowd, all_bytes
from app.quality.rules.intervals import Ints
from app.tasks.models import Task, TaskKind, TaskResponse

_BITS = 4  # of a position: a task has at most ten responses
_ROW = np.dtype([("high", ">u8"), ("low", ">u8"), ("digest", ">u8"), ("order", ">i8")])


@dataclass(frozen=True, slots=True)
class Contents:
    """What tasks hold, by their code.

    digest (T,): of the hashes of its responses; order (T, W): their canonical positions in the
    order of the hashes, places beyond its responses keep their number.
    """

    digest: NDArray[np.uint64]
    order: Ints


def contents_of(
    session: Session, *, project: Project, crowd: Crowd, tasks: Select[UUID] | None = None
) -> Contents:
    """Of all tasks of a crowd, in one statement. `tasks`: those the crowd was limited to."""
    found = np.frombuffer(all_bytes(session, _statement(project, tasks)), dtype=_ROW)
    ids = np.empty(len(found), [("high", ">u8"), ("low", ">u8")])
    ids["high"], ids["low"] = found["high"], found["low"]
    code = crowd.task_codes(ids)
    judged = code >= 0
    n, width = len(crowd.tasks), crowd.judgements.ranks.shape[1]
    digest = np.zeros(n, np.uint64)
    digest[code[judged]] = found["digest"][judged]
    packed = np.zeros(n, np.int64)
    packed[code[judged]] = found["order"][judged]
    sizes = np.zeros(n, np.int64)
    sizes[crowd.judgements.task] = crowd.judgements.sizes
    places = np.arange(width)
    order = (packed[:, None] >> (places * _BITS)) & (2**_BITS - 1)
    return Contents(digest, np.where(places < sizes[:, None], order, places))


def _statement(project: Project, chosen: Select[UUID] | None) -> Select[Any]:
    by_hash = func.row_number().over(
        partition_by=TaskResponse.task_id, order_by=Response.content_hash
    )
    ranked = (
        select(
            TaskResponse.task_id,
            TaskResponse.position,
            Response.content_hash,
            (by_hash - 1).label("place"),
        )
        .join(Response, Response.id == TaskResponse.response_id)
        .join(Task, Task.id == TaskResponse.task_id)
        .where(
            Task.project_id == project.id,
            Task.kind == TaskKind.ORDINARY,
            *([] if chosen is None else [Task.id.in_(chosen)]),
        )
        .subquery()
    )
    shift = cast(ranked.c.place * _BITS, Integer)
    order = func.bit_or(cast(ranked.c.position, BigInteger).bitwise_lshift(shift))
    hashes = func.string_agg(
        ranked.c.content_hash, cast(literal(b""), LargeBinary)
    ).aggregate_order_by(ranked.c.content_hash)
    by_task = (
        select(
            ranked.c.task_id,
            func.substr(func.sha256(hashes), 1, 8).label("digest"),
            order.label("order"),
        )
        .group_by(ranked.c.task_id)
        .subquery()
    )
    record = (
        func.uuid_send(by_task.c.task_id)
        .concat(by_task.c.digest)
        .concat(func.int8send(by_task.c.order))
    )
    return select(func.string_agg(record, cast(None, LargeBinary))).group_by(
        func.get_byte(func.uuid_send(by_task.c.task_id), 15)
    )
