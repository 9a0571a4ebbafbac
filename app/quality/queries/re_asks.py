"""Reads for re-asked samples: who could be asked what again, and what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, func, select, tuple_
from sqlalchemy.orm import Session, aliased

from app.accounts.models import Role, User, UserKind
from app.annotation.models import Annotation
from app.corpus.models import Prompt
from app.projects.models import Membership, Project
from app.quality.rules.flips import Look
from app.tasks.models import Assignment, AssignmentState, ReAsk, ReAskPair, Task, TaskKind

LOOKED_AT = 40_000  # judgements, by chance, of a version that has more
MOST_BASE = 5_000  # the latest silent repeats, to compare with


@dataclass(frozen=True, slots=True)
class Candidate:
    """A judgement that its author could be asked for again."""

    task_id: UUID
    user_id: UUID
    seconds: float | None


_is_here = and_(
    Membership.role != Role.VIEWER, Membership.paused_at.is_(None), User.disabled_at.is_(None)
)


def versions_judged(session: Session, *, project: Project) -> dict[int, int]:
    """How many judgements that count each version of the guidelines has."""
    counted = session.execute(
        select(Annotation.guidelines_version, func.count())
        .where(
            Annotation.project_id == project.id,
            Annotation.is_current,
            Annotation.counted,
            Annotation.source.is_(None),
        )
        .group_by(Annotation.guidelines_version)
    )
    return {row[0]: row[1] for row in counted}


def _may_come_again(project: Project, *, version: int) -> ColumnElement[bool]:
    """Made here under this version, by somebody who still gets tasks, and not repeated yet.

    What came again is hashed once (NOT IN): asked row by row, it was a scan for each of them.
    """
    again = aliased(Assignment)
    came = select(again.task_id, again.user_id).where(
        again.project_id == project.id, again.is_repeat
    )
    planned = (
        select(ReAskPair.task_id, ReAskPair.user_id)
        .join(ReAsk, ReAsk.id == ReAskPair.re_ask_id)
        .where(ReAsk.project_id == project.id)
    )
    judgement = tuple_(Annotation.task_id, Annotation.user_id)
    return and_(
        Annotation.project_id == project.id,
        Annotation.is_current,
        Annotation.counted,
        Annotation.guidelines_version == version,
        Task.kind == TaskKind.ORDINARY,
        Assignment.display_order.is_not(None),
        Assignment.state == AssignmentState.SUBMITTED,
        _is_here,
        User.kind == UserKind.PERSON,  # the others only carry judgements
        judgement.not_in(came),
        judgement.not_in(planned),
    )


def _of_members(statement: Select[tuple[UUID, UUID, int]]) -> Select[tuple[UUID, UUID, int]]:
    return (
        statement.join(Task, Task.id == Annotation.task_id)
        .join(Assignment, Assignment.id == Annotation.assignment_id)
        .join(
            Membership,
            (Membership.project_id == Annotation.project_id)
            & (Membership.user_id == Annotation.user_id),
        )
        .join(User, User.id == Annotation.user_id)
    )


def candidates(
    session: Session, *, project: Project, version: int, judged: int, most: int
) -> tuple[list[Candidate], int]:
    """Up to `most` judgements of each person by chance, and how many there are in all.

    Of the very many that were `judged` a part is looked at: their number is an estimate then.
    """
    part = min(1.0, LOOKED_AT / max(1, judged))
    times = func.coalesce(Annotation.active_ms, Annotation.visible_ms, Annotation.wall_ms)
    columns: Select[tuple[UUID, UUID, int]] = select(
        Annotation.task_id, Annotation.user_id, times.label("ms")
    )  # type: ignore[assignment]
    chosen = _of_members(columns).where(_may_come_again(project, version=version))
    if part < 1:
        chosen = chosen.where(func.random() < part)
    eligible = chosen.subquery()
    place = func.row_number().over(partition_by=eligible.c.user_id, order_by=func.random())
    drawn = select(eligible, place.label("place"), func.count().over().label("total")).subquery()
    rows = session.execute(select(drawn).where(drawn.c.place <= most)).all()
    found = [
        Candidate(row.task_id, row.user_id, None if row.ms is None else row.ms / 1000)
        for row in rows
    ]
    return found, round(rows[0].total / part) if rows else 0


def re_asks_of(session: Session, *, project: Project) -> Sequence[ReAsk]:
    """Newest first."""
    return session.scalars(
        select(ReAsk)
        .where(ReAsk.project_id == project.id)
        .order_by(ReAsk.created_at.desc(), ReAsk.id)
    ).all()


@dataclass(frozen=True, slots=True)
class Line:
    """A task of the sample: what its judge said before, and says now, if she has been asked."""

    task_id: UUID
    external_id: str | None
    opening: str
    user_id: UUID
    name: str
    before: Sequence[int]
    before_version: int
    after: Sequence[int] | None
    after_version: int | None
    after_at: datetime | None
    state: AssignmentState | None  # of the second look; None: it still waits
    kind: TaskKind
    is_closed: bool  # the task: nobody is asked any more
    is_here: bool  # the person: not paused, and still one who judges

    @property
    def counts(self) -> bool:
        """Whether both judgements are there and the task is still one that people may differ on."""
        return self.after is not None and self.kind is TaskKind.ORDINARY


def lines_of(session: Session, *, re_ask: ReAsk) -> list[Line]:
    """All pairs of a re-ask. Judgements under guidelines that she had not read are left out."""
    first, again = aliased(Assignment), aliased(Assignment)
    before, after = aliased(Annotation), aliased(Annotation)
    rows = session.execute(
        select(
            ReAskPair.task_id,
            Task.external_id,
            func.coalesce(Prompt.messages[-1]["content"].astext, ""),
            ReAskPair.user_id,
            User.name,
            before.ranks,
            before.guidelines_version,
            after.ranks,
            after.guidelines_version,
            after.submitted_at,
            again.state,
            Task.kind,
            Task.closed_at.is_not(None),
            func.coalesce(_is_here, False),
        )
        .join(Task, Task.id == ReAskPair.task_id)
        .join(Prompt, Prompt.id == Task.prompt_id)
        .join(User, User.id == ReAskPair.user_id)
        .outerjoin(
            Membership,
            (Membership.project_id == Task.project_id) & (Membership.user_id == User.id),
        )
        .join(
            first,
            (first.task_id == ReAskPair.task_id)
            & (first.user_id == ReAskPair.user_id)
            & ~first.is_repeat,
        )
        .join(before, (before.assignment_id == first.id) & before.is_current)
        .outerjoin(
            again,
            (again.task_id == ReAskPair.task_id)
            & (again.user_id == ReAskPair.user_id)
            & again.is_repeat
            & again.display_order.is_not(None),
        )
        .outerjoin(
            after,
            (after.assignment_id == again.id)
            & after.is_current
            & (after.guidelines_version >= re_ask.needed),
        )
        .where(ReAskPair.re_ask_id == re_ask.id)
        .order_by(func.lower(User.name), ReAskPair.task_id)
    )
    return [Line(row[0], row[1], row[2][:200], *row[3:]) for row in rows]


def silent_repeats(session: Session, *, project: Project) -> list[Look]:
    """Second looks under the very guidelines of the first, outside of any re-ask: the newest."""
    before, after = aliased(Annotation), aliased(Annotation)
    first = aliased(Assignment)
    planned = select(ReAskPair.task_id).where(
        ReAskPair.task_id == after.task_id, ReAskPair.user_id == after.user_id
    )
    rows = session.execute(
        select(after.task_id, before.ranks, after.ranks)
        .join(Task, Task.id == after.task_id)
        .join(
            first,
            (first.task_id == after.task_id) & (first.user_id == after.user_id) & ~first.is_repeat,
        )
        .join(before, (before.assignment_id == first.id) & before.is_current)
        .where(
            after.project_id == project.id,
            after.is_repeat,
            after.is_current,
            Task.kind == TaskKind.ORDINARY,
            before.guidelines_version == after.guidelines_version,
            ~planned.exists(),
        )
        .order_by(after.submitted_at.desc())
        .limit(MOST_BASE)
    )
    return [Look(task_id, was, now) for task_id, was, now in rows]


def names_of(session: Session, *, user_ids: Sequence[UUID | None]) -> dict[UUID, str]:
    ids = {each for each in user_ids if each}
    rows = session.execute(select(User.id, User.name).where(User.id.in_(ids)))
    return {row.id: row.name for row in rows} if ids else {}
