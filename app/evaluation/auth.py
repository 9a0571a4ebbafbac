"""Who may see and do what with evaluations and promotions: as with runs."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends

from app.accounts.auth import CurrentUser
from app.accounts.models import Role
from app.db import SessionDep
from app.errors import found
from app.evaluation import queries
from app.evaluation.models import Evaluation
from app.projects.auth import AdminProject, ViewerProject
from app.runs.auth import VIEWERS, may


def viewed_evaluation(session: SessionDep, user: CurrentUser, evaluation_id: UUID) -> Evaluation:
    evaluation = found(session.get(Evaluation, evaluation_id))
    may(session, user, evaluation.project_id, *VIEWERS)
    return evaluation


def managed_evaluation(session: SessionDep, user: CurrentUser, evaluation_id: UUID) -> Evaluation:
    evaluation = found(session.get(Evaluation, evaluation_id))
    may(session, user, evaluation.project_id, Role.ADMIN)
    return evaluation


ViewedEvaluation = Annotated[Evaluation, Depends(viewed_evaluation)]
ManagedEvaluation = Annotated[Evaluation, Depends(managed_evaluation)]


def page_evaluation(session: SessionDep, project: ViewerProject, evaluation_id: UUID) -> Evaluation:
    return found(queries.evaluation_in(session, project_id=project.id, evaluation_id=evaluation_id))


def admin_page_evaluation(
    session: SessionDep, project: AdminProject, evaluation_id: UUID
) -> Evaluation:
    return found(queries.evaluation_in(session, project_id=project.id, evaluation_id=evaluation_id))


PageEvaluation = Annotated[Evaluation, Depends(page_evaluation)]
AdminPageEvaluation = Annotated[Evaluation, Depends(admin_page_evaluation)]
