"""The first page of a project: whether today’s labels can be trusted, and why."""

from typing import Literal

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.accounts.models import Role
from app.db import SessionDep
from app.errors import found
from app.projects.auth import (
    MemberProject,
    ProjectRole,
    ViewerProject,
)
from app.projects.queries import questions_in_set, short_of_questions, stranded_tasks
from app.quality.service import summary, tables
from app.quality.service.dashboard import dashboard
from app.web import redirect, render
from app.web.tables import csv_reply

router = APIRouter(include_in_schema=False)

Table = Literal["people", "disputed", "cost", "forecast", "fields"]


@router.get("/projects/{project_id}", name="project_dashboard", response_model=None)
def project_dashboard(
    request: Request, session: SessionDep, project: MemberProject, role: ProjectRole
) -> Response:
    """Whether today's labels can be trusted, and why; an annotator goes on to her work."""
    if role is Role.ANNOTATOR:
        return redirect(request, "rank", project_id=project.id)
    view = summary.current(session, project=project)
    return render(
        request,
        "quality/dashboard.html",
        charts=True,
        project=project,
        section="overview",
        view=view,
        board=view and dashboard(session, project=project, view=view),
        may_review=role in {Role.ADMIN, Role.REVIEWER},
        may_freeze=role is Role.ADMIN,
        stranded=stranded_tasks(session, project=project),
        questions=questions_in_set(session, project=project),
        short=short_of_questions(session, project=project),
    )


@router.get("/projects/{project_id}/overview/{table}.csv", name="overview_csv")
def overview_csv(session: SessionDep, project: ViewerProject, table: Table) -> Response:
    """A table of the page as CSV."""
    view = found(summary.current(session, project=project, wait=True))
    out = dashboard(session, project=project, view=view).out
    return csv_reply(f"{table}-{project.id}", *tables.of_overview(out, table))
