"""The tasks that a reviewer may look at, by what she asks for, and what people said of them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, column, exists, func, or_, select
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.annotation import rules as annotation
from app.annotation.models import Annotation
from app.corpus.models import Prompt
from app.db import among
from app.projects.models import Membership, Project
from app.quality.models import Adjudication
from app.quality.rules.queue import Given, Order, State
from app.quality.schemas.queue import QueueFilters
from app.tasks.models import Task, TaskKind
from app.tasks.queries import IS_GOLD, IS_ORDINARY

MOST_CHOICES = 100  # of a list to choose from


@dataclass(frozen=True, slots=True)
class Candidate:
    """A task that fits the filters, whatever its state."""

    task_id: UUID
    state: State
    settled_at: datetime | None
    is_full: bool  # all judgements that are wanted are there


_settled_at = (
    select(func.max(Adjudication.created_at))
    .where(Adjudication.task_id == Task.id, Adjudication.withdrawn_at.is_(None))
    .correlate(Task)
    .scalar_subquery()
)
# What people said and a reviewer looks at: also of gold, where nothing counts.
_SAID = and_(
    Annotation.is_current.is_(True),
    Annotation.is_repeat.is_(False),
    Annotation.user_id.is_not(None),
)


def candidates(
    session: Session,
    *,
    project: Project,
    filters: QueueFilters,
    limit: int | None = None,
    ids: Collection[UUID] | None = None,
) -> list[Candidate]:
    """Judged tasks that fit the filters, in any order; of `ids` alone where they are given."""
    statement: Any = (
        select(
            Task.id,
            Task.kind,
            Task.at_least > Task.counted,
            _settled_at,
            func.coalesce(Task.counted >= Task.wanted, True),
        )
        .where(Task.project_id == project.id)
        .limit(limit)
    )
    if filters.state is State.GOLD:
        statement = statement.where(IS_GOLD, _exists())
    elif filters.order is Order.POSTERIOR:
        statement = statement.where(IS_ORDINARY, Task.counted >= 1)
    else:
        statement = statement.where(IS_ORDINARY, Task.counted > 1)
    if ids is not None:
        statement = statement.where(among(Task.id, ids))
    rows = session.execute(_narrowed(statement, filters))
    return [
        Candidate(task_id, _state(kind, is_asked=asked, settled_at=settled_at), settled_at, is_full)
        for task_id, kind, asked, settled_at, is_full in rows
    ]


def _state(kind: TaskKind, *, is_asked: bool, settled_at: datetime | None) -> State:
    if kind is not TaskKind.ORDINARY:
        return State.GOLD
    if settled_at is not None:
        return State.SETTLED
    return State.SENT_BACK if is_asked else State.OPEN


def _exists(*conditions: Any) -> Any:
    return exists().where(Annotation.task_id == Task.id, _SAID, *conditions)


def _narrowed(statement: Select[Any], filters: QueueFilters) -> Select[Any]:
    if filters.source or filters.tag or filters.search:
        statement = statement.join(Prompt, Prompt.id == Task.prompt_id)
    if filters.source:
        statement = statement.where(Prompt.source == filters.source)
    if filters.tag:
        statement = statement.where(Prompt.tags.contains([filters.tag]))
    if filters.search:
        turn = func.jsonb_array_elements(Prompt.messages).table_valued(
            column("value", Prompt.messages.type), name="turn"
        )
        said = turn.c.value["content"].astext.icontains(filters.search, autoescape=True)
        statement = statement.where(
            or_(
                select(1).select_from(turn).where(said).correlate(Prompt).exists(),
                Task.external_id == filters.search,
            )
        )
    if filters.annotator:
        statement = statement.where(_exists(Annotation.user_id == filters.annotator))
    if filters.version:
        statement = statement.where(_exists(Annotation.guidelines_version == filters.version))
    if filters.day:
        start, end = _bounds(filters.day)
        that_day = select(Annotation.task_id).where(  # by its index of project and time
            Annotation.project_id == Task.project_id,
            Annotation.submitted_at >= start,
            Annotation.submitted_at < end,
            _SAID,
        )
        statement = statement.where(Task.id.in_(that_day.correlate(Task)))
    return statement


def _bounds(day: date) -> tuple[datetime, datetime]:
    start = datetime.combine(day, time(), UTC)
    return start, start + timedelta(days=1)


def given(session: Session, *, task_ids: Collection[UUID]) -> dict[UUID, list[Given]]:
    """What people said of tasks: what counts of ordinary ones, all answers to gold."""
    rows = session.execute(
        select(
            Annotation.task_id,
            Annotation.user_id,
            Annotation.ranks,
            func.coalesce(Membership.gold_seen, 0),
            func.coalesce(Membership.gold_passed, 0),
        )
        .join(Task, Task.id == Annotation.task_id)
        .outerjoin(
            Membership,
            (Membership.project_id == Annotation.project_id)
            & (Membership.user_id == Annotation.user_id),
        )
        .where(
            among(Annotation.task_id, task_ids),
            _SAID,
            or_(Annotation.counted.is_(True), Task.kind != TaskKind.ORDINARY),
        )
    )
    said: dict[UUID, list[Given]] = {}
    for task_id, user_id, ranks, seen, passed in rows:
        accuracy = annotation.expected_accuracy(gold_seen=seen, gold_passed=passed)
        if user_id is not None:  # as asked
            said.setdefault(task_id, []).append(Given(user_id, tuple(ranks), accuracy))
    return said


@dataclass(frozen=True, slots=True)
class Choices:
    """What the filters offer to choose from."""

    sources: Sequence[str]
    tags: Sequence[str]
    versions: Sequence[int]
    people: Sequence[tuple[UUID, str]]


def choices(session: Session, *, project: Project) -> Choices:
    """Sources and tags of the prompts looked at first, versions, and who has judged here."""
    prompts = (
        select(Prompt.source, Prompt.tags)
        .where(Prompt.project_id == project.id)
        .limit(10_000)
        .subquery()
    )
    tag = func.unnest(prompts.c.tags).label("tag")
    people = (
        select(User.id, User.name)
        .join(Membership, Membership.user_id == User.id)
        .where(
            Membership.project_id == project.id,
            exists().where(Annotation.user_id == User.id, Annotation.project_id == project.id),
        )
        .order_by(User.name, User.id)
        .limit(MOST_CHOICES)
    )
    sources = select(prompts.c.source).where(prompts.c.source.is_not(None)).distinct()
    tags = select(tag).select_from(prompts).distinct()
    return Choices(
        sources=sorted(map(str, session.scalars(sources)))[:MOST_CHOICES],
        tags=sorted(map(str, session.scalars(tags)))[:MOST_CHOICES],
        versions=range(project.guidelines_version, 0, -1)[:MOST_CHOICES],
        people=[(row.id, row.name) for row in session.execute(people)],
    )
