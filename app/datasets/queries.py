"""Reads for datasets: snapshots, and everything judged in a project, prompt by prompt."""

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Uuid, any_, bindparam, func, or_, select, text
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.annotation.models import Annotation
from app.corpus.models import Prompt, Response
from app.datasets.models import Snapshot
from app.datasets.rules.comparisons import Ranks, Vote
from app.datasets.rules.judged import JudgedPrompt, JudgedTask, Judgement, Ratings
from app.datasets.rules.rows import Candidate
from app.projects.models import Guidelines, Membership, Project, Standing
from app.quality.models import Adjudication
from app.tasks.models import Task, TaskKind, TaskResponse

BATCH = 500  # prompts read at once: bounds memory, and the round trips are few


def see_one_moment(session: Session) -> None:
    """From here on this transaction sees the database as of now, whatever others commit.

    Must come before anything else in the transaction. Inside another one (a savepoint) PostgreSQL
    cannot change the view; it is then that of the outer transaction.
    """
    connection = session.connection()
    if not connection.in_nested_transaction():
        session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))


def judged_prompts(
    session: Session, *, project: Project, limit: int | None = None
) -> Iterator[JudgedPrompt]:
    """Every prompt with its ordinary tasks and their current judgements, sorted by content hash.

    Memory is flat: a cursor in the server walks over the prompts, their tasks are read by the
    batch. Prompts that only serve gold or qualification questions come with their number and no
    tasks. `limit`: so many prompts only, which are as good as drawn at random (the order is a
    hash's).
    """
    prompts = (
        select(Prompt.id, Prompt.content_hash, Prompt.system, Prompt.messages)
        .where(Prompt.project_id == project.id)
        .order_by(Prompt.content_hash)
        .limit(limit)
        .execution_options(yield_per=BATCH)
    )
    with session.execute(prompts) as cursor:
        for batch in cursor.partitions():
            yield from _with_tasks(session, batch)


def _with_tasks(session: Session, prompts: Sequence[Row[Any]]) -> Iterator[JudgedPrompt]:
    tasks: dict[UUID, list[Any]] = {}
    rows = session.execute(
        select(Task.id, Task.prompt_id, Task.kind).where(
            _among(Task.prompt_id, [prompt.id for prompt in prompts])
        )
    ).all()
    for row in rows:
        tasks.setdefault(row.prompt_id, []).append(row)
    ordinary = [row.id for row in rows if row.kind is TaskKind.ORDINARY]
    judged = _judged_tasks(session, ordinary) if ordinary else {}
    for prompt in prompts:
        mine = tasks.get(prompt.id, [])
        messages = [
            {"role": message["role"], "content": message["content"]} for message in prompt.messages
        ]
        if prompt.system:
            messages.insert(0, {"role": "system", "content": prompt.system})
        yield JudgedPrompt(
            id=prompt.content_hash.hex(),
            messages=messages,
            tasks=[judged[row.id] for row in mine if row.id in judged],
            gold_tasks=sum(row.kind is not TaskKind.ORDINARY for row in mine),
        )


def _among(column: Any, ids: Sequence[UUID]) -> ColumnElement[bool]:
    """`column = ANY(array)`: one parameter, where IN would have one for each id."""
    return cast("ColumnElement[bool]", column == any_(bindparam(None, ids, type_=ARRAY(Uuid()))))


def _judged_tasks(session: Session, task_ids: Sequence[UUID]) -> dict[UUID, JudgedTask]:
    responses: dict[UUID, list[tuple[str, str, int]]] = {}
    for task_id, position, content_hash, body in session.execute(
        select(TaskResponse.task_id, TaskResponse.position, Response.content_hash, Response.text)
        .join(Response, Response.id == TaskResponse.response_id)
        .where(_among(TaskResponse.task_id, task_ids))
    ):
        responses.setdefault(task_id, []).append((content_hash.hex(), body, position))
    candidates: dict[UUID, list[Candidate]] = {}
    orders: dict[UUID, list[int]] = {}
    for task_id, found in responses.items():
        found.sort()
        candidates[task_id] = [Candidate(name, body) for name, body, _ in found]
        orders[task_id] = [position for _, _, position in found]
    judgements: dict[UUID, list[Judgement]] = {}
    for row in session.execute(_annotations(task_ids)):
        order = orders.get(row.task_id)
        if order is not None and len(row.ranks) == len(order):
            judgements.setdefault(row.task_id, []).append(_judgement(row, order))
    settled = _adjudications(session, task_ids)
    return {
        task_id: JudgedTask(
            id=task_id,
            responses=candidates[task_id],
            judgements=judgements.get(task_id, []),
            adjudicated=_in_order(settled.get(task_id), orders[task_id]),
        )
        for task_id in candidates
    }


def _annotations(task_ids: Sequence[UUID]) -> Any:
    return select(
        Annotation.task_id,
        Annotation.id,
        Annotation.user_id,
        Annotation.source,
        Annotation.guidelines_version,
        Annotation.counted,
        Annotation.is_repeat,
        Annotation.submitted_at,
        Annotation.ranks,
        Annotation.strength,
        Annotation.ratings,
        Annotation.rewrite,
    ).where(_among(Annotation.task_id, task_ids), Annotation.is_current)


def _judgement(row: Row[Any], order: Sequence[int]) -> Judgement:
    return Judgement(
        id=row.id,
        user_id=row.user_id,
        source=row.source,
        guidelines_version=row.guidelines_version,
        counted=row.counted,
        is_repeat=row.is_repeat,
        submitted_at=row.submitted_at,
        vote=Vote(tuple(row.ranks[position] for position in order), row.strength),
        ratings=_ratings(row.ratings, order) if row.ratings else {},
        rewrite=row.rewrite or None,
    )


def _ratings(stored: Mapping[str, Any], order: Sequence[int]) -> Ratings:
    """Criterion → value per position (a list, or an object by position) → by response id."""
    ratings: Ratings = {}
    for criterion, values in stored.items():
        by_position = values if isinstance(values, Mapping) else dict(enumerate(values))
        ratings[criterion] = [
            by_position.get(position, by_position.get(str(position))) for position in order
        ]
    return ratings


def _adjudications(session: Session, task_ids: Sequence[UUID]) -> dict[UUID, list[int]]:
    """The newest adjudication of each task."""
    newest = (
        select(Adjudication.task_id, Adjudication.ranks)
        .where(_among(Adjudication.task_id, task_ids))
        .order_by(Adjudication.task_id, Adjudication.created_at.desc(), Adjudication.id)
        .ext(distinct_on(Adjudication.task_id))
    )
    return {row.task_id: row.ranks for row in session.execute(newest)}


def _in_order(ranks: Sequence[int] | None, order: Sequence[int]) -> Ranks | None:
    if ranks is None or len(ranks) != len(order):
        return None
    return tuple(itemgetter(*order)(ranks))


def number_of_prompts(session: Session, *, project: Project) -> int:
    statement = select(func.count()).where(Prompt.project_id == project.id)
    return session.scalar(statement) or 0


def people_who_fail_gold(session: Session, *, project: Project) -> frozenset[UUID]:
    return frozenset(
        session.scalars(
            select(Membership.user_id).where(
                Membership.project_id == project.id, Membership.standing == Standing.FAILED
            )
        )
    )


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
    ids = [UUID(name) for name in folded if _is_uuid(name)]
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


def _is_uuid(name: str) -> bool:
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


def annotators_of(session: Session, *, project: Project) -> Sequence[Any]:
    """Everybody whose judgements the project has: (id, name, email, imported_name, standing)."""
    judged = select(Annotation.user_id).where(Annotation.project_id == project.id).distinct()
    return session.execute(
        select(User.id, User.name, User.email, Membership.imported_name, Membership.standing)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.project_id == project.id, User.id.in_(judged))
        .order_by(User.name, User.id)
    ).all()


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
