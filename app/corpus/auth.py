"""Who may see an import."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends

from app.accounts.auth import CurrentUser
from app.accounts.models import Role
from app.corpus import queries
from app.corpus.models import Import, Prompt
from app.db import SessionDep
from app.errors import found
from app.projects.auth import AdminProject, ViewerProject, require
from app.projects.queries import project_for


def visible_import(session: SessionDep, user: CurrentUser, import_id: UUID) -> Import:
    """An import of a project whose data the caller may see; for a stranger it does not exist."""
    row, project = found(queries.import_by_id(session, import_id=import_id))
    _, role = found(project_for(session, user=user, project_id=project.id))
    require(role, Role.VIEWER, Role.REVIEWER, Role.ADMIN)
    return row


VisibleImport = Annotated[Import, Depends(visible_import)]


def _import_of(session: SessionDep, project_id: UUID, import_id: UUID) -> Import:
    row, project = found(queries.import_by_id(session, import_id=import_id))
    return found(row if project.id == project_id else None)


def project_import(session: SessionDep, project: ViewerProject, import_id: UUID) -> Import:
    return _import_of(session, project.id, import_id)


ProjectImport = Annotated[Import, Depends(project_import)]


def own_import(session: SessionDep, project: AdminProject, import_id: UUID) -> Import:
    return _import_of(session, project.id, import_id)


# An import that the caller may stop.
AdminImport = Annotated[Import, Depends(own_import)]


def changeable_import(session: SessionDep, user: CurrentUser, import_id: UUID) -> Import:
    """An import that the caller may commit, throw away or undo."""
    row, project = found(queries.import_by_id(session, import_id=import_id))
    _, role = found(project_for(session, user=user, project_id=project.id))
    require(role, Role.ADMIN)
    return row


ChangeableImport = Annotated[Import, Depends(changeable_import)]


def visible_prompt(session: SessionDep, project: ViewerProject, prompt_id: UUID) -> Prompt:
    return found(queries.prompt_by_id(session, project=project, prompt_id=prompt_id))


VisiblePrompt = Annotated[Prompt, Depends(visible_prompt)]
