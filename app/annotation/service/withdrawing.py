"""Gold in doubt: a key is withdrawn or upheld, and every score follows it, both ways.

Hidden gold decides a person's standing; a question of the qualification decides an attempt.
Pauses are an admin's to lift: what is known of somebody else may have led to them as well.
"""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.service import audit
from app.annotation.models import Annotation
from app.annotation.service.gold import lock_members, restand, score_judged
from app.annotation.service.qualification import rescore_attempts
from app.errors import Conflict, Invalid
from app.projects.models import Project
from app.tasks import queries as task_queries
from app.tasks import service as tasks
from app.tasks.models import Assignment, Task, TaskKind

LONGEST_REASON = 2_000


def withdraw_gold(
    session: Session, *, task: Task, project: Project, reason: str, by: User, now: datetime
) -> None:
    """Take a key out of force: nobody is scored by it. Twice is once."""
    said = _reason(reason)
    lock_members(session, project=project)
    if tasks.suspend_key(session, task=task, reason=said, now=now):
        _follow(session, task=task, project=project, now=now)
        _note(session, "gold.suspend", task=task, by=by, reason=said)
    else:
        _require_key(task)


def restore_gold(
    session: Session, *, task: Task, project: Project, by: User, now: datetime
) -> None:
    """Put a withdrawn key in force again, whatever people answered so far. Twice is once."""
    lock_members(session, project=project)
    if tasks.uphold_key(session, task=task, now=now):
        gold = task_queries.gold_in_force(session, task_id=task.id)
        if gold is not None:  # somebody may have answered meanwhile
            score_judged(session, task=task, gold=gold)
        _follow(session, task=task, project=project, now=now)
        _note(session, "gold.restore", task=task, by=by)
    else:
        _require_key(task)


def _reason(reason: str) -> str:
    said = reason.strip()
    if not said:
        raise Invalid("Say in a sentence what is wrong with the key: others will ask.")
    if len(said) > LONGEST_REASON:
        raise Invalid(f"The reason is longer than {LONGEST_REASON:,} characters.")
    return said


def _require_key(task: Task) -> None:
    if task.kind is TaskKind.ORDINARY:
        raise Conflict("This is an ordinary task by now: it has no key any more.")


def _note(session: Session, action: str, *, task: Task, by: User, **details: str) -> None:
    target, project_id = str(task.id), task.project_id
    audit(session, user=by, action=action, target=target, project_id=project_id, **details)


def _follow(session: Session, *, task: Task, project: Project, now: datetime) -> None:
    """Correct what depends on the key: standings, or attempts."""
    answers = session.execute(
        select(Annotation.user_id, Assignment.attempt_id)
        .join(Assignment, Assignment.id == Annotation.assignment_id)
        .where(Annotation.task_id == task.id, Annotation.is_current.is_(True))
    ).all()
    if task.kind is TaskKind.QUALIFICATION:
        attempts = {row.attempt_id for row in answers if row.attempt_id is not None}
        rescore_attempts(session, project=project, attempt_ids=attempts, now=now)
    else:
        people = {row.user_id for row in answers if row.user_id is not None}
        restand(session, project=project, user_ids=people)
