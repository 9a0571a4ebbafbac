"""Who may see and do what with generations and endpoints: as with runs."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends

from app.accounts.auth import CurrentUser
from app.accounts.models import Role
from app.db import SessionDep
from app.errors import found
from app.generation import queries
from app.generation.models import Endpoint, Generation
from app.projects.auth import AdminProject, ViewerProject
from app.runs.auth import VIEWERS, may


def viewed_generation(session: SessionDep, user: CurrentUser, generation_id: UUID) -> Generation:
    generation = found(session.get(Generation, generation_id))
    may(session, user, generation.project_id, *VIEWERS)
    return generation


def managed_generation(session: SessionDep, user: CurrentUser, generation_id: UUID) -> Generation:
    generation = found(session.get(Generation, generation_id))
    may(session, user, generation.project_id, Role.ADMIN)
    return generation


def managed_endpoint(session: SessionDep, user: CurrentUser, endpoint_id: UUID) -> Endpoint:
    endpoint = found(session.get(Endpoint, endpoint_id))
    may(session, user, endpoint.project_id, Role.ADMIN)
    return endpoint


ViewedGeneration = Annotated[Generation, Depends(viewed_generation)]
ManagedGeneration = Annotated[Generation, Depends(managed_generation)]
ManagedEndpoint = Annotated[Endpoint, Depends(managed_endpoint)]


def page_generation(session: SessionDep, project: ViewerProject, generation_id: UUID) -> Generation:
    return found(queries.generation_in(session, project_id=project.id, generation_id=generation_id))


def admin_page_generation(
    session: SessionDep, project: AdminProject, generation_id: UUID
) -> Generation:
    return found(queries.generation_in(session, project_id=project.id, generation_id=generation_id))


def admin_page_endpoint(session: SessionDep, project: AdminProject, endpoint_id: UUID) -> Endpoint:
    return found(queries.endpoint_in(session, project_id=project.id, called=str(endpoint_id)))


PageGeneration = Annotated[Generation, Depends(page_generation)]
AdminPageGeneration = Annotated[Generation, Depends(admin_page_generation)]
AdminPageEndpoint = Annotated[Endpoint, Depends(admin_page_endpoint)]
