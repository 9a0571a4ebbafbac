"""A checkpoint: what it is, where it came from, and what can be done with it."""

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse

from app.accounts.auth import CurrentUser
from app.accounts.models import Role
from app.db import SessionDep
from app.projects.auth import AdminProject, ProjectRole, ViewerProject
from app.runs import formats, queries, rules, service
from app.runs.auth import AdminPageCheckpoint, PageCheckpoint
from app.runs.models import Run
from app.runs.queries.needs import needs
from app.web import redirect, render

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
        card=formats.card_of(checkpoint),
        reasons=needs(session, checkpoint_ids=[checkpoint.id]).get(checkpoint.id, []),
        further=queries.runs_from(session, checkpoint=checkpoint),
        is_promoted=queries.promoted_id(session, project=project) == checkpoint.id,
        is_writer=rules.is_writer(checkpoint.kind),
        may_manage=role is Role.ADMIN,
        rules=rules,
    )


@router.post(
    "/projects/{project_id}/checkpoints/{checkpoint_id}/remove", name="remove_checkpoint_page"
)
def remove_checkpoint_page(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    checkpoint: AdminPageCheckpoint,
) -> RedirectResponse:
    service.remove_weights(session, checkpoint=checkpoint, by=user)
    return redirect(request, "checkpoint", project_id=project.id, checkpoint_id=checkpoint.id)
