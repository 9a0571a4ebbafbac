"""What an admin decides about somebody's qualification, by name."""

from datetime import datetime
from typing import Literal

from sqlalchemy.orm import Session

from app.accounts.models import User
from app.projects.models import Project
from app.tasks import service as tasks

Decision = Literal["let_in", "allow", "ask_again"]


def decide(
    session: Session, *, project: Project, user: User, decision: Decision, by: User, now: datetime
) -> None:
    """Let her in without passing, allow another attempt, or ask her to qualify (again)."""
    match decision:
        case "let_in":
            tasks.let_in(session, project=project, user=user, by=by, now=now)
        case "allow":
            tasks.allow_attempt(session, project=project, user=user, by=by)
        case "ask_again":
            tasks.ask_again(session, project=project, user=user, by=by)
