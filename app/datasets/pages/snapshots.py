"""Snapshots as pages: the list, and what was frozen."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse

from app.accounts.models import Role
from app.datasets import queries, service
from app.datasets.auth import AdminPageSnapshot, PageSnapshot
from app.datasets.formats.prompt_ids import prompt_id_of
from app.datasets.formats.reading import first_rows
from app.datasets.formats.refused import REFUSED, first_refused
from app.datasets.formats.summary import summary
from app.datasets.models import Snapshot
from app.datasets.pages.about import about
from app.datasets.pages.looking import best_first
from app.datasets.queries import recipes
from app.datasets.rules.counts import REASONS
from app.datasets.rules.rows import ConfigName
from app.datasets.rules.warnings import warnings
from app.datasets.schemas import Recipe
from app.db import JsonObject, SessionDep
from app.projects.auth import AdminProject, ProjectRole, ViewerProject
from app.web import redirect, render

router = APIRouter(include_in_schema=False)

ROWS_SHOWN = 5
REFUSED_SHOWN = 20


@router.get("/projects/{project_id}/snapshots", name="snapshots")
def snapshots(
    request: Request, session: SessionDep, project: ViewerProject, role: ProjectRole
) -> HTMLResponse:
    return render(
        request,
        "datasets/snapshots.html",
        project=project,
        section="snapshots",
        snapshots=queries.snapshots_of(session, project=project),
        may_freeze=role is Role.ADMIN,
        has_prompts=queries.number_of_prompts(session, project=project) > 0,
    )


@router.get("/projects/{project_id}/snapshots/{snapshot_id}", name="snapshot")
def snapshot_page(
    request: Request,
    session: SessionDep,
    project: ViewerProject,
    role: ProjectRole,
    snapshot: PageSnapshot,
    config: ConfigName | None = None,
) -> HTMLResponse:
    """Counts, figures, files and a look at the first rows."""
    held = snapshot.counts.get("rows", {})
    first = next((name.value for name in ConfigName if name.value in held), None)
    shown = config.value if config and config.value in held else first
    return render(
        request,
        "datasets/snapshot.html",
        project=project,
        section="snapshots",
        snapshot=snapshot,
        summary=summary(snapshot.counts, snapshot.quality) if snapshot.counts else None,
        twin=recipes.twins_of(session, snapshots=[snapshot]).get(snapshot.id),
        warnings=_warnings(snapshot),
        settings=_settings(snapshot),
        shown=shown,
        rows=_rows(snapshot, shown) if shown else [],
        refused=_refused(snapshot),
        because=REASONS,
        held_rows=sum(held[shown].values()) if shown else 0,
        may_freeze=role is Role.ADMIN,
        replaced=session.get(Snapshot, snapshot.replaces_id) if snapshot.replaces_id else None,
        replacement=queries.replacement_of(session, snapshot=snapshot),
        **about(request, session, project=project, snapshot=snapshot),
    )


@router.post("/projects/{project_id}/snapshots/{snapshot_id}/retry", name="retry_snapshot")
def retry_snapshot(
    request: Request, session: SessionDep, project: AdminProject, snapshot: AdminPageSnapshot
) -> RedirectResponse:
    service.retry(session, snapshot=snapshot)
    return redirect(request, "snapshot", project_id=project.id, snapshot_id=snapshot.id)


def _settings(snapshot: Snapshot) -> list[tuple[str, str, bool]]:
    """(setting, value, whether it differs from the default) of the recipe."""
    return [
        (name, _in_words(snapshot.recipe[name]), snapshot.recipe[name] != default)
        for name, default in Recipe().as_json().items()
        if name in snapshot.recipe
    ]


def _warnings(snapshot: Snapshot) -> list[str]:
    if not snapshot.counts:
        return []
    return warnings(snapshot.counts, snapshot.quality, recipe=Recipe().as_json() | snapshot.recipe)


def _in_words(value: Any) -> str:
    if value is None or value == []:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return str(value)


def _rows(snapshot: Snapshot, config: str) -> list[tuple[str, JsonObject]]:
    """The first rows with the ids of their prompts."""
    if snapshot.folder is None:
        return []
    for file in snapshot.files:
        if str(file["path"]).startswith(f"{config}/"):
            rows = first_rows(f"{snapshot.folder}/{file['path']}", limit=ROWS_SHOWN)
            return [(prompt_id_of(ConfigName(config), row), best_first(row)) for row in rows]
    return []


def _refused(snapshot: Snapshot) -> list[JsonObject]:
    """The first rows that a format could not hold."""
    if snapshot.folder is None or all(file["path"] != REFUSED for file in snapshot.files):
        return []
    return first_refused(snapshot.folder, limit=REFUSED_SHOWN)
