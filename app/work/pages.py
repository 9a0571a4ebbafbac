"""The page of the work in progress."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse

from app.annotation.schemas import SKIP_REASONS
from app.db import Now, SessionDep
from app.projects.auth import ReviewerProject
from app.web import render
from app.work.service.board import board

router = APIRouter(include_in_schema=False)

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
