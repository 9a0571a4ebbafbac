"""What happened on a day: the way from a fall of agreement to who and what it comes from."""

from datetime import date

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from app.accounts.models import Role
from app.db import SessionDep
from app.errors import found
from app.projects.auth import ProjectRole, ViewerProject
from app.quality.service import summary, tables
from app.quality.service.dashboard import dashboard
from app.quality.service.days import day_of
from app.web import render
from app.web.tables import csv_reply

router = APIRouter(include_in_schema=False)


@router.get("/projects/{project_id}/days.csv", name="days_csv")
def days_csv(session: SessionDep, project: ViewerProject) -> Response:
    """Every day with work."""
    view = found(summary.current(session, project=project, wait=True))
    out = dashboard(session, project=project, view=view).out
    return csv_reply(f"days-{project.id}", *tables.of_days(out))


# Before the page of the day, whose address it would match.
@router.get("/projects/{project_id}/days/{day}.csv", name="day_csv")
def day_csv(session: SessionDep, project: ViewerProject, day: date) -> Response:
    """The people of the day."""
    view = summary.current(session, project=project)
    told = day_of(session, project=project, day=day, view=view)
    return csv_reply(f"people-{day}-{project.id}", *tables.people_of_day(told))


@router.get("/projects/{project_id}/days/{day}/tasks.csv", name="day_tasks_csv")
def day_tasks_csv(session: SessionDep, project: ViewerProject, day: date) -> Response:
    """The tasks of the day that were judged differently."""
    view = summary.current(session, project=project)
    told = day_of(session, project=project, day=day, view=view)
    return csv_reply(f"tasks-{day}-{project.id}", *tables.tasks_of_day(told))


@router.get("/projects/{project_id}/days/{day}", name="quality_day")
def quality_day(
    request: Request,
    session: SessionDep,
    project: ViewerProject,
    role: ProjectRole,
    day: date,
) -> HTMLResponse:
    view = summary.current(session, project=project)
    told = day_of(session, project=project, day=day, view=view)
    return render(
        request,
        "quality/day.html",
        charts=True,
        project=project,
        section="overview",
        view=view,
        day=told,
        people_chart=[
            {
                "name": each.name,
                "usual": each.usual,
                "tasks": each.n_shared,
                "fallen": each.change is not None and each.change.high < 0,
                **each.agreement.model_dump(exclude={"reason"}),
            }
            for each in reversed(told.people)
            if each.agreement.value is not None
        ],
        may_review=role in {Role.ADMIN, Role.REVIEWER},
    )
