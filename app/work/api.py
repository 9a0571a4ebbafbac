"""The work in progress, and what a change of settings would do, as JSON."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.db import Now, SessionDep
from app.projects import service as projects
from app.projects.auth import AdminProject
from app.projects.schemas import ProjectPatch
from app.work.schemas import EffectsOut, WorkOut
from app.work.service.board import board
from app.work.service.effects import effects_of

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


@router.post("/projects/{project_id}/effects")
def tell_effects(
    session: SessionDep, project: AdminProject, body: ProjectPatch, now: Now
) -> EffectsOut:
    """What `PATCH /projects/{id}` with the same body would do; nothing is changed."""
    projects.require_current(project, body)
    return EffectsOut(effects=effects_of(session, project=project, patch=body, now=now))
