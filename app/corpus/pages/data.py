"""Pages of a project's data: its imports, and the prompts that they brought."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse

from app.config import settings
from app.corpus import queries
from app.corpus.auth import VisiblePrompt
from app.corpus.formats import FORMATS
from app.corpus.models import Import
from app.corpus.rules import LONGEST_LABEL
from app.corpus.service import KEPT_FOR
from app.db import SessionDep
from app.errors import AppError, found
from app.projects.auth import ViewerProject
from app.projects.models import Project
from app.projects.queries import progress_of, stranded_tasks
from app.web import render

router = APIRouter(include_in_schema=False)

PROMPTS_PER_PAGE = 50
IMPORTS_PER_PAGE = 8


def data_page(
    request: Request,
    session: SessionDep,
    project: Project,
    *,
    search: str = "",
    after: str = "",
    brought_by: Import | None = None,
    imports_after: Import | None = None,
    problem: AppError | None = None,
) -> HTMLResponse:
    last = bytes.fromhex(after) if after else None
    import_id = brought_by.id if brought_by else None
    prompts = queries.prompts_of(
        session,
        project=project,
        search=search,
        brought_by=import_id,
        after=last,
        limit=PROMPTS_PER_PAGE + 1,
    )
    imports = queries.imports_of(
        session, project=project, after=imports_after, limit=IMPORTS_PER_PAGE + 1, with_checks=False
    )
    return render(
        request,
        "corpus/data.html",
        status=problem.status if problem else 200,
        project=project,
        section="data",
        problem=problem.detail if problem else None,
        imports=imports[:IMPORTS_PER_PAGE],
        more_imports=len(imports) > IMPORTS_PER_PAGE,
        imports_after=imports_after,
        n_imports=queries.count_imports(session, project=project),
        checks=queries.waiting_checks(session, project=project),
        kept_days=KEPT_FOR.days,
        brought_by=brought_by,
        prompts=prompts[:PROMPTS_PER_PAGE],
        has_more=len(prompts) > PROMPTS_PER_PAGE,
        found=queries.count_prompts(session, project=project, search=search, brought_by=import_id),
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
    search: Annotated[str, Query(max_length=LONGEST_LABEL)] = "",
    after: Annotated[str, Query(pattern=r"^([0-9a-f]{64})?$")] = "",
    brought_by: UUID | None = None,
    imports_after: UUID | None = None,
) -> HTMLResponse:
    return data_page(
        request,
        session,
        project,
        search=_searchable(search),
        after=after,
        brought_by=_import(session, project, brought_by),
        imports_after=_import(session, project, imports_after),
    )


def _import(session: SessionDep, project: Project, import_id: UUID | None) -> Import | None:
    """An import of this project that the address names."""
    if import_id is None:
        return None
    row, of_project = found(queries.import_by_id(session, import_id=import_id))
    return found(row if of_project.id == project.id else None)


def _searchable(text: str) -> str:
    return text.replace("\0", "").strip()


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
