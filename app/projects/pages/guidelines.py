"""What annotators are told: read, edited, acknowledged."""

import difflib
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.accounts.auth import CurrentUser
from app.accounts.models import Role
from app.db import Now, SessionDep
from app.errors import AppError, found
from app.projects import queries, rules, service
from app.projects.auth import AdminProject, MemberProject, ProjectRole
from app.projects.models import Guidelines, Project
from app.projects.schemas import (
    GuidelinesForm,
    ProjectPatch,
    ReadForm,
)
from app.web import redirect, render

router = APIRouter(include_in_schema=False)


@router.get("/projects/{project_id}/guidelines", name="guidelines")
def guidelines(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: MemberProject,
    role: ProjectRole,
    version: int | None = None,
) -> HTMLResponse:
    shown = found(queries.guidelines_of(session, project=project, version=version))
    membership = queries.member(session, project=project, user_id=user.id)
    versions = queries.guidelines_versions(session, project=project)
    read = membership.guidelines_read if membership else 0
    must_read = role is not Role.VIEWER and read < project.guidelines_version
    is_news = must_read and read > 0 and shown.version == project.guidelines_version
    base = read if is_news else shown.version - 1  # what is new to her, else to the version before
    before = next((each for each in versions if each.version == base), None)
    return render(
        request,
        "projects/guidelines.html",
        project=project,
        section="guidelines",
        shown=shown,
        versions=versions,
        changes=changes_in(shown, before),
        scale_changes=rules.scale_changes(before.scale, shown.scale) if before else [],
        changes_from=base,
        must_read=must_read,
    )


def changes_in(shown: Guidelines, before: Guidelines | None) -> list[tuple[str, str]]:
    """Lines that came (`+`) and went (`-`) since another version; empty for the first."""
    if before is None:
        return []
    lines = difflib.ndiff(before.text.splitlines(), shown.text.splitlines())
    return [(line[0], line[2:]) for line in lines if line[0] in "+-" and line[2:].strip()]


@router.post("/projects/{project_id}/guidelines/read", name="acknowledge_guidelines")
def acknowledge_guidelines(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: MemberProject,
    form: Annotated[ReadForm, Form()],
) -> RedirectResponse:
    """She has read the version that was on her screen; a newer one than that she sees next."""
    version = form.version or project.guidelines_version
    service.acknowledge_guidelines(session, project=project, user=user, version=version)
    return redirect(request, "rank", project_id=project.id)


@router.get("/projects/{project_id}/guidelines/edit", name="edit_guidelines")
def edit_guidelines(request: Request, session: SessionDep, project: AdminProject) -> HTMLResponse:
    current = found(queries.guidelines_of(session, project=project))
    return guidelines_editor(request, project, text=current.text, version=current.version)


def guidelines_editor(
    request: Request, project: Project, *, text: str, version: int, problem: AppError | None = None
) -> HTMLResponse:
    return render(
        request,
        "projects/guidelines_edit.html",
        status=problem.status if problem else 200,
        project=project,
        section="guidelines",
        text=text,
        version=version,
        problem=problem.detail if problem else None,
    )


@router.post("/projects/{project_id}/guidelines/edit", response_model=None)
def save_guidelines(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    now: Now,
    form: Annotated[GuidelinesForm, Form()],
) -> Response:
    if form.edit:
        return guidelines_editor(request, project, text=form.text, version=form.version)
    patch = ProjectPatch(guidelines=form.text, guidelines_version=form.version)
    try:
        service.update_settings(session, project=project, patch=patch, by=user, now=now)
    except AppError as error:  # her text stays on the page
        return guidelines_editor(
            request, project, text=form.text, version=form.version, problem=error
        )
    return redirect(request, "guidelines", project_id=project.id)
