"""A judgement that does not fit because what is asked has changed while its task was out."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import Invalid
from app.projects.models import Guidelines, Project
from app.projects.rules import SCALE
from app.tasks.models import Assignment


def explained(
    session: Session, error: Invalid, *, assignment: Assignment, project: Project
) -> Invalid:
    """The same error; where the scale is another one than when she got the task, that is said."""
    scale = session.scalar(
        select(Guidelines.scale)
        .where(Guidelines.project_id == project.id, Guidelines.created_at <= assignment.created_at)
        .order_by(Guidelines.version.desc())
        .limit(1)
    )
    if not scale or all(scale.get(key) == getattr(project, key) for key in SCALE):
        return error
    news = (
        "What is asked here has changed since you got this task (now version "
        f"{project.guidelines_version} of the guidelines). {error.detail} "
        "Everything else you put in is kept: open the task again to see what is asked now."
    )
    changed = {"field": "guidelines_version", "message": f"now {project.guidelines_version}"}
    return Invalid(news, errors=[*error.errors, changed])
