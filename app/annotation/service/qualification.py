"""Answers to questions of the qualification: right or not, and what follows."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.annotation.models import Annotation
from app.db import among
from app.projects.models import Project
from app.tasks import queries as task_queries
from app.tasks import service as tasks
from app.tasks.models import Assignment


def score_answer(
    session: Session, *, assignment: Assignment, ranks: Sequence[int], now: datetime
) -> None:
    """Count an answer in its attempt; one to what is no question any more changes nothing."""
    key = task_queries.question_key(session, task_id=assignment.task_id)
    if key is not None:
        tasks.score(session, assignment=assignment, is_right=key.is_satisfied_by(ranks), now=now)


def rescore_attempts(
    session: Session, *, project: Project, attempt_ids: Collection[UUID], now: datetime
) -> None:
    """Score these attempts by the keys that are in force."""
    rows = session.execute(
        select(Assignment.attempt_id, Annotation.task_id, Annotation.ranks)
        .join(Annotation, Annotation.assignment_id == Assignment.id)
        .where(among(Assignment.attempt_id, attempt_ids), Annotation.is_current.is_(True))
    ).all()
    keys = task_queries.gold_keys(
        session, task_ids={row.task_id for row in rows}, of=task_queries.IS_QUALIFICATION
    )
    for attempt_id in sorted(attempt_ids):
        held = [row for row in rows if row.attempt_id == attempt_id and row.task_id in keys]
        tasks.rescore(
            session,
            attempt_id=attempt_id,
            answered=len(held),
            correct=sum(keys[row.task_id].is_satisfied_by(row.ranks) for row in held),
            needs=project.qualification_pass,
            now=now,
        )
