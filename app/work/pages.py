"""The page of the work in progress, and what a change will do before it is made."""

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.accounts.auth import CurrentUser
from app.annotation.schemas import SKIP_REASONS
from app.db import Now, SessionDep
from app.errors import AppError
from app.projects import service as projects
from app.projects.auth import AdminProject, ReviewerProject
from app.projects.models import Project
from app.projects.pages.editing import (
    Fields,
    difference_before_saving,
    editor,
    written_in,
)
from app.projects.pages.editing import (
    patch_of as patch_of_guidelines,
)
from app.projects.pages.settings import patch_of, settings_page
from app.projects.queries import last_change
from app.projects.schemas import ProjectPatch
from app.projects.schemas.forms import GuidelinesForm, SettingsForm
from app.web import redirect, render
from app.work.schemas import EffectOut, UndoForm
from app.work.service.board import board
from app.work.service.effects import effects_of, effects_of_values

router = APIRouter(include_in_schema=False)

LABELS = {
    "name": "Name",
    "description": "What it is for",
    "criteria": "Ratings per response",
    "strength_levels": "Strength of a preference",
    "allow_ties": "Ties are allowed",
    "overlap": "Judgements per task",
    "gold_rate": "Gold tasks mixed in",
    "gold_threshold": "Gold accuracy that passes",
    "lease_minutes": "Time a task stays with a person",
    "cost_per_hour": "Pay per hour",
    "cost_per_judgement": "Pay per judgement",
    "currency": "Currency",
    "guidelines": "Guidelines",
    "paused": "Paused",
}

Check = Annotated[Literal["now"] | None, Query(description="Check the invariants again.")]


@router.get("/projects/{project_id}/work", name="project_work")
def work(
    request: Request, session: SessionDep, project: ReviewerProject, now: Now, check: Check = None
) -> HTMLResponse:
    """Who does what now, what is left, and whether everything adds up."""
    return render(
        request,
        "work/board.html",
        charts=True,
        project=project,
        section="work",
        board=board(session, project=project, now=now, check=check is not None),
        is_checking=check is not None,
        reasons=SKIP_REASONS,
    )


@router.post("/projects/{project_id}/settings/review", name="review_settings")
def review_settings(
    request: Request,
    session: SessionDep,
    project: AdminProject,
    now: Now,
    form: Annotated[SettingsForm, Form()],
) -> HTMLResponse:
    """What the settings of the form would do, before they are saved."""
    try:
        patch = patch_of(form)
    except AppError as error:
        return settings_page(request, session, project, form, problem=error)
    edition = projects.edition(session, project=project)
    return _review(
        request,
        session,
        project=project,
        patch=patch,
        now=now,
        action="project_settings",
        fields=form.model_copy(update={"reviewed": edition}),
        is_outdated=bool(form.reviewed) and form.reviewed != edition,
    )


@router.post("/projects/{project_id}/guidelines/review", name="review_guidelines")
def review_guidelines(
    request: Request,
    session: SessionDep,
    project: AdminProject,
    now: Now,
    form: Annotated[GuidelinesForm, Form()],
    fields: Fields,
) -> HTMLResponse:
    """What new guidelines would do, before they are published."""
    written = written_in(session, project=project, form=form, fields=fields)
    try:
        patch = patch_of_guidelines(written)
        projects.require_current(project, patch)
    except AppError as error:  # her text stays on the page
        return editor(request, session, project=project, written=written, problem=error)
    return _review(
        request,
        session,
        project=project,
        patch=patch,
        now=now,
        action="edit_guidelines",
        fields=form.model_copy(update={"examples": json.dumps(written.examples)}),
        difference=difference_before_saving(session, project=project, written=written),
    )


@router.get("/projects/{project_id}/pause", name="review_pause")
def review_pause(
    request: Request, session: SessionDep, project: AdminProject, now: Now
) -> HTMLResponse:
    """What it would do to stop handing out tasks, or to go on."""
    patch = ProjectPatch(paused=project.paused_at is None)
    return _review(
        request,
        session,
        project=project,
        patch=patch,
        now=now,
        action="pause_project",
        fields=patch,
    )


@router.get("/projects/{project_id}/settings/undo", name="undo_settings")
def review_undo(
    request: Request, session: SessionDep, project: AdminProject, now: Now
) -> HTMLResponse:
    """What it would do to take the last change of settings back."""
    event = last_change(session, project=project)
    changed = projects.undoing(session, project=project, event=event) if event else {}
    return _review_page(
        request,
        project=project,
        effects=effects_of_values(session, project=project, changed=changed, now=now),
        action="undo_settings",
        fields=UndoForm(event=event.id if event else 0),
    )


@router.post("/projects/{project_id}/settings/undo", response_model=None)
def undo_settings(
    request: Request,
    session: SessionDep,
    project: AdminProject,
    user: CurrentUser,
    now: Now,
    form: Annotated[UndoForm, Form()],
) -> Response:
    """Take it back; when somebody has changed something since, that is shown instead."""
    try:
        projects.undo(session, project=project, event_id=form.event, by=user, now=now)
    except projects.Outdated:
        return redirect(request, "undo_settings", project_id=project.id)
    target = request.app.url_path_for("project_settings", project_id=project.id)
    return RedirectResponse(f"{target}?saved=undone", status_code=303)


def _review(
    request: Request,
    session: Session,
    *,
    project: Project,
    patch: ProjectPatch,
    now: Now,
    action: str,
    fields: BaseModel,
    is_outdated: bool = False,
    difference: dict[str, Any] | None = None,
) -> HTMLResponse:
    effects = effects_of(session, project=project, patch=patch, now=now)
    return _review_page(
        request,
        project=project,
        effects=effects,
        action=action,
        fields=fields,
        is_outdated=is_outdated,
        difference=difference,
    )


def _review_page(
    request: Request,
    *,
    project: Project,
    effects: Sequence[EffectOut],
    action: str,
    fields: BaseModel,
    is_outdated: bool = False,
    difference: dict[str, Any] | None = None,
) -> HTMLResponse:
    return render(
        request,
        "work/review.html",
        project=project,
        section="guidelines" if action == "edit_guidelines" else "settings",
        effects=effects,
        labels=LABELS,
        action=action,
        fields=list(_as_fields(fields)),
        is_outdated=is_outdated,
        difference=difference,
    )


def _as_fields(form: BaseModel) -> Iterator[tuple[str, Any]]:
    """A form again as hidden fields: a box that is not ticked has none."""
    for name, value in form.model_dump(mode="json").items():
        if isinstance(value, bool):
            if value or name == "paused":
                yield name, str(value).lower()
        elif isinstance(value, list):
            yield from ((name, each) for each in value)
        elif value is not None:
            yield name, value
