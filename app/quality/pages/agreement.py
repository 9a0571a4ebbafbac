"""How far people agree: field by field, and part by part."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import NoMatchFound

from app.db import SessionDep
from app.errors import NotFound, found
from app.projects.auth import ViewerProject
from app.quality.models import Part
from app.quality.service import agreement, summary
from app.web import render
from app.web.tables import csv_reply

router = APIRouter(include_in_schema=False)

By = Literal["week", "day", "source", "tag", "guidelines_version", "group", "annotator_pair"]
Figure = Literal[
    "percent_agreement_no_ties",
    "percent_agreement",
    "krippendorff_alpha",
    "gwet_ac",
    "fleiss_kappa",
    "cohen_kappa",
    "kendall_tau_b",
    "kendall_w",
    "top_1_agreement",
]
FieldKey = Annotated[str, Query(max_length=200)]


def _usual(field: str, figure: Figure | None) -> Figure:
    """What is shown of a field unless another is asked for: steps are more or less far apart."""
    if figure is not None:
        return figure
    return "percent_agreement_no_ties" if field == "ranking" else "krippendorff_alpha"


@router.get("/projects/{project_id}/agreement", name="agreement")
def agreement_page(
    request: Request,
    session: SessionDep,
    project: ViewerProject,
    by: By = "week",
    field: FieldKey = "ranking",
    figure: Figure | None = None,
) -> HTMLResponse:
    labels = agreement.field_labels(project)
    field = _known(field, labels, by)
    chosen = _usual(field, figure)
    view = summary.current(session, project=project)
    kept = summary.current(session, project=project, part=Part(by)) if view else None
    context: dict[str, Any] = {"fields": {}, "fields_chart": None, "parts": None, "charts_data": {}}
    if view:
        all_fields = view.figures["fields"]
        context["fields"] = {
            labels[name]: all_fields[name] for name in labels if name in all_fields
        }
        context["fields_chart"] = agreement.fields_chart(context["fields"])
    if kept:
        parts = agreement.parts_of(session, view=kept, part=Part(by), field=field, figure=chosen)
        charts = agreement.charts_of(parts.rows, part=Part(by), field=field, figure=chosen)
        context |= {"parts": parts, "charts_data": charts}
    return render(
        request,
        "quality/agreement.html",
        charts=True,
        project=project,
        section="overview",
        view=summary.oldest(view, kept) if view and kept else view,
        kept=kept,
        by=by,
        field=field,
        figure=chosen,
        labels=labels,
        has_days=_has_page(request, "quality_day"),
        **context,
    )


@router.get("/projects/{project_id}/agreement.csv", name="agreement_csv")
def agreement_csv(
    session: SessionDep,
    project: ViewerProject,
    by: By = "week",
    field: FieldKey = "ranking",
    figure: Figure | None = None,
) -> Response:
    """The table of the page with every figure; the first row is everything together."""
    field = _known(field, agreement.field_labels(project), by)
    overall = found(summary.current(session, project=project, wait=True))
    view = found(summary.current(session, project=project, part=Part(by), wait=True))
    parts = agreement.parts_of(
        session, view=view, part=Part(by), field=field, figure=_usual(field, figure)
    )
    rows = agreement.table_of(found(overall.figures["fields"].get(field)), parts.rows)
    return csv_reply(f"agreement-{_file_name(by, field)}", agreement.HEADER, rows)


def _known(field: str, labels: dict[str, str], by: By) -> str:
    """The field, if the project has it; the days have the ranking alone."""
    if field not in labels:
        raise NotFound
    return "ranking" if by == "day" else field


def _file_name(by: By, field: str) -> str:
    plain = "".join(char if char.isascii() and char.isalnum() else "-" for char in field)
    return f"{plain}-by-{by}".lower()


def _has_page(request: Request, name: str) -> bool:
    """Whether a day has a page of its own, which the dashboard brings."""
    try:
        request.app.url_path_for(name, project_id="0", day="2026-01-01")
    except NoMatchFound:
        return False
    return True
