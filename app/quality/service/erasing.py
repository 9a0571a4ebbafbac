"""What a reviewer wrote beside her decisions, and figures that rest on erased judgements."""

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.jobs import JobName, defer
from app.projects.models import Project
from app.quality.models import Adjudication, Part, QualitySummary, SendBack
from app.quality.service.summary import lock_of
from app.tasks.models import Task

GONE = "(This text has been erased.)"


def forget_reasons(session: Session, *, user: User, project: Project) -> None:
    """Her decisions are the project's and stay; why, in her words, goes."""
    ours = select(Task.id).where(Task.project_id == project.id)
    for model in (Adjudication, SendBack):
        session.execute(
            update(model)
            .where(model.user_id == user.id, model.task_id.in_(ours), model.reason != "")
            .values(reason=GONE),
            execution_options={"synchronize_session": False},
        )


def forget_figures(session: Session, *, project: Project) -> None:
    """No kept figure rests on what is gone; the overview is computed anew at once."""
    session.execute(delete(QualitySummary).where(QualitySummary.project_id == project.id))
    defer(
        session,
        JobName.STATISTICS,
        queueing_lock=lock_of(project, Part.OVERVIEW),
        project_id=str(project.id),
        part=Part.OVERVIEW.value,
    )
