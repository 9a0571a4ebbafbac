"""Pages of imports: a file is checked, brought in or thrown away; its report; taking it back."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from app import artifacts
from app.accounts.auth import CurrentUser
from app.corpus import queries, service
from app.corpus.auth import AdminImport, ProjectImport, UploadedImport, may_import
from app.corpus.formats import FORMATS
from app.corpus.models import Import
from app.corpus.pages.data import data_page
from app.corpus.rules import file_stem
from app.db import JobState, SessionDep
from app.errors import AppError
from app.projects.auth import AdminProject, ViewerProject
from app.projects.models import Project
from app.web import redirect, render
from app.web.tables import csv_reply
from app.web.uploads import require_part

router = APIRouter(include_in_schema=False)

SHOWN_ERRORS = 100
REFUSED_HEADER = ("line", "what is wrong with it", "beginning of the line")


@router.post(
    "/projects/{project_id}/imports",
    name="import_file",
    response_model=None,
    dependencies=[Depends(may_import), Depends(require_part)],
)
def import_file(
    request: Request,
    upload: UploadedImport,
    session: SessionDep,
    project: AdminProject,
    user: CurrentUser,
    format: Annotated[str, Form(max_length=40)] = "auto",  # noqa: A002
    bad_lines: Annotated[str, Form(max_length=10)] = "check",
) -> Response:
    """Stage the chosen file and queue its check, or its import; its page follows it."""
    try:
        row = service.request_import(
            session,
            project=project,
            by=user,
            upload=upload.path,
            filename=upload.filename,
            format=format,
            skip_bad_lines=bad_lines == "skip",
            dry_run=bad_lines == "check",
        )
    except AppError as error:
        return data_page(request, session, project, problem=error)
    return redirect(request, "import_report", project_id=project.id, import_id=row.id)


@router.get("/projects/{project_id}/imports/{import_id}", name="import_report")
def import_report(
    request: Request, session: SessionDep, project: ViewerProject, row: ProjectImport
) -> HTMLResponse:
    return import_page(request, session, project, row)


def import_page(
    request: Request,
    session: SessionDep,
    project: Project,
    row: Import,
    *,
    problem: AppError | None = None,
) -> HTMLResponse:
    is_check = row.dry_run and row.state in {JobState.SUCCEEDED, JobState.FAILED}
    return render(
        request,
        "corpus/check.html" if is_check else "corpus/import.html",
        status=problem.status if problem else 200,
        project=project,
        section="data",
        row=row,
        report=row.report,
        error=row.error,
        problem=problem.detail if problem else None,
        shown_errors=SHOWN_ERRORS,
        waits_for=queries.waits_for(session, row=row),
        formats=list(FORMATS),
        expires_at=row.finished_at + service.KEPT_FOR if is_check and row.finished_at else None,
    )


@router.post("/projects/{project_id}/imports/{import_id}/cancel", name="cancel_import")
def cancel_import(
    request: Request, session: SessionDep, user: CurrentUser, row: AdminImport
) -> RedirectResponse:
    service.cancel_import(session, row=row, by=user)
    return redirect(request, "import_report", project_id=row.project_id, import_id=row.id)


@router.post(
    "/projects/{project_id}/imports/{import_id}/commit", name="commit_import", response_model=None
)
def commit_import(
    request: Request,
    session: SessionDep,
    project: AdminProject,
    user: CurrentUser,
    row: AdminImport,
    bad_lines: Annotated[str, Form(max_length=10)] = "stop",
) -> Response:
    """Bring in a file that was checked."""
    try:
        service.commit_check(session, row=row, by=user, skip_bad_lines=bad_lines == "skip")
    except AppError as problem:
        return import_page(request, session, project, row, problem=problem)
    return redirect(request, "import_report", project_id=project.id, import_id=row.id)


@router.post(
    "/projects/{project_id}/imports/{import_id}/check", name="check_again", response_model=None
)
def check_again(
    request: Request,
    session: SessionDep,
    project: AdminProject,
    user: CurrentUser,
    row: AdminImport,
    format: Annotated[str, Form(max_length=40)] = "auto",  # noqa: A002
) -> Response:
    """Check the same file as another format."""
    try:
        service.check_again(session, row=row, by=user, format=format)
    except AppError as problem:
        return import_page(request, session, project, row, problem=problem)
    return redirect(request, "import_report", project_id=project.id, import_id=row.id)


@router.post("/projects/{project_id}/imports/{import_id}/discard", name="discard_import")
def discard_import(
    request: Request, session: SessionDep, user: CurrentUser, row: AdminImport
) -> RedirectResponse:
    service.discard_check(session, row=row, by=user)
    return redirect(request, "project_data", project_id=row.project_id)


@router.get("/projects/{project_id}/imports/{import_id}/refused.csv", name="refused_lines_csv")
def refused_lines_csv(row: AdminImport) -> Response:
    """Every refused line: where, why, and how it begins."""
    return csv_reply(
        f"{file_stem(row.filename)}-refused", REFUSED_HEADER, queries.refused_lines(row)
    )


@router.get("/projects/{project_id}/imports/{import_id}/lines-to-mend", name="lines_to_mend")
def lines_to_mend(row: AdminImport) -> StreamingResponse:
    """The refused lines as they are in the file: mended, they can be imported alone."""
    path, written = queries.lines_to_mend(row)
    name = f"{file_stem(row.filename)}-to-mend.{written}"
    return StreamingResponse(
        artifacts.chunks(path),
        media_type="text/csv" if written == "csv" else "application/x-ndjson",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.get("/projects/{project_id}/imports/{import_id}/undo", name="undo_import")
def undo_import(
    request: Request, session: SessionDep, project: AdminProject, row: AdminImport
) -> HTMLResponse:
    """What would go and what would stay; nothing happens yet."""
    return render(
        request,
        "corpus/undo.html",
        project=project,
        section="data",
        row=row,
        reach=queries.undoing_of(session, row=row),
    )


@router.post("/projects/{project_id}/imports/{import_id}/undo", name="undo_import_now")
def undo_import_now(
    request: Request,
    session: SessionDep,
    project: AdminProject,
    user: CurrentUser,
    row: AdminImport,
) -> RedirectResponse:
    service.request_undo(session, row=row, by=user)
    return redirect(request, "import_report", project_id=project.id, import_id=row.id)
