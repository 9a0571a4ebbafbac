"""What the page of agreement shows: every field, and one of them part by part."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.db import JsonObject
from app.projects.models import Project
from app.quality.models import Part
from app.quality.queries.people import names_of
from app.quality.rules.fields import FIGURES
from app.quality.rules.verdict import BAND
from app.quality.service.dashboard import FIELD_LABELS
from app.quality.service.summary import View

MATRIX_PEOPLE = 30
MOST_DOTS = 24  # in the chart of parts that are no times
SHARES = ("percent_agreement", "percent_agreement_no_ties", "top_1_agreement")
COUNTS = ("n_tasks", "n_shared_tasks", "n_annotations", "n_annotators")
IN_TIME = (Part.WEEK, Part.DAY)


@dataclass(frozen=True, slots=True)
class PartRow:
    """One part of a breakdown: `people` are the two of a pair; figures are of the chosen field."""

    key: str
    label: str
    people: Sequence[tuple[str, str]]
    figures: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Parts:
    """between: two groups and how far they say the same, in the chosen field."""

    rows: Sequence[PartRow]
    reason: str | None
    between: Sequence[tuple[str, str, Mapping[str, Any]]]


def field_labels(project: Project) -> dict[str, str]:
    """The fields that the project has, as people call them."""
    labels = {"ranking": FIELD_LABELS["ranking"]}
    if project.strength_levels:
        labels["strength"] = FIELD_LABELS["strength"]
    return labels | {
        f"criterion:{criterion['key']}": criterion["label"] for criterion in project.criteria
    }


def parts_of(session: Session, *, view: View, part: Part, field: str, figure: str) -> Parts:
    """The parts in the order in which they are read."""
    groups = [group for group in view.figures["groups"] if field in group["fields"]]
    names = names_of(session, user_ids={user for group in groups for user in _people(group)})
    rows = [_row(group, part, field, names) for group in groups]
    if part is Part.GUIDELINES_VERSION:
        rows.sort(key=lambda row: int(row.key))
    elif part is Part.ANNOTATOR_PAIR:
        rows.sort(key=lambda row: _least_first(row.figures[figure]))
    return Parts(
        rows=rows,
        reason=view.figures.get("reason"),
        between=[
            (*between["groups"], between["fields"][field])
            for between in view.figures.get("between", [])
        ],
    )


def _people(group: JsonObject) -> list[str]:
    return [str(user_id) for user_id in group.get("user_ids", ())]


def _least_first(figure: Mapping[str, Any]) -> tuple[bool, bool, float]:
    """Those with too few tasks for an interval come after the others."""
    return figure["value"] is None, figure["low"] is None, figure["value"] or 0.0


def _row(group: JsonObject, part: Part, field: str, names: Mapping[UUID, str]) -> PartRow:
    people = [(user_id, names.get(UUID(user_id), "?")) for user_id in _people(group)]
    label = " and ".join(name for _, name in people) or group["key"] or f"No {part.value}"
    return PartRow(group["key"], label, people, group["fields"][field])


def charts_of(rows: Sequence[PartRow], *, part: Part, field: str, figure: str) -> dict[str, Any]:
    """Data of the script of the page; parts without the figure are in the table alone."""
    shown = [row for row in rows if row.figures[figure]["value"] is not None]
    charts = {
        "parts": _dots(
            ((_names(row), row.figures) for row in _most(shown, part)), field=field, figure=figure
        )
        | {"inTime": part in IN_TIME}
    }
    if part is Part.ANNOTATOR_PAIR:
        charts["matrix"] = _matrix(shown, figure)
    return charts


def fields_chart(fields: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Krippendorff's alpha of every field."""
    figure = "krippendorff_alpha"
    defined = [
        ([label], field) for label, field in fields.items() if field[figure]["value"] is not None
    ]
    return _dots(defined, field="", figure=figure) | {"inTime": False}


def _names(row: PartRow) -> Sequence[str]:
    return [name for _, name in row.people] or [row.label]


def _most(rows: Sequence[PartRow], part: Part) -> Sequence[PartRow]:
    return rows if part in IN_TIME else rows[:MOST_DOTS]


def _dots(
    rows: Iterable[tuple[Sequence[str], Mapping[str, Any]]], *, field: str, figure: str
) -> dict[str, Any]:
    """The band and the line of chance stand only where they mean something."""
    decisive = figure == "percent_agreement_no_ties" and field == "ranking"
    return {
        "isShare": figure in SHARES,
        "band": BAND if decisive else None,
        "chance": 0.5 if decisive else None if figure in SHARES else 0,
        "rows": [
            {
                "label": " and ".join(names),
                "names": names,
                "tasks": figures["n_shared_tasks"],
                **{name: figures[figure][name] for name in ("value", "low", "high")},
            }
            for names, figures in rows
        ],
    }


def _matrix(rows: Sequence[PartRow], figure: str) -> dict[str, Any]:
    """Every two of the people with most tasks in common."""
    tasks: dict[str, int] = {}
    names: dict[str, str] = {}
    for row in rows:
        for user_id, name in row.people:
            names[user_id] = name
            tasks[user_id] = tasks.get(user_id, 0) + row.figures["n_shared_tasks"]
    busiest = sorted(tasks, key=lambda user_id: -tasks[user_id])[:MATRIX_PEOPLE]
    busiest.sort(key=lambda user_id: names[user_id].lower())
    place = {user_id: number for number, user_id in enumerate(busiest)}
    size = len(busiest)
    values: list[list[float | None]] = [[None] * size for _ in range(size)]
    shared = [[0] * size for _ in range(size)]
    for row in rows:
        places = [place.get(user_id) for user_id, _ in row.people]
        if None in places:
            continue
        one, other = (number for number in places if number is not None)
        values[one][other] = values[other][one] = row.figures[figure]["value"]
        shared[one][other] = shared[other][one] = row.figures["n_shared_tasks"]
    return {
        "names": [names[user_id] for user_id in busiest],
        "values": values,
        "tasks": shared,
        "isShare": figure in SHARES,
    }


HEADER = (
    "part",
    *COUNTS,
    *(f"{figure}{end}" for figure in FIGURES for end in ("", "_low", "_high")),
    "not_defined",
)


def table_of(overall: Mapping[str, Any], rows: Sequence[PartRow]) -> list[list[Any]]:
    """A row for everything and one per part, under `HEADER`."""
    return [_cells("all", overall), *(_cells(row.label, row.figures) for row in rows)]


def _cells(label: str, field: Mapping[str, Any]) -> list[Any]:
    figures = [field[figure][name] for figure in FIGURES for name in ("value", "low", "high")]
    missing = [
        f"{figure}: {field[figure].get('reason')}"
        for figure in FIGURES
        if field[figure]["value"] is None
    ]
    return [label, *(field[count] for count in COUNTS), *figures, " ".join(missing)]
