"""When people need not be asked any more."""

from sqlalchemy import func, update
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.service import audit
from app.db import JobState
from app.errors import Conflict
from app.evaluation import queries
from app.evaluation.models import Evaluation
from app.evaluation.rules.standing import verdict_in_words
from app.evaluation.service.promoting import promote_if_earned
from app.projects.models import Project
from app.tasks import service as tasks

ALL_JUDGED = "All that was asked for is judged."


def settle(session: Session, *, evaluation: Evaluation) -> bool:
    """Close it where it is decided or all is judged, and promote by the rule; whether it closed.

    To be called as often as one likes. Tasks that somebody holds stay hers.
    """
    if evaluation.opened_at is None or evaluation.closed_at is not None:
        return False
    found = queries.standing_of(session, evaluation=evaluation)
    is_written = evaluation.state is JobState.SUCCEEDED
    decided = found.decided and bool(evaluation.config["stop"])
    if not decided and not (found.is_complete and is_written):
        return False
    names = queries.names_of(session, evaluation=evaluation)
    reason = verdict_in_words(found, a=names.a, b=names.b) if found.decided else ALL_JUDGED
    if not _close(session, evaluation, reason or ALL_JUDGED):
        return False
    audit(
        session,
        user=None,
        action="evaluation.close",
        target=f"evaluation {evaluation.id}",
        project_id=evaluation.project_id,
        reason=evaluation.close_reason,
    )
    promote_if_earned(session, evaluation=evaluation, found=queries.verdict_from(found))
    return True


def close_evaluation(session: Session, *, evaluation: Evaluation, by: User) -> Evaluation:
    """Ask people no more, though it may be open. What they hold stays theirs and counts."""
    if evaluation.opened_at is None:
        raise Conflict("Nobody is asked yet: cancel the writing instead.")
    if not _close(session, evaluation, f"Stopped by {by.name}."):
        raise Conflict("Nobody is asked any more already.")
    audit(
        session,
        user=by,
        action="evaluation.close",
        target=f"evaluation {evaluation.id}",
        project_id=evaluation.project_id,
        reason=evaluation.close_reason,
    )
    return evaluation


def reopen_evaluation(session: Session, *, evaluation: Evaluation, by: User) -> Evaluation:
    """Ask people again, until all that was asked for is judged: the stop rule has had its say."""
    changed = session.scalar(
        update(Evaluation)
        .where(Evaluation.id == evaluation.id, Evaluation.closed_at.is_not(None))
        .values(
            closed_at=None,
            close_reason=None,
            config=Evaluation.config.concat({"stop": False}),
        )
        .returning(Evaluation.id)
    )
    if changed is None:
        session.refresh(evaluation)
        raise Conflict("People are asked already.")
    session.refresh(evaluation)
    tasks.reopen_tasks(
        session,
        project=session.get_one(Project, evaluation.project_id),
        task_ids=queries.tasks_of(session, evaluation=evaluation),
    )
    audit(
        session,
        user=by,
        action="evaluation.reopen",
        target=f"evaluation {evaluation.id}",
        project_id=evaluation.project_id,
    )
    return evaluation


def _close(session: Session, evaluation: Evaluation, reason: str) -> bool:
    changed = session.scalar(
        update(Evaluation)
        .where(
            Evaluation.id == evaluation.id,
            Evaluation.opened_at.is_not(None),
            Evaluation.closed_at.is_(None),
        )
        .values(closed_at=func.now(), close_reason=reason)
        .returning(Evaluation.id)
    )
    session.refresh(evaluation)
    if changed is None:
        return False
    close_again(session, evaluation=evaluation)
    return True


def close_again(session: Session, *, evaluation: Evaluation) -> int:
    """Close tasks of a closed evaluation that want judges again: somebody gave hers back.

    What another comparison asks about as well stays open for that.
    """
    mine = queries.tasks_of_it_alone(session, evaluation=evaluation)
    return tasks.close_tasks(session, task_ids=mine)
