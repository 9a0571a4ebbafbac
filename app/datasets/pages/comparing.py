"""Two snapshots compared, as a page: numbers first, then the rows."""

from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse

from app.accounts.auth import CurrentUser
from app.accounts.models import User
from app.datasets.auth import viewed_snapshot
from app.datasets.formats.told import (
    configs_told,
    headline,
    left_out_told,
    moves,
    why_told,
)
from app.datasets.models import Snapshot, SnapshotComparison
from app.datasets.pages.looking import best_first, row_helpers
from app.datasets.queries.comparisons import frozen_snapshots
from app.datasets.rules.differences import CHANGES, Change, Kind
from app.datasets.rules.rows import ConfigName
from app.datasets.rules.settings import changed_settings
from app.datasets.schemas.looking import DifferencesQuery, Words
from app.datasets.service import looking
from app.datasets.service.comparisons import comparison_of
from app.db import JobState, JsonObject, SessionDep
from app.projects.auth import ViewerProject
from app.projects.models import Project
from app.web import render

router = APIRouter(include_in_schema=False)

ROWS = 10  # differences on a page


class CompareQuery(BaseModel):
    """The two snapshots, the older one first, and which differences are listed."""

    a: UUID | Literal[""] | None = None
    b: UUID | Literal[""] | None = None
    config: ConfigName | None = None
    kind: Kind | None = None
    what: Change | Literal[""] = ""
    why: Annotated[str, Field(max_length=50)] = ""
    q: Words = ""
    start: Annotated[int, Field(ge=0, le=2**40)] = 0


@router.get("/projects/{project_id}/snapshots/compare", name="compare_snapshots")
def compare_snapshots(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: ViewerProject,
    asked: Annotated[CompareQuery, Query()],
) -> HTMLResponse:
    """Without two snapshots it asks for them; a large comparison shows how far it is."""
    before, after = (_seen(session, user, each) for each in (asked.a, asked.b))
    choices = frozen_snapshots(session, project=project)
    shown: JsonObject = {"comparison": None, "problem": _problem(before, after)}
    if before is not None and after is not None and not shown["problem"]:
        shown |= _shown(session, project, before, after, asked)
    return render(
        request,
        "datasets/compare.html",
        project=project,
        section="snapshots",
        choices=choices,
        before=before,
        after=after,
        **shown,
    )


def _seen(session: Session, user: User, snapshot_id: UUID | str | None) -> Snapshot | None:
    """The snapshot where the user may see it; for anybody else it is not there."""
    if not isinstance(snapshot_id, UUID):
        return None
    return viewed_snapshot(session, user, snapshot_id)


def _problem(before: Snapshot | None, after: Snapshot | None) -> str | None:
    for snapshot in (before, after):
        if snapshot is not None and snapshot.files_removed_at is not None:
            return f"The files of “{snapshot.name}” were removed: there is nothing to compare."
        if snapshot is not None and snapshot.path is None:
            why = f" {snapshot.error}" if snapshot.error else ""
            state = "failed" if snapshot.state is JobState.FAILED else f"is {snapshot.state}"
            return (
                f"“{snapshot.name}” {state} and has no files, so there is nothing to compare"
                f" yet.{why}"
            )
    if before is not None and after is not None and before.id == after.id:
        return "That is one and the same snapshot. Choose two."
    return None


def _shown(
    session: Session, project: Project, before: Snapshot, after: Snapshot, asked: CompareQuery
) -> JsonObject:
    kept = comparison_of(session, before=before, after=after)
    told = configs_told(kept.summary, before=before.name, after=after.name)
    shown: JsonObject = {
        "comparison": kept,
        "told": told,
        "headline": headline(told) if told else "",
        "moves": moves(told),
        "settings": changed_settings(before.recipe, after.recipe),
        "left_out": left_out_told(before.counts, after.counts),
        "kinds": list(Kind),
        "listed": None,
    }
    if kept.state is JobState.SUCCEEDED:
        shown["listed"] = _listed(kept, before, after, asked)
    return shown | dict(row_helpers(project.criteria))


def _listed(
    kept: SnapshotComparison, before: Snapshot, after: Snapshot, asked: CompareQuery
) -> JsonObject | None:
    """The differences of the config and kind asked for, else of the first that has any."""
    config, kind = _first(kept, asked)
    if config is None or kind is None:
        return None
    query = DifferencesQuery(
        config=config,
        kind=kind,
        what=asked.what,
        why=asked.why,
        q=asked.q,
        cursor=asked.start,
        limit=ROWS,
    )
    page, total = looking.differences_of(kept, query)

    def here(**changes: Any) -> str:
        fields = {
            "a": before.id, "b": after.id, "config": config.value, "kind": kind.value,
            "what": asked.what, "why": asked.why, "q": asked.q,
        } | changes  # fmt: skip
        return "?" + urlencode({name: value for name, value in fields.items() if value != ""})

    return {
        "config": config,
        "kind": kind,
        "what": asked.what,
        "why": asked.why,
        "q": asked.q,
        "start": asked.start,
        "page": page,
        "total": total,
        "rows": [_readable(row) for _, row in page.rows],
        "here": here,
        "changes": CHANGES,
        "why_words": {
            row["why"]: why_told(row["why"], kind, before=before.name, after=after.name)
            for _, row in page.rows
            if row["why"]
        },
    }


def _readable(difference: JsonObject) -> JsonObject:
    sides = {
        side: best_first(difference[side]) if difference[side] else None
        for side in ("before", "after")
    }
    return difference | sides


def _first(kept: SnapshotComparison, asked: CompareQuery) -> tuple[ConfigName | None, Kind | None]:
    if asked.config is not None and asked.kind is not None:
        return asked.config, asked.kind
    for config in ConfigName if asked.config is None else (asked.config,):
        for kind in Kind if asked.kind is None else (asked.kind,):
            if looking.number_of(kept, config, kind):
                return config, kind
    return None, None
