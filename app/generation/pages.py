"""New responses by a checkpoint: the form, and the page on which they are watched."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Request
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.accounts.auth import CurrentUser
from app.accounts.models import Role
from app.db import SessionDep
from app.errors import AppError, found
from app.generation import queries, service
from app.generation.auth import AdminPageGeneration, PageGeneration
from app.generation.schemas import GenerationForm
from app.projects.auth import AdminProject, ProjectRole, ViewerProject
from app.projects.models import Project
from app.runs import queries as runs
from app.runs.models import Checkpoint
from app.web import redirect, render

router = APIRouter(include_in_schema=False)

FEW = "50"  # prompts that the form proposes: enough to judge in a sitting


@router.get("/projects/{project_id}/generations", name="generations")
def generations(
    request: Request,
    session: SessionDep,
    project: ViewerProject,
    role: ProjectRole,
    checkpoint: UUID | None = None,
) -> HTMLResponse:
    """What was asked for, newest first; with `checkpoint`, of that writer."""
    writer = None
    if checkpoint is not None:
        writer = found(runs.checkpoint_in(session, project_id=project.id, checkpoint_id=checkpoint))
    return render(
        request,
        "generation/generations.html",
        project=project,
        section="runs",
        generations=queries.generations_of(session, project=project, checkpoint=writer),
        names={one.id: one.name for one in runs.checkpoints_of(session, project=project)},
        may_manage=role is Role.ADMIN,
    )


@router.get("/projects/{project_id}/generations/new", name="new_generation")
def new_generation(
    request: Request, session: SessionDep, project: AdminProject, checkpoint: str = ""
) -> HTMLResponse:
    chosen = checkpoint or str(runs.promoted_id(session, project=project) or "")
    return _form(request, session, project, GenerationForm(checkpoint_id=chosen, max_prompts=FEW))


@router.post(
    "/projects/{project_id}/generations", name="create_generation_page", response_model=None
)
def create_generation_page(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    form: Annotated[GenerationForm, Form()],
) -> Response:
    try:
        generation = service.open_generation(session, project=project, body=form.body(), by=user)
    except ValidationError as error:
        problems = [
            (
                ".".join(str(part) for part in item["loc"]),
                item["msg"].removeprefix("Value error, "),
            )
            for item in error.errors()
        ]
        return _form(request, session, project, form, problems=problems)
    except AppError as error:
        return _form(request, session, project, form, problems=[("", error.detail)])
    return redirect(request, "generation", project_id=project.id, generation_id=generation.id)


@router.get("/projects/{project_id}/generations/{generation_id}", name="generation")
def generation_page(
    request: Request,
    session: SessionDep,
    project: ViewerProject,
    role: ProjectRole,
    generation: PageGeneration,
) -> HTMLResponse:
    return render(
        request,
        "generation/generation.html",
        project=project,
        section="runs",
        generation=generation,
        checkpoint=session.get_one(Checkpoint, generation.checkpoint_id),
        may_manage=role is Role.ADMIN,
    )


@router.post(
    "/projects/{project_id}/generations/{generation_id}/cancel", name="cancel_generation_page"
)
def cancel_generation_page(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    generation: AdminPageGeneration,
) -> RedirectResponse:
    service.cancel_generation(session, generation=generation, by=user)
    return redirect(request, "generation", project_id=project.id, generation_id=generation.id)


@router.post(
    "/projects/{project_id}/generations/{generation_id}/resume", name="resume_generation_page"
)
def resume_generation_page(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    generation: AdminPageGeneration,
) -> RedirectResponse:
    service.resume_generation(session, generation=generation, by=user)
    return redirect(request, "generation", project_id=project.id, generation_id=generation.id)


def _form(
    request: Request,
    session: Session,
    project: Project,
    form: GenerationForm,
    *,
    problems: list[tuple[str, str]] | None = None,
) -> HTMLResponse:
    return render(
        request,
        "generation/new_generation.html",
        status=422 if problems else 200,
        project=project,
        section="runs",
        form=form,
        writers=runs.writers_of(session, project=project),
        problems=problems or [],
        wrong=dict(problems or []),
    )
