"""Who may see an import."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from app.accounts.auth import CurrentUser, require_user, visitor
from app.accounts.models import Role
from app.corpus import queries
from app.corpus.models import Import, Prompt
from app.db import SessionDep, SetTime, transaction
from app.errors import found
from app.projects.auth import AdminProject, ViewerProject, require
from app.projects.queries import project_for
from app.web.uploads import Upload, staged_upload


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


def _require_admin(request: Request, project_id: UUID, set_time: datetime | None) -> None:
    with transaction() as session:
        user = require_user(visitor(request, session, set_time))
        _, role = found(project_for(session, user=user, project_id=project_id))
        require(role, Role.ADMIN)


async def may_import(request: Request, project_id: UUID, set_time: SetTime) -> None:
    """Nothing of a file is taken in for anybody else.

    In a session of its own that ends before the body comes: a slow one must hold no connection.
    """
    await run_in_threadpool(_require_admin, request, project_id, set_time)


async def uploaded_import(
    request: Request, _may: Annotated[None, Depends(may_import)]
) -> AsyncIterator[Upload]:
    async for upload in staged_upload(request):
        yield upload


# The file that an admin sends. Declare it before whatever has a session.
UploadedImport = Annotated[Upload, Depends(uploaded_import)]


def visible_prompt(session: SessionDep, project: ViewerProject, prompt_id: UUID) -> Prompt:
    return found(queries.prompt_by_id(session, project=project, prompt_id=prompt_id))


VisiblePrompt = Annotated[Prompt, Depends(visible_prompt)]
