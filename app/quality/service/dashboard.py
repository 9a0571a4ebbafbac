"""Everything the first page of a project shows, from kept figures and a few live rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.db import JsonObject, database_now
from app.projects.models import Project
from app.projects.queries import Progress, progress_of
from app.quality.queries import people as queries
from app.quality.queries.people import DisputedGold
from app.quality.queries.review import TaskLine, task_lines
from app.quality.rules import comparing
from app.quality.rules import trend as trends
from app.quality.rules.intervals import Figure
from app.quality.rules.money import Entry
from app.quality.rules.verdict import BAND, Change, Evidence, Span, Verdict, judge, span_of
from app.quality.schemas.agreement import FieldOut, FigureOut
from app.quality.schemas.dashboard import (
    DashboardOut,
    DisputedOut,
    HadOut,
    NowOut,
    TrendDayOut,
    VerdictOut,
)
from app.quality.schemas.days import EventOut
from app.quality.schemas.people import AnnotatorOut
from app.quality.service import trend
from app.quality.service.annotators import annotators
from app.quality.service.daily import sums_from
from app.quality.service.spending import cost_of, cost_out, entries_of, forecast_out
from app.quality.service.summary import View

FIELD_LABELS = {"ranking": "Ranking", "strength": "Strength of preference"}
MOST_DISPUTED = 8


@dataclass(frozen=True, slots=True)
class DisputedTask:
    line: TaskLine
    disagreement: float
    n_annotations: int


@dataclass(frozen=True, slots=True)
class Dashboard:
    """`out`: the numbers as the API has them; fields: label → figures.

    charts: name → data of the script of the page; answers: name → what the chart says; is_today:
    whether the figures are of this day, which those of a large project are not until computed.
    """

    out: DashboardOut
    is_today: bool
    n_gold: int
    ranking: Mapping[str, Any]
    fields: Mapping[str, Mapping[str, Any]]
    suspended: Sequence[DisputedGold]
    answers: Mapping[str, str]
    charts: Mapping[str, Any]


def dashboard(session: Session, *, project: Project, view: View) -> Dashboard:
    kept = view.figures["daily"]
    is_today = kept["today"] == database_now(session).date().isoformat()
    people = annotators(session, project=project, view=view)
    n_gold = queries.n_gold(session, project=project)
    gold = queries.gold_answers(session, project=project)
    progress = progress_of(session, projects=[project])[project.id]
    suspended = [key for key in gold if key.suspended_at is not None]
    entries = entries_of(kept)
    points = trends.points(
        [(date.fromisoformat(each["day"]), sums_from(each["sums"])) for each in kept["days"]]
    )
    now = trend.now(kept, entries)
    days = trend.days(kept, entries, points)
    events = trend.events(session, project=project, days=days)
    usual = view.figures["fields"]["ranking"]["percent_agreement_no_ties"]
    out = DashboardOut(
        as_of=view.computed_at,
        is_current=view.is_current,
        verdict=_verdict(judge(_evidence(view, people, n_gold, now, is_today=is_today))),
        progress=HadOut(tasks=progress.tasks, wanted=progress.wanted, counted=progress.counted),
        now=now,
        days=days,
        usual=FigureOut.model_validate(usual),
        events=events,
        people_to_look_at=trend.looks(kept, people),
        suspended_gold=[str(key.task_id) for key in suspended],
        disputed=[
            DisputedOut(
                task_id=str(task.line.task_id),
                opening=task.line.opening,
                disagreement=task.disagreement,
                n_annotations=task.n_annotations,
                adjudicated_at=task.line.adjudicated_at,
            )
            for task in disputed_tasks(session, view=view, start=0, limit=MOST_DISPUTED)
        ],
        **_spending(project, kept, entries, progress),
        fields={
            name: FieldOut.model_validate(field) for name, field in view.figures["fields"].items()
        },
    )
    return Dashboard(
        out=out,
        is_today=is_today,
        n_gold=n_gold,
        ranking=view.figures["fields"]["ranking"],
        fields=_labelled(project, view),
        suspended=suspended,
        answers={
            "agreement": trends.in_words(
                points, usual["value"], marks=[each.at.date() for each in events]
            ),
            "days": trends.volume_in_words(view.figures["days"]),
            "gold": trends.gold_in_words(
                [(person.name, person.standing) for person in people if person.gold_seen]
            ),
        },
        charts=_charts(project, view, people, days, events),
    )


def _spending(
    project: Project, kept: JsonObject, entries: Sequence[Entry], progress: Progress
) -> dict[str, Any]:
    spent = cost_of(project, kept)
    today = date.fromisoformat(kept["today"])
    return {
        "cost": cost_out(spent),
        "forecast": forecast_out(project, progress, entries, spent, today=today),
    }


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


# -- the verdict


def _verdict(found: Verdict) -> VerdictOut:
    return VerdictOut(trust=found.trust.value, sentence=found.sentence, reasons=list(found.reasons))


def _evidence(
    view: View, people: Sequence[AnnotatorOut], n_gold: int, now: NowOut, *, is_today: bool
) -> Evidence:
    ranking = view.figures["fields"]["ranking"]
    failed = [person for person in people if person.standing == "failed"]
    by_failed = sum(person.n_annotations for person in failed)
    span = span_of(today=now.today.n_shared_tasks if is_today else 0, week=now.week.n_shared_tasks)
    chosen = {Span.TODAY: now.today, Span.WEEK: now.week}.get(span)
    return Evidence(
        n_annotations=ranking["n_annotations"],
        n_shared_tasks=chosen.n_shared_tasks if chosen else ranking["n_shared_tasks"],
        agreement=_figure(
            chosen.agreement.model_dump() if chosen else ranking["percent_agreement_no_ties"]
        ),
        span=span,
        change=_change(now),
        n_failed=len(failed),
        n_warned=sum(person.standing == "warned" for person in people),
        failed_share=by_failed / max(1, ranking["n_annotations"]),
        n_gold=n_gold,
    )


def _change(now: NowOut) -> Change | None:
    week, before, change = now.week.agreement.value, now.before.agreement.value, now.change
    if week is None or before is None or change is None:
        return None
    return Change(week, before, comparing.Difference(change.value, change.low, change.high))


def _figure(wire: Mapping[str, Any]) -> Figure:
    return Figure(wire["value"], wire["low"], wire["high"], wire.get("reason"))


def _labelled(project: Project, view: View) -> dict[str, Mapping[str, Any]]:
    labels = FIELD_LABELS | {
        f"criterion:{criterion['key']}": criterion["label"] for criterion in project.criteria
    }
    return {labels.get(name, name): field for name, field in view.figures["fields"].items()}


# -- charts


def _charts(
    project: Project,
    view: View,
    people: Sequence[AnnotatorOut],
    days: Sequence[TrendDayOut],
    events: Sequence[EventOut],
) -> dict[str, Any]:
    return {
        "agreement": {
            "band": BAND,
            "address": f"/projects/{project.id}/days/",
            "days": [
                {
                    "day": each.day.isoformat(),
                    "tasks": each.n_shared_tasks,
                    "number": each.n_annotations,
                    "low_day": each.is_low,
                    **each.agreement.model_dump(exclude={"reason"}),
                }
                for each in days
            ],
            "marks": [
                {"at": event.at.isoformat(), "what": event.what, "version": event.version}
                for event in events
            ],
        },
        "days": [{"day": day, "number": number} for day, number in view.figures["days"]],
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
    }
