"""Runs beside each other: curves, results, and the settings that differ."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse

from app.db import SessionDep
from app.errors import NotFound
from app.projects.auth import ViewerProject
from app.runs import formats, queries, rules
from app.web import render

router = APIRouter(include_in_schema=False)


@router.get("/projects/{project_id}/runs/compare", name="compare_runs")
def compare_runs(
    request: Request,
    session: SessionDep,
    project: ViewerProject,
    run: Annotated[list[UUID], Query(max_length=200)] = [],  # noqa: B006 - FastAPI copies it
) -> HTMLResponse:
    """Up to ten runs; with fewer than two, the page lets choose them."""
    chosen = queries.runs_in(session, project=project, ids=run)
    if len(chosen) < len(set(run)):
        raise NotFound("One of these runs is not in this project.")
    runs = chosen[: formats.MOST]
    sides = [formats.Side(**side) for side in queries.sides_of(session, runs=runs)]
    return render(
        request,
        "runs/compare.html",
        charts=True,
        project=project,
        section="runs",
        runs=runs,
        left_out=chosen[formats.MOST :],
        others=queries.runs_of(session, project=project, limit=200),
        settings=formats.settings_of(sides) if sides else [],
        figures=formats.figures_of(sides),
        evaluations=formats.evaluations_of(sides),
        curves=[chart.as_json() for chart in formats.charts_together(sides)],
        rules=rules,
    )
