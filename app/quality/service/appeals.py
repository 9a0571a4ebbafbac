"""Answers to appeals that leave a key as it is; those that change it are in `gold`."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.accounts.models import User
from app.errors import Conflict, Invalid, found
from app.projects import queries as project_queries
from app.projects import service as projects
from app.projects.models import Project
from app.quality.schemas.gold import Settlement
from app.tasks import service as tasks
from app.tasks.models import Appeal, Outcome


def settle_appeal(
    session: Session,
    *,
    project: Project,
    appeal: Appeal,
    settlement: Settlement,
    by: User,
    now: datetime,
) -> None:
    """The key or the pause stands, or the pause is lifted.

    `Conflict` if somebody has answered otherwise.
    """
    outcome = Outcome(settlement.outcome)
    is_about_pause = appeal.task_id is None
    if outcome is Outcome.LIFTED and not is_about_pause:
        raise Invalid(
            "This appeal is about a question. Withdraw or correct its key instead: that answers it."
        )
    membership = project_queries.member(session, project=project, user_id=appeal.user_id)
    is_paused = membership is not None and membership.paused_at is not None
    if is_about_pause and outcome is Outcome.STANDS and not appeal.settled_at and not is_paused:
        raise Conflict(
            "She is not paused any more, so no pause can stand. Answer that it is lifted: your "
            "words reach her with that."
        )
    settled = tasks.settle(
        session,
        project=project,
        appeals=[appeal],
        outcome=outcome,
        answer=settlement.answer,
        by=by,
        now=now,
    )
    if settled and outcome is Outcome.LIFTED:  # said again later, it lifts no newer pause
        projects.resume_member(session, project=project, membership=found(membership), by=by)
    if not settled:
        session.refresh(appeal)
        if appeal.outcome is not outcome:
            raise Conflict(
                "Somebody has answered this appeal meanwhile. Look at what they said on the page "
                "of gold questions."
            )
