"""Everything the first page of a project shows, from kept figures and live rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.projects.models import Project
from app.projects.queries import Progress, progress_of
from app.quality.queries import people as queries
from app.quality.queries.people import DisputedGold
from app.quality.queries.review import TaskLine, task_lines
from app.quality.rules.intervals import Figure
from app.quality.rules.verdict import BAND, Evidence, Verdict, judge
from app.quality.schemas.people import AnnotatorOut
from app.quality.service.annotators import annotators
from app.quality.service.summary import View

FIELD_LABELS = {"ranking": "Ranking", "strength": "Strength of preference"}


@dataclass(frozen=True, slots=True)
class DisputedTask:
    line: TaskLine
    disagreement: float
    n_annotations: int


@dataclass(frozen=True, slots=True)
class Dashboard:
    """fields: label → figures as JSON; charts: name → data of the script of the page."""

    verdict: Verdict
    progress: Progress
    n_gold: int
    ranking: Mapping[str, Any]
    fields: Mapping[str, Mapping[str, Any]]
    people: Sequence[AnnotatorOut]
    disputed: Sequence[DisputedTask]
    suspended: Sequence[DisputedGold]
    charts: Mapping[str, Any]


def dashboard(session: Session, *, project: Project, view: View) -> Dashboard:
    people = annotators(session, project=project, view=view)
    n_gold = queries.n_gold(session, project=project)
    gold = queries.gold_answers(session, project=project)
    return Dashboard(
        verdict=judge(_evidence(view, people, n_gold)),
        progress=progress_of(session, projects=[project])[project.id],
        n_gold=n_gold,
        ranking=view.figures["fields"]["ranking"],
        fields=_labelled(project, view),
        people=people,
        disputed=disputed_tasks(session, view=view, start=0, limit=8),
        suspended=[key for key in gold if key.suspended_at is not None],
        charts=_charts(project, view, people),
    )


def disputed_tasks(session: Session, *, view: View, start: int, limit: int) -> list[DisputedTask]:
    """Part of the list of shared tasks that people judge differently, most disputed first."""
    chosen = [task for task in view.figures["disputed"] if task["disagreement"] > 0]
    part = chosen[start : start + limit]
    lines = task_lines(session, task_ids=[UUID(task["task_id"]) for task in part])
    return [
        DisputedTask(lines[task_id], task["disagreement"], task["n_annotations"])
        for task in part
        if (task_id := UUID(task["task_id"])) in lines
    ]


def _figure(wire: Mapping[str, Any]) -> Figure:
    return Figure(wire["value"], wire["low"], wire["high"], wire.get("reason"))


def _evidence(view: View, people: Sequence[AnnotatorOut], n_gold: int) -> Evidence:
    ranking, weeks = view.figures["fields"]["ranking"], view.figures["weeks"]
    failed = [person for person in people if person.standing == "failed"]
    by_failed = sum(person.n_annotations for person in failed)
    latest = weeks[-1]["fields"]["ranking"] if len(weeks) > 1 else None
    return Evidence(
        n_annotations=ranking["n_annotations"],
        n_shared_tasks=ranking["n_shared_tasks"],
        agreement=_figure(ranking["percent_agreement_no_ties"]),
        recent=_figure(latest["percent_agreement_no_ties"]) if latest else None,
        n_failed=len(failed),
        n_warned=sum(person.standing == "warned" for person in people),
        failed_share=by_failed / max(1, ranking["n_annotations"]),
        n_gold=n_gold,
    )


def _labelled(project: Project, view: View) -> dict[str, Mapping[str, Any]]:
    labels = FIELD_LABELS | {
        f"criterion:{criterion['key']}": criterion["label"] for criterion in project.criteria
    }
    return {labels.get(name, name): field for name, field in view.figures["fields"].items()}


def _charts(project: Project, view: View, people: Sequence[AnnotatorOut]) -> dict[str, Any]:
    names = {person.user_id: person.name for person in people}
    matrix = view.figures["matrix"]
    return {
        "days": [{"day": day, "number": number} for day, number in view.figures["days"]],
        "weeks": {
            "band": BAND,
            "weeks": [
                {
                    "week": week["key"],
                    "tasks": week["fields"]["ranking"]["n_shared_tasks"],
                    **week["fields"]["ranking"]["percent_agreement_no_ties"],
                }
                for week in view.figures["weeks"]
            ],
        },
        "gold": {
            "threshold": project.gold_threshold,
            "people": [
                {
                    "name": person.name,
                    "seen": person.gold_seen,
                    "passed": person.gold_passed,
                    "standing": person.standing,
                    **person.gold_posterior.model_dump(exclude={"reason"}),
                }
                for person in sorted(people, key=lambda person: person.gold_posterior.value or 0)
                if person.gold_seen
            ],
        },
        "matrix": {
            "names": [names.get(user_id, "?") for user_id in matrix["user_ids"]],
            "percent": matrix["percent_agreement"],
            "tasks": matrix["n_tasks"],
        },
    }
