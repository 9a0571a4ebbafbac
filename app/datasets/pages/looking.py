"""Looking into a frozen snapshot: its rows page by page, and what lies behind one of them."""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from markupsafe import Markup
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.accounts.auth import CurrentUser
from app.accounts.models import Role
from app.datasets.auth import AdminPageSnapshot, PageSnapshot
from app.datasets.formats.browsing import rows_page
from app.datasets.formats.folder import Folder
from app.datasets.formats.prompt_ids import prompt_id_of
from app.datasets.rules.identity import Split
from app.datasets.rules.rows import ConfigName, Row
from app.datasets.schemas.looking import RowFilters
from app.datasets.service import looking, removal
from app.datasets.service.tracing import SINCE, trace
from app.db import SessionDep
from app.projects.auth import AdminProject, ProjectRole, ViewerProject
from app.web import redirect, render
from app.web.difference import difference

router = APIRouter(include_in_schema=False)

ROWS = 20  # on a page
MOST_MARKED = 20_000  # characters of a text that are shown


class RowsPageQuery(RowFilters):
    """What the page of rows is asked for; `start` is the number of a row, from 0."""

    config: ConfigName | None = None
    split: Split | None = None
    start: Annotated[int, Query(ge=0, le=2**40)] = 0
    row: str = ""  # as people count, from 1
    mark: bool = False  # the words that differ

    def first_row(self, most: int) -> int:
        if self.row.strip().isdigit():
            return max(0, min(int(self.row) - 1, most - 1))
        return self.start if self.start < most else 0


@router.get(
    "/projects/{project_id}/snapshots/{snapshot_id}/rows", name="snapshot_rows", response_model=None
)
def snapshot_rows(
    request: Request,
    project: ViewerProject,
    snapshot: PageSnapshot,
    asked: Annotated[RowsPageQuery, Query()],
) -> Response:
    """The rows of one file; one that is not frozen has its page to say so."""
    if snapshot.folder is None:
        return redirect(request, "snapshot", project_id=project.id, snapshot_id=snapshot.id)
    folder = looking.folder_of(snapshot)
    held = _held(folder)
    config = asked.config if asked.config in held else next(iter(held))
    split = asked.split if asked.split in held[config] else next(iter(held[config]))
    file = folder.file(config, split)
    assert file is not None
    start = asked.first_row(file.rows)
    filters = looking.filters_of(asked)
    page = rows_page(folder, file, start=start, limit=ROWS, filters=filters)

    def here(**changes: Any) -> str:
        """The address of these rows with something else asked for."""
        kept = asked.model_dump(exclude={"row", "start"}, exclude_defaults=True, mode="json")
        kept |= {"config": config.value, "split": split.value} | changes
        return "?" + urlencode(
            {key: value for key, value in kept.items() if value not in ("", None)}
        )

    return render(
        request,
        "datasets/snapshot_rows.html",
        project=project,
        section="snapshots",
        snapshot=snapshot,
        held=held,
        config=config.value,
        split=split.value,
        total=file.rows,
        start=start,
        page=page,
        per_page=ROWS,
        rows=[(number, prompt_id_of(config, row), best_first(row)) for number, row in page.rows],
        asked=asked,
        is_filtered=filters.ask,
        here=here,
        **row_helpers(project.criteria),
    )


def _held(folder: Folder) -> dict[ConfigName, dict[Split, int]]:
    held: dict[ConfigName, dict[Split, int]] = {}
    for file in folder.files:
        held.setdefault(file.config, {})[file.split] = file.rows
    return held


def row_helpers(criteria: list[Any]) -> Mapping[str, Any]:
    """What the templates of rows need to show one."""
    return {"criteria": {each["key"]: each for each in criteria}, "marked": _marked}


def _marked(value: Any, other: Any) -> Markup:
    """A reply as it was written, with the words marked that the other one does not have."""
    return difference(_text(value)[:MOST_MARKED], _text(other)[:MOST_MARKED])


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "\n\n".join(str(message["content"]) for message in value)


def best_first(row: Row) -> Row:
    """A ranking as people read it; in the file its responses are in the order of their ids."""
    if "ranks" not in row:
        return row
    order = sorted(range(len(row["ranks"])), key=row["ranks"].__getitem__)
    return row | {key: [row[key][place] for place in order] for key in ("responses", "ranks")}


@router.get(
    "/projects/{project_id}/snapshots/{snapshot_id}/rows/{prompt_id}",
    name="snapshot_row",
    response_model=None,
)
def snapshot_row(
    request: Request,
    session: SessionDep,
    project: ViewerProject,
    role: ProjectRole,
    snapshot: PageSnapshot,
    prompt_id: str,
) -> Response:
    """Everything behind the rows of one prompt."""
    if snapshot.folder is None:
        return redirect(request, "snapshot", project_id=project.id, snapshot_id=snapshot.id)
    found = trace(session, project=project, snapshot=snapshot, prompt_id=prompt_id)
    return render(
        request,
        "datasets/snapshot_row.html",
        project=project,
        section="snapshots",
        snapshot=snapshot,
        trace=found,
        since_words=SINCE,
        rows=[(each.config.value, each.split.value, best_first(each.row)) for each in found.rows],
        named=role is Role.ADMIN,
        may_review=role in {Role.ADMIN, Role.REVIEWER},
        **row_helpers(project.criteria),
    )


@router.post("/projects/{project_id}/snapshots/{snapshot_id}/name", name="rename_snapshot_page")
def rename_snapshot(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    snapshot: AdminPageSnapshot,
    name: Annotated[str, Form(max_length=1_000)] = "",
) -> RedirectResponse:
    removal.rename(session, snapshot=snapshot, name=name, by=user)
    return redirect(request, "snapshot", project_id=project.id, snapshot_id=snapshot.id)


@router.get("/projects/{project_id}/snapshots/{snapshot_id}/delete", name="confirm_delete_snapshot")
def confirm_delete_snapshot(
    request: Request, session: SessionDep, project: AdminProject, snapshot: AdminPageSnapshot
) -> HTMLResponse:
    """What would go, before it goes."""
    return render(
        request,
        "datasets/delete_snapshot.html",
        project=project,
        section="snapshots",
        snapshot=snapshot,
        uses=looking.uses(session, snapshot),
        bytes=sum(int(file["bytes"]) for file in snapshot.files),
    )


@router.post("/projects/{project_id}/snapshots/{snapshot_id}/delete", name="delete_snapshot_page")
def delete_snapshot(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    snapshot: AdminPageSnapshot,
) -> RedirectResponse:
    removal.remove(session, snapshot=snapshot, by=user)
    return redirect(request, "snapshots", project_id=project.id)
