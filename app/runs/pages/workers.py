"""The workers of the installation, what each does, and the order of what waits for them."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Request
from starlette.responses import HTMLResponse, RedirectResponse

from app.accounts.auth import AdminUser, CurrentUser
from app.db import SessionDep
from app.projects.auth import AdminProject, ProjectRole, ViewerProject
from app.runs import queries, service
from app.runs.auth import AdminPageRun
from app.runs.schemas import PriorityForm
from app.runs.service import workers as service_of_workers
from app.web import redirect, render

router = APIRouter(include_in_schema=False)


@router.get("/workers", name="workers")
def all_workers(request: Request, session: SessionDep, _: AdminUser) -> HTMLResponse:
    """Every worker with all that it does; here it can be told to rest."""
    return render(
        request,
        "runs/workers.html",
        connected=queries.workers(session),
        may_manage=True,
    )


@router.get("/projects/{project_id}/workers", name="project_workers")
def project_workers(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: ViewerProject,
    role: ProjectRole,  # noqa: ARG001 - the tabs of the page depend on it
) -> HTMLResponse:
    """The same for people of a project: what others train is not named."""
    return render(
        request,
        "runs/workers.html",
        project=project,
        section="runs",
        connected=queries.workers(session),
        may_manage=user.is_admin,
    )


@router.post("/workers/{worker_id}/drain", name="drain_worker_page")
def drain_worker(
    request: Request, session: SessionDep, user: AdminUser, worker_id: UUID
) -> RedirectResponse:
    service_of_workers.drain(session, worker_id=worker_id, wanted=True, by=user)
    return redirect(request, "workers")


@router.post("/workers/{worker_id}/take-work", name="worker_takes_work_page")
def let_worker_take_work(
    request: Request, session: SessionDep, user: AdminUser, worker_id: UUID
) -> RedirectResponse:
    service_of_workers.drain(session, worker_id=worker_id, wanted=False, by=user)
    return redirect(request, "workers")


@router.post("/projects/{project_id}/runs/{run_id}/priority", name="run_priority_page")
def change_priority(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    run: AdminPageRun,
    form: Annotated[PriorityForm, Form()],
) -> RedirectResponse:
    """A waiting run starts sooner or later."""
    step = 1 if form.change == "raise" else -1
    wanted = max(-2, min(2, run.priority + step))
    service.set_priority(session, run=run, priority=wanted, by=user)
    if form.back == "run":
        return redirect(request, "run", project_id=project.id, run_id=run.id)
    return redirect(request, "runs", project_id=project.id)
