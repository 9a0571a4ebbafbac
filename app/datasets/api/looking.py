"""Rows of a snapshot, what lies behind them, and what two snapshots differ in, as JSON."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import StreamingResponse

from app.accounts.auth import CurrentUser
from app.accounts.models import Role
from app.datasets.api.snapshots import snapshot_out
from app.datasets.api.traces import trace_out
from app.datasets.auth import AdminSnapshot, OtherSnapshot, SnapshotRole, ViewedSnapshot
from app.datasets.formats.names import file_name
from app.datasets.formats.prompt_ids import prompt_id_of
from app.datasets.formats.tables import csv_pieces, jsonl_pieces
from app.datasets.models import Snapshot, SnapshotComparison
from app.datasets.queries import recipes
from app.datasets.rules.settings import changed_settings
from app.datasets.schemas import SnapshotOut
from app.datasets.schemas.looking import (
    ComparedOut,
    ComparisonOut,
    DifferencesOut,
    DifferencesQuery,
    NameBody,
    RowOut,
    RowsOut,
    RowsQuery,
    SettingOut,
    TraceOut,
)
from app.datasets.service import looking, removal
from app.datasets.service.comparisons import comparison_of
from app.datasets.service.tracing import trace
from app.db import JobState, SessionDep
from app.errors import Conflict
from app.projects.models import Project

router = APIRouter(tags=["snapshots"])


@router.get("/snapshots/{snapshot_id}/rows")
def list_snapshot_rows(snapshot: ViewedSnapshot, asked: Annotated[RowsQuery, Query()]) -> RowsOut:
    """The rows of one config and split in the order of the file, all or those that match."""
    page, total = looking.rows_of(snapshot, asked)
    return RowsOut(
        items=[
            RowOut(number=number, prompt_id=prompt_id_of(asked.config, row), row=row)
            for number, row in page.rows
        ],
        next_cursor=None if page.next_row is None else str(page.next_row),
        total=total,
    )


@router.get("/snapshots/{snapshot_id}/rows/{prompt_id}")
def get_snapshot_row(
    session: SessionDep,
    snapshot: ViewedSnapshot,
    role: SnapshotRole,
    prompt_id: str,
) -> TraceOut:
    """The rows of a prompt, and every judgement behind them: as frozen, and what changed since."""
    looking.folder_of(snapshot)
    project = session.get_one(Project, snapshot.project_id)
    found = trace(session, project=project, snapshot=snapshot, prompt_id=prompt_id)
    return trace_out(found, named=role is Role.ADMIN)


@router.get("/snapshots/{snapshot_id}/compare/{other_id}")
def compare_snapshot(
    session: SessionDep, snapshot: ViewedSnapshot, other: OtherSnapshot
) -> ComparisonOut:
    """What the second snapshot has that the first has not, and the other way round.

    Small ones are compared at once, large ones in the background: ask again until `state` is final.
    """
    kept = comparison_of(session, before=snapshot, after=other)
    return ComparisonOut(
        state=kept.state,
        rows_done=kept.done,
        rows=kept.total,
        error=kept.error,
        before=_compared(snapshot),
        after=_compared(other),
        recipe=[
            SettingOut(key=each.key, name=each.name, before=each.before, after=each.after)
            for each in changed_settings(snapshot.recipe, other.recipe)
        ],
        identical=kept.summary.get("identical"),
        configs=kept.summary.get("configs", {}),
    )


@router.get("/snapshots/{snapshot_id}/compare/{other_id}/differences")
def list_differences(
    session: SessionDep,
    snapshot: ViewedSnapshot,
    other: OtherSnapshot,
    asked: Annotated[DifferencesQuery, Query()],
) -> DifferencesOut:
    """The rows of a config that changed, came or went."""
    kept = _made(comparison_of(session, before=snapshot, after=other))
    page, total = looking.differences_of(kept, asked)
    return DifferencesOut(
        items=[row for _, row in page.rows],
        next_cursor=None if page.next_row is None else str(page.next_row),
        total=total,
    )


@router.get(
    "/snapshots/{snapshot_id}/compare/{other_id}/differences.jsonl",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {}}}},
)
def differences_as_jsonl(
    session: SessionDep, snapshot: ViewedSnapshot, other: OtherSnapshot
) -> StreamingResponse:
    """Every difference, one object a line."""
    kept = _made(comparison_of(session, before=snapshot, after=other))
    return StreamingResponse(
        jsonl_pieces(looking.all_differences(kept)),
        media_type="application/x-ndjson",
        headers=_attached(snapshot, other, "jsonl"),
    )


@router.get(
    "/snapshots/{snapshot_id}/compare/{other_id}/differences.csv",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {}}}},
)
def differences_as_csv(
    session: SessionDep, snapshot: ViewedSnapshot, other: OtherSnapshot
) -> StreamingResponse:
    """Every difference as a line of a table."""
    kept = _made(comparison_of(session, before=snapshot, after=other))
    return StreamingResponse(
        csv_pieces(looking.all_differences(kept)),
        media_type="text/csv; charset=utf-8",
        headers=_attached(snapshot, other, "csv"),
    )


@router.patch("/snapshots/{snapshot_id}")
def rename_snapshot(
    session: SessionDep, user: CurrentUser, snapshot: AdminSnapshot, body: NameBody
) -> SnapshotOut:
    """Give it another name; what was frozen stays as it is."""
    removal.rename(session, snapshot=snapshot, name=body.name, by=user)
    twins = recipes.twins_of(session, snapshots=[snapshot])
    return snapshot_out(snapshot, twins.get(snapshot.id))


@router.delete("/snapshots/{snapshot_id}", status_code=204)
def delete_snapshot(session: SessionDep, user: CurrentUser, snapshot: AdminSnapshot) -> None:
    """Delete it with its files. One that a run was trained on stays: 409."""
    removal.remove(session, snapshot=snapshot, by=user)


def _compared(snapshot: Snapshot) -> ComparedOut:
    return ComparedOut(
        id=str(snapshot.id),
        name=snapshot.name,
        project_id=str(snapshot.project_id),
        counts=snapshot.counts,
        quality=snapshot.quality,
        created_at=snapshot.created_at,
    )


def _made(kept: SnapshotComparison) -> SnapshotComparison:
    if kept.state is not JobState.SUCCEEDED:
        raise Conflict(f"The comparison is {kept.state}: {kept.error or 'ask again in a moment'}.")
    return kept


def _attached(before: Snapshot, after: Snapshot, ending: str) -> dict[str, str]:
    name = file_name(before.name, "to", after.name)
    return {"Content-Disposition": f'attachment; filename="{name}.{ending}"'}
