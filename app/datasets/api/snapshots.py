"""Snapshots, as JSON and as files."""

from pathlib import PurePosixPath
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from app import artifacts
from app.accounts.auth import CurrentUser
from app.artifacts import StoredFile
from app.datasets import queries, service
from app.datasets.auth import ViewedSnapshot
from app.datasets.formats.names import file_name, media_type
from app.datasets.models import Snapshot
from app.datasets.queries import recipes
from app.datasets.rules.warnings import warnings
from app.datasets.schemas import (
    Annotators,
    FileOut,
    PreviewBody,
    PreviewOut,
    ProgressOut,
    SameRowsOut,
    SnapshotBody,
    SnapshotOut,
    SnapshotPage,
)
from app.datasets.service.looking import path_of
from app.db import SessionDep
from app.errors import NotFound, found
from app.projects.auth import AdminProject, ViewerProject
from app.web import downloads

router = APIRouter(tags=["snapshots"])


@router.post("/projects/{project_id}/snapshots", status_code=202)
def create_snapshot(
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    body: SnapshotBody | None = None,
) -> SnapshotOut:
    """Freeze a dataset: the recipe is checked at once, the files follow in the background.

    Without a body it is the recipe of the defaults.
    """
    body = body or SnapshotBody()
    snapshot = service.request(
        session, project=project, recipe=body.recipe, name=body.name, by=user
    )
    return snapshot_out(snapshot, None)


@router.get("/projects/{project_id}/snapshots")
def list_snapshots(
    session: SessionDep,
    project: ViewerProject,
    cursor: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> SnapshotPage:
    """The snapshots of a project, newest first."""
    after = None
    if cursor is not None:
        after, owner = found(queries.snapshot_for(session, snapshot_id=cursor))
        if owner.id != project.id:
            raise NotFound
    rows = queries.snapshots_of(session, project=project, after=after, limit=limit + 1)
    twins = recipes.twins_of(session, snapshots=rows[:limit])
    items = [snapshot_out(row, twins.get(row.id)) for row in rows[:limit]]
    return SnapshotPage(items=items, next_cursor=items[-1].id if len(rows) > limit else None)


@router.post("/projects/{project_id}/snapshots/preview")
def preview_snapshot(session: SessionDep, project: AdminProject, body: PreviewBody) -> PreviewOut:
    """Count what a recipe would take and leave out, without freezing anything."""
    seen = service.preview(session, project=project, recipe=body.recipe)
    return PreviewOut(
        counts=seen.counts,
        quality=seen.quality,
        looked_at=seen.looked_at,
        prompts=seen.prompts,
        open_tasks=seen.open_tasks,
        warnings=warnings(
            seen.counts, seen.quality, recipe=body.recipe.as_json(), open_tasks=seen.open_tasks
        ),
        examples=list(seen.examples),
    )


@router.get(
    "/projects/{project_id}/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/gzip": {}}}},
)
def export_project(
    user: CurrentUser, project: AdminProject, annotators: Annotators = Annotators.PSEUDONYMS
) -> Response:
    """All of a project as gzipped `touchstone` lines: gold, judgements and further keys with it.

    Imported into another project, everything comes back.
    """
    with artifacts.workspace() as folder:
        file = folder / "project.jsonl.gz"
        service.export_project(project_id=project.id, file=file, annotators=annotators, by=user)
        return downloads.passing_file(
            file,
            filename=f"{file_name(project.name)}.touchstone.jsonl.gz",
            media_type="application/gzip",
        )


@router.get("/snapshots/{snapshot_id}")
def get_snapshot(session: SessionDep, snapshot: ViewedSnapshot) -> SnapshotOut:
    twins = recipes.twins_of(session, snapshots=[snapshot])
    return snapshot_out(snapshot, twins.get(snapshot.id))


_FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"*/*": {}}},
    206: {"description": "The range that was asked for.", "content": {"*/*": {}}},
    304: {"description": "You have it already: its ETag is the one in If-None-Match."},
    416: {"description": "The range begins behind the end of the file."},
}


@router.head("/snapshots/{snapshot_id}/files/{path:path}", include_in_schema=False)
@router.get(
    "/snapshots/{snapshot_id}/files/{path:path}", response_class=StreamingResponse, responses=_FILE
)
def snapshot_file(request: Request, snapshot: ViewedSnapshot, path: str) -> Response:
    """One file, byte by byte as its SHA-256 says; a part of it with `Range`."""
    folder = path_of(snapshot)
    return downloads.stored_file(
        request,
        found(next((file for file in _stored(snapshot) if file.path == path), None)),
        folder=folder,
        filename=file_name(snapshot.name, *PurePosixPath(path).parts),
        media_type=media_type(path),
    )


@router.head("/snapshots/{snapshot_id}/archive", include_in_schema=False)
@router.get(
    "/snapshots/{snapshot_id}/archive",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": {}}}},
)
def snapshot_archive(request: Request, snapshot: ViewedSnapshot) -> Response:
    """All files as one zip, always the same bytes."""
    folder = path_of(snapshot)
    return downloads.stored_archive(
        request, _stored(snapshot), folder=folder, filename=file_name(snapshot.name)
    )


def _stored(snapshot: Snapshot) -> list[StoredFile]:
    return [StoredFile(file["path"], file["bytes"], file["sha256"]) for file in snapshot.files]


def snapshot_out(snapshot: Snapshot, twin: Snapshot | None) -> SnapshotOut:
    return SnapshotOut(
        id=str(snapshot.id),
        project_id=str(snapshot.project_id),
        name=snapshot.name,
        state=snapshot.state,
        attempt=snapshot.attempt,
        recipe=snapshot.recipe,
        counts=snapshot.counts,
        quality=snapshot.quality,
        files=[FileOut.model_validate(file) for file in snapshot.files],
        identity=snapshot.identity,
        same_rows_as=SameRowsOut(id=str(twin.id), name=twin.name) if twin else None,
        progress=ProgressOut(done=snapshot.prompts_done, total=snapshot.prompts_total),
        error=snapshot.error,
        replaces_id=None if snapshot.replaces_id is None else str(snapshot.replaces_id),
        erased_at=snapshot.erased_at,
        files_removed_at=snapshot.files_removed_at,
        created_at=snapshot.created_at,
        finished_at=snapshot.finished_at,
    )
