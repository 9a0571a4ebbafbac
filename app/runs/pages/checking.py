"""The launch form asks: what would this run be? At once by experience, or by a rehearsal."""

from typing import Annotated

from fastapi import APIRouter, Form
from pydantic import ValidationError
from starlette.responses import JSONResponse

from app.accounts.auth import CurrentUser
from app.db import SessionDep
from app.errors import AppError, found
from app.projects.auth import AdminProject
from app.runs import formats, queries, service
from app.runs.pages.runs import problems_of
from app.runs.schemas import LaunchForm
from app.runs.service import checks

router = APIRouter(include_in_schema=False)


@router.post("/projects/{project_id}/runs/estimate", name="estimate_run_page")
def estimate_run_page(
    session: SessionDep, project: AdminProject, form: Annotated[LaunchForm, Form()]
) -> JSONResponse:
    """Steps and time, or the fields that stand in the way."""
    try:
        body = form.body(formats.given_settings(form.model_extra or {}))
        snapshot = queries.snapshot_in(session, project_id=project.id, snapshot_id=body.snapshot_id)
        return JSONResponse(service.estimate(session, snapshot=found(snapshot), body=body))
    except (ValidationError, AppError) as error:
        return JSONResponse({"problems": problems_of(error)}, status_code=422)


@router.post("/projects/{project_id}/runs/check", name="check_run_page")
def check_run_page(
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    form: Annotated[LaunchForm, Form()],
) -> JSONResponse:
    """Queue a rehearsal of what the form says; the page asks the API how it goes."""
    try:
        body = form.body(formats.given_settings(form.model_extra or {}))
        snapshot = queries.snapshot_in(session, project_id=project.id, snapshot_id=body.snapshot_id)
        check = checks.request_check(session, snapshot=found(snapshot), body=body, by=user)
    except (ValidationError, AppError) as error:
        return JSONResponse({"problems": problems_of(error)}, status_code=422)
    return JSONResponse({"id": str(check.id)}, status_code=202)
