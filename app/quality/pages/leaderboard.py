"""Which source of responses is better: over all, at equal length, and by tag."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, Response

from app.db import SessionDep
from app.errors import found
from app.projects.auth import ViewerProject
from app.quality.models import Part
from app.quality.service import leaderboard as service
from app.quality.service import summary
from app.web import render
from app.web.tables import csv_reply

router = APIRouter(include_in_schema=False)

BOUNDS = ("value", "low", "high")
ENTRY = (
    "source", "score", "low", "high", "best_rank", "worst_rank", "comparisons", "wins", "ties",
    "losses", "win_share",
)  # fmt: skip


@router.get("/projects/{project_id}/leaderboard", name="leaderboard")
def leaderboard(request: Request, session: SessionDep, project: ViewerProject) -> HTMLResponse:
    """Which model behind the responses people prefer."""
    view = summary.current(session, project=project, part=Part.LEADERBOARD)
    return render(
        request,
        "quality/leaderboard.html",
        charts=True,
        project=project,
        section="overview",
        view=view,
        board=view and view.figures,
        headline=view and service.headline(view),
        about_length=view and service.length_in_words(view),
        at_equal_length=view and service.at_equal_length(view),
        about_tags=view and service.tags_in_words(view),
        data=view and service.charts(view),
    )


@router.get("/projects/{project_id}/leaderboard.csv", name="leaderboard_csv")
def leaderboard_csv(
    session: SessionDep,
    project: ViewerProject,
    by: Annotated[Literal["tag"] | None, Query()] = None,
) -> Response:
    """Every source with its score, also at equal length; or the sources by tag."""
    view = found(summary.current(session, project=project, part=Part.LEADERBOARD, wait=True))
    board = view.figures
    if by == "tag":
        rows = [
            (part["tag"], *row) for part in board["by_tag"] for row in _rows(part, part["apart"])
        ]
        return csv_reply("leaderboard-by-tag", ("tag", *ENTRY, "apart"), rows)
    equal = service.at_equal_length(view)
    header = (*ENTRY, "apart", *(f"at_equal_length{end}" for end in ("", "_low", "_high")))
    rows = [
        (*row, *(equal.get(row[0], {}).get(bound) for bound in BOUNDS))
        for row in _rows(board, board["apart"])
    ]
    return csv_reply("leaderboard", header, rows)


def _rows(board: Mapping[str, Any], apart: list[dict[str, str]]) -> Iterator[tuple[Any, ...]]:
    """As in ENTRY, and why a source stands apart."""
    for entry in board["entries"]:
        yield (
            entry["source"],
            *(entry["score"][bound] for bound in BOUNDS),
            *entry["rank"],
            entry["n_comparisons"],
            entry["wins"],
            entry["ties"],
            entry["losses"],
            entry["win_share"],
            None,
        )
    for each in apart:
        yield (each["source"], *(None,) * (len(ENTRY) - 1), each["why"])
