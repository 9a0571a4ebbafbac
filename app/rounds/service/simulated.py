"""The simulated annotators of a demo project are asked to judge; a job lets them."""

from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.service import audit
from app.errors import Conflict
from app.jobs import JobName, defer
from app.projects.models import Project
from app.rounds import queries


def let_simulated_judge(session: Session, *, project: Project, by: User) -> None:
    """Queue their work, once however often it is asked for; `Conflict` where there are none."""
    if not queries.has_simulated(session, project=project):
        raise Conflict(
            "There are no simulated annotators in this project: only the demo project has them."
        )
    defer(
        session,
        JobName.SIMULATE,
        queueing_lock=f"simulate {project.id}",
        project_id=str(project.id),
    )
    audit(
        session,
        user=by,
        action="round.simulate",
        target=f"project {project.id}",
        project_id=project.id,
    )
