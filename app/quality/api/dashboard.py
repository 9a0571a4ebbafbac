"""The overview and a day, as JSON."""

from datetime import date

from fastapi import APIRouter

from app.db import SessionDep
from app.errors import found
from app.projects.auth import ViewerProject
from app.quality.schemas.dashboard import DashboardOut
from app.quality.schemas.days import DayOut
from app.quality.service import summary
from app.quality.service.dashboard import dashboard
from app.quality.service.days import day_of

router = APIRouter(tags=["quality"])


@router.get("/projects/{project_id}/dashboard", response_model_exclude_unset=True)
def get_dashboard(session: SessionDep, project: ViewerProject) -> DashboardOut:
    """Whether today's labels can be trusted and why; cost so far, and when the rest is done."""
    view = found(summary.current(session, project=project, wait=True))
    return dashboard(session, project=project, view=view).out


@router.get("/projects/{project_id}/days/{day}")
def get_day(session: SessionDep, project: ViewerProject, day: date) -> DayOut:
    """What happened on a day (UTC): agreement against the usual, by person, task and version."""
    view = summary.current(session, project=project, wait=True)
    return day_of(session, project=project, day=day, view=view)
