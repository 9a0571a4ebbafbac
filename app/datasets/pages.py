"""Snapshots as pages: the list, the recipe editor with live counts, and what was frozen."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from app.accounts.auth import CurrentUser
from app.accounts.models import Role
from app.datasets import queries, service
from app.datasets.auth import AdminPageSnapshot, PageSnapshot
from app.datasets.formats.problems import field_problems
from app.datasets.formats.reading import first_rows
from app.datasets.formats.refused import REFUSED, first_refused
from app.datasets.formats.summary import Summary, summary
from app.datasets.models import Snapshot
from app.datasets.rules.counts import REASONS
from app.datasets.rules.rows import ConfigName
from app.datasets.schemas import Recipe, RecipeForm
from app.db import JsonObject, SessionDep
from app.errors import AppError
from app.projects.auth import AdminProject, ProjectRole, ViewerProject
from app.projects.models import Project
from app.projects.queries import excluded_members
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


@router.get("/projects/{project_id}/snapshots/new", name="new_snapshot")
def new_snapshot(
    request: Request,
    session: SessionDep,
    project: AdminProject,
    form: Annotated[RecipeForm, Query()],
) -> HTMLResponse:
    """The recipe editor; the button for counts leads here as well, without JavaScript."""
    seen = _preview(session, project, form)
    return _editor(request, session, project, form, seen=seen)


@router.get("/projects/{project_id}/snapshots/preview", name="preview_recipe")
def preview_recipe(
    session: SessionDep, project: AdminProject, form: Annotated[RecipeForm, Query()]
) -> JSONResponse:
    """What the recipe in the editor would give, in words: read by the page while it is edited."""
    return JSONResponse(_preview(session, project, form))


@router.post("/projects/{project_id}/snapshots", name="create_snapshot_page", response_model=None)
def create_snapshot_page(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    form: Annotated[RecipeForm, Form()],
) -> Response:
    try:
        snapshot = service.request(
            session, project=project, recipe=form.recipe(), name=form.name, by=user
        )
    except (ValidationError, AppError) as error:
        return _editor(request, session, project, form, seen=_mistakes(error), status=422)
    return redirect(request, "snapshot", project_id=project.id, snapshot_id=snapshot.id)


@router.get("/projects/{project_id}/snapshots/{snapshot_id}", name="snapshot")
def snapshot_page(
    request: Request,
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
        settings=_settings(snapshot),
        shown=shown,
        rows=_rows(snapshot, shown) if shown else [],
        refused=_refused(snapshot),
        because=REASONS,
        may_freeze=role is Role.ADMIN,
    )


@router.post("/projects/{project_id}/snapshots/{snapshot_id}/retry", name="retry_snapshot")
def retry_snapshot(
    request: Request, session: SessionDep, project: AdminProject, snapshot: AdminPageSnapshot
) -> RedirectResponse:
    service.retry(session, snapshot=snapshot)
    return redirect(request, "snapshot", project_id=project.id, snapshot_id=snapshot.id)


def _editor(
    request: Request,
    session: Session,
    project: Project,
    form: RecipeForm,
    *,
    seen: JsonObject,
    status: int = 200,
) -> HTMLResponse:
    return render(
        request,
        "datasets/new_snapshot.html",
        status=status,
        project=project,
        section="snapshots",
        form=form,
        seen=seen,
        people=queries.annotators_of(session, project=project),
        kept_out=excluded_members(session, project=project),
        versions=queries.guidelines_versions(session, project=project),
    )


def _preview(session: Session, project: Project, form: RecipeForm) -> JsonObject:
    """A summary with `errors`, and `sample`: how much of the project it rests on, unless all."""
    try:
        seen = service.preview(session, project=project, recipe=form.recipe())
    except (ValidationError, AppError) as error:
        return _mistakes(error)
    sample = (
        f"From {seen.looked_at:,} of {seen.prompts:,} prompts, as good as drawn at random."
        if seen.is_sample
        else None
    )
    return {**summary(seen.counts, seen.quality).as_json(), "sample": sample, "errors": []}


def _mistakes(error: ValidationError | AppError) -> JsonObject:
    problems = [("", error.detail)] if isinstance(error, AppError) else field_problems(error)
    return {
        **Summary(headline="", agreement="", configs=[], left_out=[]).as_json(),
        "sample": None,
        "errors": [{"field": field, "message": message} for field, message in problems],
    }


def _settings(snapshot: Snapshot) -> list[tuple[str, str, bool]]:
    """(setting, value, whether it differs from the default) of the recipe."""
    return [
        (name, _in_words(snapshot.recipe[name]), snapshot.recipe[name] != default)
        for name, default in Recipe().as_json().items()
        if name in snapshot.recipe
    ]


def _in_words(value: Any) -> str:
    if value is None or value == []:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return str(value)


def _rows(snapshot: Snapshot, config: str) -> list[JsonObject]:
    for file in snapshot.files:
        if str(file["path"]).startswith(f"{config}/"):
            rows = first_rows(f"{snapshot.path}/{file['path']}", limit=ROWS_SHOWN)
            return [_best_first(row) for row in rows]
    return []


def _refused(snapshot: Snapshot) -> list[JsonObject]:
    """The first rows that a format could not hold."""
    if all(file["path"] != REFUSED for file in snapshot.files):
        return []
    return first_refused(f"{snapshot.path}", limit=REFUSED_SHOWN)


def _best_first(row: JsonObject) -> JsonObject:
    """A ranking as people read it; in the file its responses are in the order of their ids."""
    if "ranks" not in row:
        return row
    order = sorted(range(len(row["ranks"])), key=row["ranks"].__getitem__)
    return row | {key: [row[key][place] for place in order] for key in ("responses", "ranks")}
