"""Who may erase whom: admins of the installation everything, admins of a project what lies in it.

A stranger to the project gets 404, and so does whoever asks about somebody who is no part of it.
"""

from typing import Annotated
from uuid import UUID

from fastapi import Depends
from sqlalchemy.orm import Session

from app.accounts.auth import AdminUser, CurrentUser
from app.accounts.models import Role, User
from app.datasets import queries as dataset_queries
from app.datasets.models import Snapshot
from app.db import SessionDep
from app.errors import Forbidden, found
from app.privacy import queries
from app.privacy.schemas import Scope
from app.projects.auth import AdminProject, require
from app.projects.models import Project
from app.projects.queries import project_for


def anybody(session: SessionDep, _admin: AdminUser, user_id: UUID) -> User:
    return found(session.get(User, user_id))


def person_of_project(session: SessionDep, project: AdminProject, user_id: UUID) -> User:
    return _in(session, project, user_id)


def _in(session: Session, project: Project, user_id: UUID) -> User:
    person = found(session.get(User, user_id))
    hers = queries.projects_of(session, user=person)
    return found(person if project.id in {each.id for each in hers} else None)


Anybody = Annotated[User, Depends(anybody)]
PersonOfProject = Annotated[User, Depends(person_of_project)]


# The API names the project where it is about one; without it the whole installation is meant.


def _scoped(
    session: Session, user: User, user_id: UUID, project_id: UUID | None
) -> tuple[User, Project | None]:
    if project_id is None:
        if not user.is_admin:
            raise Forbidden(
                "Only an admin of this installation may do this everywhere. As an admin of a "
                "project, name it as `project_id`."
            )
        return found(session.get(User, user_id)), None
    project, role = found(project_for(session, user=user, project_id=project_id))
    require(role, Role.ADMIN)
    return _in(session, project, user_id), project


def person_asked_about(
    session: SessionDep, user: CurrentUser, user_id: UUID, project_id: UUID | None = None
) -> tuple[User, Project | None]:
    return _scoped(session, user, user_id, project_id)


def person_to_erase(session: SessionDep, user: CurrentUser, user_id: UUID, body: Scope) -> User:
    return _scoped(session, user, user_id, body.project_id)[0]


PersonAskedAbout = Annotated[tuple[User, Project | None], Depends(person_asked_about)]
PersonToErase = Annotated[User, Depends(person_to_erase)]


def managed_snapshot(session: SessionDep, user: CurrentUser, snapshot_id: UUID) -> Snapshot:
    """A snapshot for an admin of its project."""
    snapshot, project = found(dataset_queries.snapshot_for(session, snapshot_id=snapshot_id))
    _, role = found(project_for(session, user=user, project_id=project.id))
    require(role, Role.ADMIN)
    return snapshot


ManagedSnapshot = Annotated[Snapshot, Depends(managed_snapshot)]
