"""Answers to questions of the qualification: right or not, and what follows."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

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
