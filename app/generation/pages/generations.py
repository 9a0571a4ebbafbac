"""The list of generations, the form that asks for one, and the page on which it is watched."""

from typing import Annotated, Any
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
from app.generation.rules import MOST_WRITERS
from app.generation.schemas import GenerationForm, Selection, WriterRow
from app.projects.auth import AdminProject, ProjectRole, ViewerProject
from app.projects.models import Project
from app.runs import queries as runs
from app.runs.models import RunKind
from app.web import redirect, render

router = APIRouter(include_in_schema=False)

FEW = "50"  # prompts that the form proposes: enough to judge in a sitting
ADD, REMOVE = "add", "remove-"


@router.get("/projects/{project_id}/generations", name="generations")
def generations(
    request: Request,
    session: SessionDep,
    project: ViewerProject,
    role: ProjectRole,
    checkpoint: UUID | None = None,
) -> HTMLResponse:
    """What was asked for, newest first; with `checkpoint`, what it wrote."""
    writer = None
    if checkpoint is not None:
        writer = found(runs.checkpoint_in(session, project_id=project.id, checkpoint_id=checkpoint))
    listed = queries.generations_of(session, project=project, checkpoint=writer)
    return render(
        request,
        "generation/generations.html",
        project=project,
        section="runs",
        generations=listed,
        writer=writer,
        writers=queries.writers_of(session, generations=listed),
        may_manage=role is Role.ADMIN,
    )


@router.get("/projects/{project_id}/generations/new", name="new_generation")
def new_generation(
    request: Request,
    session: SessionDep,
    project: AdminProject,
    checkpoint: str = "",
    endpoint: str = "",
) -> HTMLResponse:
    """The form; a link may choose the writer beforehand, else the promoted one stands there."""
    chosen = checkpoint or str(runs.promoted_id(session, project=project) or "")
    first = WriterRow(who=f"endpoint:{endpoint}" if endpoint else f"checkpoint:{chosen}")
    form = GenerationForm(max_prompts=FEW, include_existing="1")
    return _form(request, session, project, form, rows=[first])


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
    """Begin, or with a button of a row, the same form with a row more or less."""
    if form.then:
        return _form(request, session, project, form, rows=_changed(form))
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
        writers=queries.writers_of(session, generations=[generation])[generation.id],
        progress=queries.progress_of(session, generation=generation),
        samples=queries.samples_of(session, generation=generation),
        troubles=queries.problems_of(session, generation=generation),
        arms=queries.arm_facts(session, generation=generation),
        selection=_selection(generation.config),
        takes_turns=not queries.is_by_endpoints(session, generation=generation),
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


def _selection(config: dict[str, Any]) -> Selection:
    return Selection.model_validate(config.get("select") or {})


def _changed(form: GenerationForm) -> list[WriterRow]:
    rows = form.rows()
    place = form.then.removeprefix(REMOVE)
    if form.then == ADD and len(rows) < MOST_WRITERS:
        last = rows[-1] if rows else WriterRow()
        return [*rows, last.model_copy(update={"who": ""})]
    if place.isdigit() and len(rows) > 1:
        return [row for number, row in enumerate(rows) if number != int(place)]
    return rows


def _form(
    request: Request,
    session: Session,
    project: Project,
    form: GenerationForm,
    *,
    rows: list[WriterRow] | None = None,
    problems: list[tuple[str, str]] | None = None,
) -> HTMLResponse:
    try:
        selection = Selection.model_validate({"tags": form.tags, "unjudged": form.unjudged})
        fitting = queries.counted(session, project=project, selection=selection)
    except ValidationError:
        fitting = {}
    return render(
        request,
        "generation/new_generation.html",
        status=422 if problems else 200,
        project=project,
        section="runs",
        form=form,
        rows=form.rows() if rows is None else rows,
        shares=form.shares(),
        most_writers=MOST_WRITERS,
        checkpoints=runs.writers_of(session, project=project),
        endpoints=queries.endpoints_of(session, project=project),
        judges=runs.checkpoints_of(session, project=project, kinds=[RunKind.REWARD]),
        sources=queries.sources_of(session, project=project),
        tags=queries.tags_of(session, project=project),
        fitting=sum(fitting.values()),
        problems=problems or [],
        wrong=dict(problems or []),
    )
