"""Her own work, for herself."""

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from app.accounts.auth import CurrentUser
from app.accounts.rules import break_after
from app.db import Now, SessionDep
from app.projects.auth import (
    AnnotatorProject,
)
from app.projects.queries import unread_messages
from app.quality.rules.progress import FEWEST_TASKS
from app.quality.service.progress import progress_of
from app.tasks.queries import appeal_of
from app.web import render

router = APIRouter(include_in_schema=False)


@router.get("/projects/{project_id}/rank/progress", name="rank_progress")
def rank_progress(
    request: Request, session: SessionDep, project: AnnotatorProject, user: CurrentUser, now: Now
) -> HTMLResponse:
    """Her own work, for herself."""
    progress = progress_of(session, project=project, user=user, now=now)
    return render(
        request,
        "quality/progress.html",
        project=project,
        section="rank",
        progress=progress,
        slowest=max((day.median_seconds or 0 for day in progress.days), default=0),
        fewest=FEWEST_TASKS,
        break_after=break_after(user.preferences),
        messages=unread_messages(session, project=project, user=user),
        appeal=appeal_of(session, project=project, user=user, task_id=None)
        if progress.paused
        else None,
    )
