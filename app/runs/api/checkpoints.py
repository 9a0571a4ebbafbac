"""Checkpoints as JSON: what they are, where they come from, what came of them."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.accounts.auth import CurrentUser
from app.artifacts import StoredFile
from app.datasets.formats.names import file_name
from app.db import JsonObject, SessionDep
from app.errors import NotFound
from app.projects.auth import ViewerProject
from app.runs import queries, service
from app.runs.api.descending import descendants_out
from app.runs.api.words import text
from app.runs.auth import ManagedCheckpoint, ViewedCheckpoint
from app.runs.models import Checkpoint
from app.runs.queries.descendants import descendants
from app.runs.schemas import CheckpointOut, CheckpointPage, DescendantsOut
from app.web.downloads import stored_archive

router = APIRouter(tags=["runs"])


@router.get("/projects/{project_id}/checkpoints")
def list_checkpoints(session: SessionDep, project: ViewerProject) -> CheckpointPage:
    """All checkpoints of a project, newest first."""
    found_ones = queries.checkpoints_of(session, project=project)
    return CheckpointPage(items=[checkpoint_out(one) for one in found_ones], next_cursor=None)


@router.get("/checkpoints/{checkpoint_id}")
def get_checkpoint(checkpoint: ViewedCheckpoint) -> CheckpointOut:
    return checkpoint_out(checkpoint)


@router.get("/checkpoints/{checkpoint_id}/lineage")
def checkpoint_lineage(session: SessionDep, checkpoint: ViewedCheckpoint) -> JsonObject:
    """Down to snapshots, annotations, annotators' pseudonyms and guideline versions."""
    return queries.lineage(session, checkpoint=checkpoint)


@router.get("/checkpoints/{checkpoint_id}/descendants")
def checkpoint_descendants(session: SessionDep, checkpoint: ViewedCheckpoint) -> DescendantsOut:
    """What was trained further, with it as the reward, or on judgements of what it wrote."""
    return descendants_out(descendants(session, checkpoint_ids=[checkpoint.id]))


@router.delete("/checkpoints/{checkpoint_id}/files", status_code=204)
def remove_checkpoint_files(
    session: SessionDep, user: CurrentUser, checkpoint: ManagedCheckpoint
) -> None:
    """Remove the weights; what it was stays on record. 409 names what needs them still."""
    service.remove_weights(session, checkpoint=checkpoint, by=user)


@router.api_route(
    "/checkpoints/{checkpoint_id}/archive",
    methods=["GET"],
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}}},
)
def checkpoint_archive(request: Request, checkpoint: ViewedCheckpoint) -> Response:
    """The model folder as one zip, of a known length; every file is checked on its way."""
    if checkpoint.removed_at is not None:
        raise NotFound(service.gone(checkpoint, checkpoint.removed_at))
    files = [
        StoredFile(str(file["path"]), int(file["bytes"]), str(file["sha256"]))
        for file in checkpoint.files
    ]
    return stored_archive(
        request, files, folder=checkpoint.path, filename=file_name(checkpoint.name)
    )


def checkpoint_out(checkpoint: Checkpoint) -> CheckpointOut:
    return CheckpointOut(
        id=str(checkpoint.id),
        project_id=str(checkpoint.project_id),
        run_id=text(checkpoint.run_id),
        kind=checkpoint.kind,
        name=checkpoint.name,
        step=checkpoint.step,
        is_final=checkpoint.is_final,
        parent_id=text(checkpoint.parent_id),
        removed_at=checkpoint.removed_at,
        bytes=checkpoint.bytes,
        sha256=checkpoint.sha256,
        files=checkpoint.files,
        metrics=checkpoint.metrics,
        created_at=checkpoint.created_at,
    )
