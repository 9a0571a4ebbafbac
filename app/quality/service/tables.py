"""The tables of the overview and of a day, as they leave as CSV: (header, rows)."""

from collections.abc import Iterable, Sequence
from typing import Any

from app.quality.schemas.agreement import FigureOut
from app.quality.schemas.dashboard import DashboardOut, PlanOut
from app.quality.schemas.days import DayOut

Table = tuple[Sequence[str], Iterable[Sequence[Any]]]

FIGURES = (
    "percent_agreement",
    "percent_agreement_no_ties",
    "krippendorff_alpha",
    "gwet_ac",
    "kendall_tau_b",
    "kendall_w",
)


def of_days(out: DashboardOut) -> Table:
    header = (
        "day", "judgements", "people", "tasks_shared", *_names("agreement"), "clearly_low",
        "gold_answered", "gold_passed", "minutes",
    )  # fmt: skip
    return header, [
        (
            each.day,
            each.n_annotations,
            each.n_annotators,
            each.n_shared_tasks,
            *_figure(each.agreement),
            each.is_low,
            each.gold_seen,
            each.gold_passed,
            each.minutes,
        )
        for each in out.days
    ]


def of_overview(out: DashboardOut, table: str) -> Table:
    if table == "people":
        return ("user_id", "name", "reasons"), [
            (each.user_id, each.name, "; ".join(each.reasons)) for each in out.people_to_look_at
        ]
    if table == "disputed":
        return ("task_id", "prompt", "judgements", "disagreement", "adjudicated_at"), [
            (
                each.task_id,
                each.opening,
                each.n_annotations,
                each.disagreement,
                each.adjudicated_at,
            )
            for each in out.disputed
        ]
    if table == "cost":
        return _cost(out)
    if table == "forecast":
        return _forecast(out)
    names = [part for name in FIGURES for part in (*_names(name), f"{name}_reason")]
    return ("field", "tasks", "judgements", "people", "tasks_shared", *names), [
        (
            name,
            field.n_tasks,
            field.n_annotations,
            field.n_annotators,
            field.n_shared_tasks,
            *(
                part
                for figure in FIGURES
                for part in (*_figure(getattr(field, figure)), getattr(field, figure).reason)
            ),
        )
        for name, field in out.fields.items()
    ]


def _cost(out: DashboardOut) -> Table:
    spent = out.cost
    return ("use", "judgements", "minutes", "cost", "currency"), [
        *(
            (each.name, each.judgements, each.minutes, each.cost, spent.currency)
            for each in spent.parts
        ),
        ("total", spent.judgements, spent.minutes, spent.total, spent.currency),
        (
            "per usable comparison",
            spent.usable,
            spent.minutes_per_usable,
            spent.per_usable,
            spent.currency,
        ),
    ]


def _forecast(out: DashboardOut) -> Table:
    header = (
        "plan", "judgements_left", "days_with_work", "done_on", "earliest", "latest", "minutes",
        "cost", "currency", "reason",
    )  # fmt: skip

    def row(name: str, plan: PlanOut) -> Sequence[Any]:
        days = (plan.working_days, plan.done_on, plan.earliest, plan.latest)
        return (
            name, plan.left, *days, plan.minutes, plan.cost, out.cost.currency, plan.reason,
        )  # fmt: skip

    raised = out.forecast.raised
    return header, [
        row("as it is", out.forecast.now),
        *([row("one more judgement per task", raised)] if raised else []),
    ]


def people_of_day(day: DayOut) -> Table:
    header = (
        "user_id", "name", "judgements", "tasks_shared", *_names("agreement"), "usual", "change",
        "change_low", "change_high", "day_without", "gold_answered", "gold_passed",
    )  # fmt: skip
    return header, [
        (
            each.user_id,
            each.name,
            each.n_annotations,
            each.n_shared,
            *_figure(each.agreement),
            each.usual,
            *(
                (each.change.value, each.change.low, each.change.high)
                if each.change
                else [None] * 3
            ),
            each.without,
            each.gold_seen,
            each.gold_passed,
        )
        for each in day.people
    ]


def tasks_of_day(day: DayOut) -> Table:
    return ("task_id", "prompt", "judgements", "disagreement", "adjudicated_at"), [
        (each.task_id, each.opening, each.n_annotations, each.disagreement, each.adjudicated_at)
        for each in day.tasks
    ]


def _names(name: str) -> tuple[str, str, str]:
    return name, f"{name}_low", f"{name}_high"


def _figure(figure: FigureOut) -> tuple[float | None, float | None, float | None]:
    return figure.value, figure.low, figure.high
