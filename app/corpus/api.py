"""Imports, as JSON."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response, StreamingResponse

from app import artifacts
from app.accounts.auth import CurrentUser
from app.corpus import queries, service
from app.corpus.auth import ChangeableImport, UploadedImport, VisibleImport
from app.corpus.formats import FORMATS
from app.corpus.models import Import
from app.corpus.rules import file_stem
from app.corpus.schemas import ImportOut, ImportReport, LineError, UndoingOut
from app.db import SessionDep
from app.projects.auth import AdminProject, ViewerProject
from app.web.tables import csv_reply
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
    dry_run: bool = False,  # noqa: FBT001, FBT002
) -> ImportOut:
    """Queue a file for import: the raw body, or the part `file` of a multipart form.

    All or nothing unless `skip_bad_lines`: then the good lines are imported. With `dry_run` nothing
    is: the figures say what an import would do, and the file waits for its commit for 7 days.
    """
    row = service.request_import(
        session,
        project=project,
        by=user,
        upload=upload.path,
        filename=filename or upload.filename,
        format=format,
        skip_bad_lines=skip_bad_lines,
        dry_run=dry_run,
    )
    return import_out(row)


@router.get("/projects/{project_id}/imports")
def list_imports(session: SessionDep, project: ViewerProject) -> list[ImportOut]:
    """The latest imports of a project, newest first."""
    return [import_out(row) for row in queries.imports_of(session, project=project)]


@router.get("/imports/{import_id}")
def get_import(session: SessionDep, row: VisibleImport) -> ImportReport:
    ahead = queries.waits_for(session, row=row)
    report = {name: value for name, value in row.report.items() if name != "refused"}
    if "samples" in report:  # a viewer may see them, but no key
        report["samples"] = [sample | {"gold": None} for sample in report["samples"]]
    waits_for = ahead.filename if ahead else None
    return ImportReport(**_figures(row), report=report, waits_for=waits_for)


@router.post("/imports/{import_id}/commit", status_code=202)
def commit_checked_import(
    session: SessionDep,
    row: ChangeableImport,
    user: CurrentUser,
    skip_bad_lines: bool = False,  # noqa: FBT001, FBT002
) -> ImportOut:
    """Bring in a file that was checked with `dry_run`; the check becomes this import."""
    service.commit_check(session, row=row, by=user, skip_bad_lines=skip_bad_lines)
    return import_out(row)


@router.post("/imports/{import_id}/check", status_code=202)
def check_import_again(
    session: SessionDep,
    row: ChangeableImport,
    user: CurrentUser,
    format: Annotated[str, Query(max_length=40)] = "auto",  # noqa: A002
) -> ImportOut:
    """Check the same file anew, as another format."""
    service.check_again(session, row=row, by=user, format=format)
    return import_out(row)


@router.delete("/imports/{import_id}", status_code=204)
def discard_checked_import(session: SessionDep, row: ChangeableImport, user: CurrentUser) -> None:
    """Throw a checked file away."""
    service.discard_check(session, row=row, by=user)


@router.get("/imports/{import_id}/undo")
def import_undo_reach(session: SessionDep, row: ChangeableImport) -> UndoingOut:
    """What undoing this import would remove, and what would stay."""
    return UndoingOut(**asdict(queries.undoing_of(session, row=row)))


@router.post("/imports/{import_id}/undo", status_code=202)
def undo_whole_import(session: SessionDep, row: ChangeableImport, user: CurrentUser) -> ImportOut:
    """Remove what the import brought and nobody has used since; asked twice, it happens once.

    `undone_at` says that it has ended, `undone` what has gone.
    """
    service.request_undo(session, row=row, by=user)
    return import_out(row)


@router.get(
    "/imports/{import_id}/refused.csv",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}}},
)
def import_refused_csv(row: ChangeableImport) -> Response:
    """Every refused line: where, why, and how it begins."""
    header = ("line", "message", "text")
    return csv_reply(f"{file_stem(row.filename)}-refused", header, queries.refused_lines(row))


@router.get(
    "/imports/{import_id}/lines-to-mend",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {}, "text/csv": {}}}},
)
def import_lines_to_mend(row: ChangeableImport) -> StreamingResponse:
    """The refused lines as they are in the file: mended, they can be imported alone."""
    path, written = queries.lines_to_mend(row)
    name = f"{file_stem(row.filename)}-to-mend.{written}"
    return StreamingResponse(
        artifacts.chunks(path),
        media_type="text/csv" if written == "csv" else "application/x-ndjson",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def import_out(row: Import) -> ImportOut:
    return ImportOut(**_figures(row))


def _figures(row: Import) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "project_id": str(row.project_id),
        "filename": row.filename,
        "format": row.format,
        "state": row.state,
        "dry_run": row.dry_run,
        "bytes": row.bytes,
        "bytes_read": row.bytes_read,
        "rows_read": row.rows_read,
        "rows_imported": row.rows_imported,
        "rows_skipped": row.rows_skipped,
        "rows_rejected": row.rows_rejected,
        "errors": [LineError(**error) for error in row.errors],
        "error": row.error,
        "created_at": row.created_at,
        "finished_at": row.finished_at,
        "undo_requested_at": row.undo_requested_at,
        "undone_at": row.undone_at,
        "undone": row.undone,
    }
