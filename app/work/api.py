"""The work in progress, and what a change of settings would do, as JSON."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.db import Now, SessionDep
from app.projects.auth import AdminProject
from app.work.schemas import WorkOut
from app.work.service.board import board

router = APIRouter(tags=["work"])


@router.get("/projects/{project_id}/work")
def get_work(
    session: SessionDep,
    project: AdminProject,
    now: Now,
    *,
    check: Annotated[
        bool, Query(description="Check the invariants of a large project too.")
    ] = False,
) -> WorkOut:
    """Tasks, leases, people at work, what is left, and whether the invariants hold.

    The figures are at most some seconds old.
    """
    return board(session, project=project, now=now, check=check)
