"""Pages of projects: the list, a new one, its settings, its pause."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, UploadFile
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.accounts.auth import AdminUser, CurrentUser
from app.accounts.models import AuditEvent
from app.db import Now, SessionDep
from app.errors import AppError, Invalid, found
from app.projects import queries, rules, service
from app.projects.auth import AdminProject
from app.projects.models import Project
from app.projects.schemas import ProjectBody, ProjectPatch
from app.projects.schemas.forms import PauseProjectForm, ProjectForm, SettingsForm
from app.web import redirect, render

router = APIRouter(include_in_schema=False)


@router.get("/projects", name="projects")
def projects(request: Request, session: SessionDep, user: CurrentUser) -> HTMLResponse:
    mine = queries.projects_of(session, user=user)
    progress = queries.progress_of(session, projects=[project for project, _ in mine])
    return render(
        request,
        "projects/list.html",
        mine=mine,
        progress=progress,
        qualifies=queries.to_qualify_in(session, user=user),
    )


@router.get("/projects/new", name="new_project")
def new_project(request: Request, _admin: AdminUser) -> HTMLResponse:
    return new_page(request, starter())


@router.post("/projects/new", response_model=None)
def create_project(
    request: Request, session: SessionDep, user: AdminUser, form: Annotated[ProjectForm, Form()]
) -> Response:
    try:
        project = service.create(session, by=user, body=ProjectBody(**settings_of(form)))
    except AppError as error:
        return new_page(request, form, problem=error)
    return redirect(request, "project_data", project_id=project.id)


@router.post("/projects/new/file", name="create_project_from_file", response_model=None)
def create_project_from_file(
    request: Request,
    session: SessionDep,
    user: AdminUser,
    name: Annotated[str, Form(max_length=200)] = "",
    file: UploadFile | None = None,
) -> Response:
    """A project like the one that the file was written from, guidelines included."""
    try:
        body = service.settings_from(_text_of(file), name=name)
        project = service.create(session, by=user, body=body)
    except AppError as error:
        return new_page(request, starter(), file_problem=error, file_name=name)
    return redirect(request, "project_data", project_id=project.id)


def starter() -> ProjectForm:
    return ProjectForm(name="", guidelines=rules.STARTER_GUIDELINES)


def new_page(
    request: Request,
    form: ProjectForm,
    *,
    problem: AppError | None = None,
    file_problem: AppError | None = None,
    file_name: str = "",
) -> HTMLResponse:
    wrong = problem or file_problem
    return render(
        request,
        "projects/new.html",
        status=wrong.status if wrong else 200,
        form=form,
        questions=None,
        problem=problem.detail if problem else None,
        file_problem=file_problem.detail if file_problem else None,
        file_name=file_name,
    )


def _text_of(file: UploadFile | None) -> str:
    if file is None or not file.filename:
        raise Invalid("Choose a file first.")
    try:
        return file.file.read().decode()
    except UnicodeDecodeError as error:
        raise Invalid("This file is no text in UTF-8. Choose settings in JSON or TOML.") from error


def settings_of(form: ProjectForm) -> dict[str, object]:
    """The form's values as the schemas of the API know them."""
    try:
        settings = {
            "name": form.name,
            "description": form.description,
            "criteria": rules.criteria_from_text(form.criteria),
            "strength_levels": form.strength_levels,
            "allow_ties": form.allow_ties,
            "overlap": {
                "min": form.overlap_min,
                "max": max(form.overlap_min, form.overlap_max),
                "confidence": form.confidence_percent and form.confidence_percent / 100,
            },
            "gold_rate": form.gold_percent / 100,
            "gold_threshold": form.gold_threshold_percent / 100,
            "lease_minutes": form.lease_minutes,
            "repeat_rate": form.repeat_percent / 100,
            "daily_limit": form.daily_limit,
            "total_limit": form.total_limit,
            "largest_share": form.largest_share,
            "cost_per_hour": form.cost_per_hour,
            "cost_per_judgement": form.cost_per_judgement,
            "currency": form.currency,
            "qualification": {
                "size": form.qualification_size,
                "pass_mark": form.qualification_percent / 100,
                "attempts": form.qualification_attempts,
                "wait_hours": form.qualification_wait_hours,
            },
            "guidelines": form.guidelines,
        }
        ProjectBody(**settings)  # checks what it is given
    except ValidationError as error:
        raise Invalid("; ".join(str(item["msg"]) for item in error.errors())) from error
    except ValueError as error:
        raise Invalid(str(error)) from error
    return settings


@router.get("/projects/{project_id}/settings", name="project_settings")
def project_settings(request: Request, session: SessionDep, project: AdminProject) -> HTMLResponse:
    current = found(queries.guidelines_of(session, project=project))
    form = ProjectForm(
        name=project.name,
        description=project.description,
        criteria=rules.criteria_as_text(project.criteria),
        strength_levels=project.strength_levels,
        allow_ties=project.allow_ties,
        overlap_min=project.overlap_min,
        overlap_max=project.overlap_max,
        confidence_percent=project.overlap_confidence and round(100 * project.overlap_confidence),
        gold_percent=round(100 * project.gold_rate),
        gold_threshold_percent=round(100 * project.gold_threshold),
        lease_minutes=project.lease_minutes,
        repeat_percent=round(100 * project.repeat_rate),
        daily_limit=project.daily_limit,
        total_limit=project.total_limit,
        largest_share=project.largest_share,
        cost_per_hour=project.cost_per_hour,
        cost_per_judgement=project.cost_per_judgement,
        currency=project.currency,
        qualification_size=project.qualification_size,
        qualification_percent=round(100 * project.qualification_pass),
        qualification_attempts=project.qualification_attempts,
        qualification_wait_hours=project.qualification_wait_hours,
        guidelines=current.text,
    )
    last = queries.last_change(session, project=project)
    return settings_page(request, session, project, form, last=last)


def settings_page(
    request: Request,
    session: Session,
    project: Project,
    form: ProjectForm,
    *,
    last: AuditEvent | None = None,
    problem: AppError | None = None,
) -> HTMLResponse:
    return render(
        request,
        "projects/settings.html",
        status=problem.status if problem else 200,
        project=project,
        section="settings",
        form=form,
        questions=queries.questions_in_set(session, project=project),
        problem=problem.detail if problem else None,
        saved=request.query_params.get("saved"),
        last=last,
    )


@router.post("/projects/{project_id}/settings", response_model=None)
def save_settings(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    now: Now,
    form: Annotated[SettingsForm, Form()],
) -> Response:
    """Save what was reviewed; settings that somebody has changed meanwhile are reviewed again."""
    if form.edit:
        return settings_page(request, session, project, form)
    try:
        service.update_settings(
            session,
            project=project,
            patch=patch_of(form),
            by=user,
            now=now,
            reviewed=form.reviewed or None,
        )
    except service.Outdated:
        again = request.app.url_path_for("review_settings", project_id=project.id)
        return RedirectResponse(again, status_code=307)  # with the same form
    except AppError as error:
        return settings_page(request, session, project, form, problem=error)
    target = request.app.url_path_for("project_settings", project_id=project.id)
    return RedirectResponse(f"{target}?saved=yes", status_code=303)


def patch_of(form: ProjectForm) -> ProjectPatch:
    """What the form of the settings says; the guidelines have a page of their own."""
    return ProjectPatch.model_validate(settings_of(form) | {"guidelines": None})


@router.post("/projects/{project_id}/pause", name="pause_project")
def pause_project(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    now: Now,
    form: Annotated[PauseProjectForm, Form()],
) -> RedirectResponse:
    """Stop handing out tasks, or go on: as asked, else whichever it is not doing."""
    paused = project.paused_at is None if form.paused is None else form.paused
    patch = ProjectPatch(paused=paused)
    service.update_settings(session, project=project, patch=patch, by=user, now=now)
    return redirect(request, "project_settings", project_id=project.id)
