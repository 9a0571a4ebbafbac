"""What of a project's files may go, how long the rest is kept, and what went."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, RedirectResponse

from app.accounts.auth import CurrentUser
from app.db import Now, SessionDep
from app.projects.auth import AdminProject
from app.projects.models import Project
from app.runs import queries, service
from app.runs.queries import needs
from app.runs.schemas import RetentionForm
from app.web import redirect, render

router = APIRouter(include_in_schema=False)


@router.get("/projects/{project_id}/storage", name="storage")
def storage(request: Request, session: SessionDep, project: AdminProject, now: Now) -> HTMLResponse:
    kept = needs.retention_of(session, project=project)
    form = RetentionForm(
        saved_days=_days(kept.saved_days),
        failed_days=_days(kept.failed_days),
        checkpoint_days=_days(kept.checkpoint_days),
    )
    return _page(request, session, project, now, form)


@router.post("/projects/{project_id}/storage", name="set_retention", response_model=None)
def set_retention(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    now: Now,
    form: Annotated[RetentionForm, Form()],
) -> HTMLResponse | RedirectResponse:
    try:
        body = form.body()
    except ValidationError:
        problem = "Days are whole numbers from 1 to 36,500; leave a field empty to keep for ever."
        return _page(request, session, project, now, form, problem=problem, status=422)
    service.set_retention(session, project=project, days=body.model_dump(), by=user)
    return redirect(request, "storage", project_id=project.id)


@router.post("/projects/{project_id}/storage/clean-up", name="clean_up_page")
def clean_up_page(
    request: Request, session: SessionDep, user: CurrentUser, project: AdminProject
) -> RedirectResponse:
    service.ask_for_clean_up(session, project=project, by=user)
    return redirect(request, "storage", project_id=project.id)


def _page(
    request: Request,
    session: Session,
    project: Project,
    now: Now,
    form: RetentionForm,
    *,
    problem: str = "",
    status: int = 200,
) -> HTMLResponse:
    found = needs.waste(session, project=project, now=now)
    checkpoints = queries.checkpoints_of(session, project=project)
    there = [each for each in checkpoints if each.removed_at is None]
    done = needs.clean_ups_of(session, project=project)
    return render(
        request,
        "runs/storage.html",
        status=status,
        project=project,
        section="runs",
        form=form,
        problem=problem,
        found=found,
        frees=sum(each.bytes for each in found),
        what=needs.WHAT,
        number=len(there),
        weights=sum(each.bytes for each in there),
        clean_ups=[each for each in done if each.finished_at is not None],
        waiting=any(each.finished_at is None for each in done),
    )


def _days(number: int | None) -> str:
    return "" if number is None else str(number)
