"""Imports, as JSON."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.accounts.auth import CurrentUser
from app.corpus import queries, service
from app.corpus.auth import UploadedImport, VisibleImport
from app.corpus.formats import FORMATS
from app.corpus.models import Import
from app.corpus.schemas import ImportOut, LineError
from app.db import SessionDep
from app.projects.auth import AdminProject, ViewerProject
from app.web.uploads import UPLOAD_CONTENT

router = APIRouter(tags=["corpus"])

KNOWN = f"`auto` finds it out from the content; otherwise one of {', '.join(FORMATS)}."


@router.post(
    "/projects/{project_id}/imports",
    status_code=202,
    openapi_extra={"requestBody": {"required": True, "content": UPLOAD_CONTENT}},
)
def create_import(
    upload: UploadedImport,
    session: SessionDep,
    project: AdminProject,
    user: CurrentUser,
    format: Annotated[str, Query(max_length=40, description=KNOWN)] = "auto",  # noqa: A002
    filename: Annotated[str, Query(max_length=500)] = "",
    skip_bad_lines: bool = False,  # noqa: FBT001, FBT002
) -> ImportOut:
    """Queue a file for import: the raw body, or the part `file` of a multipart form.

    All or nothing unless `skip_bad_lines`: then the good lines are imported.
    """
    row = service.request_import(
        session,
        project=project,
        by=user,
        upload=upload.path,
        filename=filename or upload.filename,
        format=format,
        skip_bad_lines=skip_bad_lines,
    )
    return import_out(row)


@router.get("/projects/{project_id}/imports")
def list_imports(session: SessionDep, project: ViewerProject) -> list[ImportOut]:
    """The latest imports of a project, newest first."""
    return [import_out(row) for row in queries.imports_of(session, project=project)]


@router.get("/imports/{import_id}")
def get_import(row: VisibleImport) -> ImportOut:
    return import_out(row)


def import_out(row: Import) -> ImportOut:
    return ImportOut(
        id=str(row.id),
        project_id=str(row.project_id),
        filename=row.filename,
        format=row.format,
        state=row.state,
        bytes=row.bytes,
        bytes_read=row.bytes_read,
        rows_read=row.rows_read,
        rows_imported=row.rows_imported,
        rows_skipped=row.rows_skipped,
        rows_rejected=row.rows_rejected,
        errors=[LineError(**error) for error in row.errors],
        error=row.error,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
