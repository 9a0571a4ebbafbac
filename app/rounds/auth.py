"""Who may see rounds and who moves them: viewers of the project see, its admins act.

A stranger to the project gets 404.
"""

from typing import Annotated
from uuid import UUID

from fastapi import Depends

from app.accounts.auth import CurrentUser
from app.accounts.models import Role
from app.db import SessionDep
from app.errors import found
from app.projects.auth import AdminProject, ViewerProject
from app.rounds import queries
from app.rounds.models import Round
from app.runs.auth import VIEWERS, may


def viewed_round(session: SessionDep, user: CurrentUser, round_id: UUID) -> Round:
    round_ = found(session.get(Round, round_id))
    may(session, user, round_.project_id, *VIEWERS)
    return round_


def managed_round(session: SessionDep, user: CurrentUser, round_id: UUID) -> Round:
    round_ = found(session.get(Round, round_id))
    may(session, user, round_.project_id, Role.ADMIN)
    return round_


ViewedRound = Annotated[Round, Depends(viewed_round)]
ManagedRound = Annotated[Round, Depends(managed_round)]


# Pages name the project in their address, too: what lies in another project is not there.


def page_round(session: SessionDep, project: ViewerProject, round_id: UUID) -> Round:
    return found(queries.round_in(session, project_id=project.id, round_id=round_id))


def admin_page_round(session: SessionDep, project: AdminProject, round_id: UUID) -> Round:
    return found(queries.round_in(session, project_id=project.id, round_id=round_id))


PageRound = Annotated[Round, Depends(page_round)]
AdminPageRound = Annotated[Round, Depends(admin_page_round)]
