"""Who is in which snapshot: known since it ended, or read from its manifest once."""

from sqlalchemy.orm import Session

from app.accounts.models import User
from app.privacy import queries
from app.privacy.queries import Traced
from app.projects.models import Project
from app.runs.service import look_through


def trace(session: Session, *, user: User, project: Project | None = None) -> Traced:
    """Everything that her judgements went into, everywhere or in one project."""
    where = queries.projects_of(session, user=user) if project is None else [project]
    look_through(session, projects=where)
    return queries.traces(session, user=user, project=project)
