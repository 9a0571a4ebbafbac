"""A checkpoint: what it is, where it came from, and what can be done with it."""

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from app.accounts.models import Role
from app.db import SessionDep
from app.projects.auth import ProjectRole, ViewerProject
from app.runs import formats, queries, rules
from app.runs.auth import PageCheckpoint
from app.runs.models import Run
from app.web import render

router = APIRouter(include_in_schema=False)


@router.get("/projects/{project_id}/checkpoints/{checkpoint_id}", name="checkpoint")
def checkpoint_page(
    request: Request,
    session: SessionDep,
    project: ViewerProject,
    role: ProjectRole,
    checkpoint: PageCheckpoint,
) -> HTMLResponse:
    lineage = queries.lineage(session, checkpoint=checkpoint)
    return render(
        request,
        "runs/checkpoint.html",
        project=project,
        section="runs",
        checkpoint=checkpoint,
        run=session.get(Run, checkpoint.run_id) if checkpoint.run_id else None,
        lineage=lineage,
        picture=formats.picture(lineage),
        further=queries.runs_from(session, checkpoint=checkpoint),
        is_writer=rules.is_writer(checkpoint.kind),
        may_manage=role is Role.ADMIN,
        rules=rules,
    )
