"""Who may see rounds and who moves them: viewers of the project see, its admins act.

A stranger to the project gets 404.
"""

from typing import Annotated
from uuid import UUID

from fastapi import Depends
from sqlalchemy.orm import Session

from app.accounts.auth import CurrentUser
from app.accounts.models import Role, User
from app.db import SessionDep
from app.errors import found
from app.projects.auth import AdminProject, ViewerProject, require
from app.projects.queries import project_for
from app.rounds import queries
from app.rounds.models import Round


def _round(session: Session, user: User, round_id: UUID, *allowed: Role) -> Round:
    round_ = found(session.get(Round, round_id))
    _, role = found(project_for(session, user=user, project_id=round_.project_id))
    require(role, *allowed)
    return round_


def viewed_round(session: SessionDep, user: CurrentUser, round_id: UUID) -> Round:
    return _round(session, user, round_id, Role.VIEWER, Role.REVIEWER, Role.ADMIN)


def managed_round(session: SessionDep, user: CurrentUser, round_id: UUID) -> Round:
    return _round(session, user, round_id, Role.ADMIN)


ViewedRound = Annotated[Round, Depends(viewed_round)]
ManagedRound = Annotated[Round, Depends(managed_round)]


# Pages name the project in their address, too: what lies in another project is not there.


def page_round(session: SessionDep, project: ViewerProject, round_id: UUID) -> Round:
    return found(queries.round_in(session, project_id=project.id, round_id=round_id))


def admin_page_round(session: SessionDep, project: AdminProject, round_id: UUID) -> Round:
    return found(queries.round_in(session, project_id=project.id, round_id=round_id))


PageRound = Annotated[Round, Depends(page_round)]
AdminPageRound = Annotated[Round, Depends(admin_page_round)]
