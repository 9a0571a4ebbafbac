"""The live numbers behind what a change of settings will do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from app.accounts.models import Role, User
from app.annotation import rules
from app.annotation.models import Annotation
from app.db import JsonObject
from app.projects.models import Membership, Project
from app.projects.queries import takes_part
from app.tasks.models import Assignment, Task
from app.tasks.queries import IS_GOLD, IS_IN_FORCE, IS_OPEN, IS_ORDINARY

SAMPLE = 1_000  # complete tasks by which the unsure ones are told


def readers(session: Session, *, project: Project, is_empty: bool) -> int:
    """People who may judge here, so must read new guidelines; not those of imported data.

    Empty guidelines are news only to those who have read earlier ones.
    """
    return session.scalars(
        select(func.count())
        .select_from(Membership)
        .join(User)
        .where(
            *takes_part(project),
            Membership.role == Role.ANNOTATOR,
            *([Membership.guidelines_read > 0] if is_empty else ()),
        )
    ).one()


def gold_tasks(session: Session, *, project: Project) -> int:
    """Gold that can come to somebody: what the guidelines show does not."""
    return session.scalars(
        select(func.count()).where(
            Task.project_id == project.id, IS_GOLD, Task.closed_at.is_(None), IS_IN_FORCE
        )
    ).one()


def in_doubt(session: Session, *, project: Project) -> int:
    """People who get gold by a share of their own, not by the project's rate."""
    return session.scalars(
        select(func.count())
        .select_from(Membership)
        .join(User)
        .where(*_gets_work(project), Membership.gold_share.is_not(None))
    ).one()


def _gets_work(project: Project) -> tuple[ColumnElement[bool], ...]:
    return (*takes_part(project), Membership.role != Role.VIEWER)


def own_limits(session: Session, *, project: Project) -> dict[str, int]:
    """People who have a limit of their own, whatever the project's is, by setting."""
    daily, total = session.execute(
        select(func.count(Membership.daily_limit), func.count(Membership.total_limit))
        .select_from(Membership)
        .join(User)
        .where(*_gets_work(project))
    ).one()
    return {"daily_limit": daily, "total_limit": total}


def judgements_under(session: Session, *, project: Project, version: int) -> int:
    """People's current judgements that name this version of the guidelines."""
    return session.scalars(
        select(func.count()).where(
            Annotation.project_id == project.id,
            Annotation.guidelines_version == version,
            Annotation.is_current.is_(True),
            Annotation.user_id.is_not(None),
        )
    ).one()


def open_drafts(session: Session, *, project: Project) -> Sequence[JsonObject]:
    """What is unfinished on screens: a few rows."""
    drafts = session.scalars(
        select(Assignment.draft).where(
            Assignment.project_id == project.id, IS_OPEN, Assignment.draft.is_not(None)
        )
    )
    return [draft for draft in drafts if draft]


@dataclass(frozen=True, slots=True)
class Unsure:
    """Tasks that an overlap finds unsure, of those `seen`.

    Some are complete now, others wait for further judgements: one more is all that this overlap
    asks for at once, so some want `spare` fewer than now.
    """

    seen: int
    complete: int
    waiting: int
    want_fewer: int
    spare: int


def unsure(
    session: Session, *, project: Project, overlap: tuple[int, int, float | None], among: int
) -> Unsure:
    """What this overlap finds unsure.

    Of the `among` tasks that have as many judgements as it asks for at least and could get more,
    all are looked at, or about `SAMPLE` by their random keys.
    """
    least, most, confidence = overlap
    votes = session.execute(
        select(
            Annotation.task_id,
            Annotation.ranks,
            Membership.gold_seen,
            Membership.gold_passed,
            (Task.wanted - Task.counted).label("further"),
        )
        .join(Task, Task.id == Annotation.task_id)
        .outerjoin(
            Membership,
            (Membership.project_id == Annotation.project_id)
            & (Membership.user_id == Annotation.user_id),
        )
        .where(
            Task.project_id == project.id,
            IS_ORDINARY,
            Task.leased == 0,
            Task.closed_at.is_(None),
            Task.counted >= func.greatest(least, Task.at_least),
            Task.counted < most,
            Task.random_key <= SAMPLE / max(among, 1),
            Annotation.is_current.is_(True),
            Annotation.counted.is_(True),
        )
    )
    judged: dict[Any, list[tuple[int, float]]] = {}
    answers: dict[Any, int] = {}
    wants: dict[Any, int] = {}
    for task_id, ranks, seen, passed, further in votes:
        accuracy = rules.expected_accuracy(gold_seen=seen or 0, gold_passed=passed or 0)
        judged.setdefault(task_id, []).append((rules.leading_answer(ranks), accuracy))
        answers[task_id] = len(ranks) + project.allow_ties
        wants[task_id] = further or 0
    goal = confidence or rules.DEFAULT_CONFIDENCE
    doubtful = [
        task_id
        for task_id, given in judged.items()
        if rules.leading_posterior(given, answers=answers[task_id]) < goal
    ]
    further_ones = [wants[task_id] for task_id in doubtful]
    return Unsure(
        seen=len(judged),
        complete=sum(further <= 0 for further in further_ones),
        waiting=sum(further > 0 for further in further_ones),
        want_fewer=sum(further > 1 for further in further_ones),
        spare=sum(further - 1 for further in further_ones if further > 1),
    )
