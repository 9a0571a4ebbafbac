"""The first page of a project: whether today’s labels can be trusted, and why."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.accounts.models import Role
from app.db import SessionDep
from app.projects.auth import (
    MemberProject,
    ProjectRole,
)
from app.projects.queries import questions_in_set, stranded_tasks
from app.quality.service import summary
from app.quality.service.dashboard import dashboard
from app.web import redirect, render

router = APIRouter(include_in_schema=False)


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
    )
