"""Every task with a key: how people answered it, and what they object to."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.annotation.models import Annotation
from app.annotation.service.submitting import PAUSED_BECAUSE
from app.corpus.models import Prompt
from app.projects.models import Membership, Project, Standing
from app.quality.rules.gold import Score, key_in_words
from app.quality.rules.intervals import Figure, share_figure
from app.quality.rules.review import is_disputed
from app.tasks.models import Appeal, Assignment, GoldKey, Task, TaskKind, TaskResponse
from app.tasks.rules import satisfies

NO_ANSWERS = "Nobody in good standing has answered it yet."


@dataclass(frozen=True, slots=True)
class GoldLine:
    """A task with a key. `good_*`: of people in good standing; of a question, of everybody."""

    task_id: UUID
    is_question: bool
    external_id: str | None
    opening: str
    key: str
    explanation: str
    suspended_at: datetime | None
    suspend_reason: str | None
    upheld_at: datetime | None
    seen: int
    passed: int
    good_seen: int
    good_passed: int
    appeals: int

    @property
    def pass_rate(self) -> Figure:
        return share_figure(self.good_passed, self.good_seen, none=NO_ANSWERS)

    @property
    def is_disputed(self) -> bool:
        """People in good standing answer otherwise, and nobody has looked at it since."""
        failed = self.good_seen - self.good_passed
        is_open = self.suspended_at is None and self.upheld_at is None
        return is_open and is_disputed(judged=self.good_seen, failed=failed)

    @property
    def urgency(self) -> tuple[bool, bool, float, int]:
        """The most doubtful first."""
        calls = bool(self.appeals) or self.is_disputed
        rate = self.pass_rate.value
        return (
            not calls,
            self.suspended_at is None,
            1.0 if rate is None else rate,
            -self.good_seen,
        )


def gold_lines(session: Session, *, project: Project) -> list[GoldLine]:
    """All gold and all questions of the qualification, the most doubtful first."""
    n_responses = select(func.count()).where(TaskResponse.task_id == Task.id).scalar_subquery()
    rows = session.execute(
        select(GoldKey, Task.kind, Task.external_id, Prompt.messages[-1]["content"], n_responses)
        .join(Task, Task.id == GoldKey.task_id)
        .join(Prompt, Prompt.id == Task.prompt_id)
        .where(Task.project_id == project.id)
        .execution_options(populate_existing=True)
    ).all()
    answers = _answers(session, project=project)
    answers.update(_answers_to_questions(session, project=project))
    appeals = dict(
        session.execute(
            select(Appeal.task_id, func.count())
            .where(Appeal.project_id == project.id, Appeal.settled_at.is_(None))
            .group_by(Appeal.task_id)
        ).all()
    )
    lines = [
        GoldLine(
            task_id=key.task_id,
            is_question=kind is TaskKind.QUALIFICATION,
            external_id=external_id,
            opening=str(content or "")[:200],
            key=key_in_words(key.prefers, key.equal, size=size, ties_allowed=key.ties_allowed),
            explanation=key.explanation,
            suspended_at=key.suspended_at,
            suspend_reason=key.suspend_reason,
            upheld_at=key.upheld_at,
            appeals=appeals.get(key.task_id, 0),
            **answers.get(key.task_id, NOBODY),
        )
        for key, kind, external_id, content, size in rows
    ]
    return sorted(lines, key=lambda line: (*line.urgency, str(line.task_id)))


NOBODY = {"seen": 0, "passed": 0, "good_seen": 0, "good_passed": 0}


def _answers(session: Session, *, project: Project) -> dict[UUID, dict[str, int]]:
    """How hidden gold was answered."""
    passed = Annotation.gold_passed.is_(True)
    good = Membership.standing == Standing.GOOD
    rows = session.execute(
        select(
            Annotation.task_id,
            func.count().label("seen"),
            func.count().filter(passed).label("passed"),
            func.count().filter(good).label("good_seen"),
            func.count().filter(good, passed).label("good_passed"),
        )
        .join(
            Membership,
            (Membership.project_id == Annotation.project_id)
            & (Membership.user_id == Annotation.user_id),
        )
        .where(
            Annotation.project_id == project.id,
            Annotation.gold_passed.is_not(None),
            Annotation.is_current.is_(True),
            Annotation.is_repeat.is_(False),
        )
        .group_by(Annotation.task_id)
    )
    return {row.task_id: {name: getattr(row, name) for name in NOBODY} for row in rows}


def _answers_to_questions(session: Session, *, project: Project) -> dict[UUID, dict[str, int]]:
    """How questions of the qualification were answered: their score is that of an attempt."""
    rows = session.execute(
        select(Annotation.task_id, Annotation.ranks, GoldKey)
        .join(Assignment, Assignment.id == Annotation.assignment_id)
        .join(GoldKey, GoldKey.task_id == Annotation.task_id)
        .where(
            Assignment.project_id == project.id,
            Assignment.attempt_id.is_not(None),
            Annotation.is_current.is_(True),
        )
    )
    found: dict[UUID, dict[str, int]] = defaultdict(lambda: dict(NOBODY))
    for task_id, ranks, key in rows:
        is_right = satisfies(
            ranks, prefers=key.prefers, equal=key.equal, ties_allowed=key.ties_allowed
        )
        for name, number in (("seen", 1), ("passed", is_right)):
            found[task_id][name] += number
            found[task_id][f"good_{name}"] += number
    return found


def scores(session: Session, *, project: Project) -> dict[str, tuple[str, Score, bool]]:
    """Everybody's score by id: (name, score, whether the gold rule has paused her)."""
    rows = session.execute(
        select(
            User.id,
            User.name,
            Membership.standing,
            Membership.gold_seen,
            Membership.gold_passed,
            Membership.qualified_at,
            Membership.paused_at,
            Membership.pause_reason,
        )
        .join(User, User.id == Membership.user_id)
        .where(Membership.project_id == project.id)
        .order_by(func.lower(User.name), User.id)
    )
    return {
        str(row.id): (
            row.name,
            Score(row.standing, row.gold_seen, row.gold_passed, row.qualified_at is not None),
            row.paused_at is not None and row.pause_reason == PAUSED_BECAUSE,
        )
        for row in rows
    }


def paused_without_cause(session: Session, *, project: Project) -> Sequence[Any]:
    """(id, name) of people whom the gold rule paused and whose answers no longer say so."""
    return session.execute(
        select(User.id, User.name)
        .join(Membership, Membership.user_id == User.id)
        .where(
            Membership.project_id == project.id,
            Membership.paused_at.is_not(None),
            Membership.pause_reason == PAUSED_BECAUSE,
            Membership.standing != Standing.FAILED,
        )
        .order_by(func.lower(User.name), User.id)
    ).all()
