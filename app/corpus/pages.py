"""Pages of a project's data: imports with their reports, and what they brought."""

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.accounts.auth import CurrentUser
from app.config import settings
from app.corpus import queries, service
from app.corpus.auth import AdminImport, ProjectImport, UploadedImport, VisiblePrompt
from app.corpus.formats import FORMATS
from app.db import SessionDep
from app.errors import AppError
from app.projects.auth import AdminProject, ViewerProject
from app.projects.models import Project
from app.projects.queries import progress_of, stranded_tasks
from app.web import redirect, render

router = APIRouter(include_in_schema=False)

PROMPTS_PER_PAGE = 50


def data_page(
    request: Request,
    session: SessionDep,
    project: Project,
    *,
    search: str = "",
    after: str = "",
    problem: AppError | None = None,
) -> HTMLResponse:
    last = bytes.fromhex(after) if after else None
    prompts = queries.prompts_of(
        session, project=project, search=search, after=last, limit=PROMPTS_PER_PAGE + 1
    )
    return render(
        request,
        "corpus/data.html",
        status=problem.status if problem else 200,
        project=project,
        section="data",
        problem=problem.detail if problem else None,
        imports=queries.imports_of(session, project=project),
        prompts=prompts[:PROMPTS_PER_PAGE],
        has_more=len(prompts) > PROMPTS_PER_PAGE,
        found=queries.count_prompts(session, project=project, search=search),
        progress=progress_of(session, projects=[project])[project.id],
        stranded=stranded_tasks(session, project=project),
        search=search,
        after=after,
        formats=list(FORMATS),
        max_upload_mb=settings.max_upload_mb,
    )


@router.get("/projects/{project_id}/data", name="project_data")
def project_data(
    request: Request,
    session: SessionDep,
    project: ViewerProject,
    search: Annotated[str, Query(max_length=200)] = "",
    after: Annotated[str, Query(pattern=r"^([0-9a-f]{64})?$")] = "",
) -> HTMLResponse:
    return data_page(request, session, project, search=_searchable(search), after=after)


def _searchable(text: str) -> str:
    return text.replace("\0", "").strip()


@router.post("/projects/{project_id}/imports", name="import_file", response_model=None)
def import_file(
    request: Request,
    upload: UploadedImport,
    session: SessionDep,
    project: AdminProject,
    user: CurrentUser,
    format: Annotated[str, Form(max_length=40)] = "auto",  # noqa: A002
    bad_lines: Annotated[str, Form(max_length=10)] = "stop",
) -> Response:
    """Stage the chosen file and queue its import; the report page follows it."""
    try:
        row = service.request_import(
            session,
            project=project,
            by=user,
            upload=upload.path,
            filename=upload.filename,
            format=format,
            skip_bad_lines=bad_lines == "skip",
        )
    except AppError as error:
        return data_page(request, session, project, problem=error)
    return redirect(request, "import_report", project_id=project.id, import_id=row.id)


@router.get("/projects/{project_id}/imports/{import_id}", name="import_report")
def import_report(request: Request, project: ViewerProject, row: ProjectImport) -> HTMLResponse:
    return render(
        request, "corpus/import.html", project=project, section="data", row=row, error=row.error
    )


@router.post("/projects/{project_id}/imports/{import_id}/cancel", name="cancel_import")
def cancel_import(
    request: Request, session: SessionDep, user: CurrentUser, row: AdminImport
) -> RedirectResponse:
    service.cancel_import(session, row=row, by=user)
    return redirect(request, "import_report", project_id=row.project_id, import_id=row.id)


@router.get("/projects/{project_id}/prompts/{prompt_id}", name="prompt")
def prompt(
    request: Request, session: SessionDep, project: ViewerProject, row: VisiblePrompt
) -> HTMLResponse:
    """A prompt with all its responses, where they came from, and how they were judged."""
    responses = queries.responses_of(session, prompt=row)
    judgements = queries.judgements_of(session, responses=responses)
    return render(
        request,
        "corpus/prompt.html",
        project=project,
        section="data",
        prompt=row,
        responses=responses,
        judgements=[(judgement, judgement.order(responses)) for judgement in judgements],
    )
