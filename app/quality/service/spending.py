"""What the labels cost and when the rest will be there, from the kept ledger."""

from collections import Counter
from collections.abc import Sequence
from datetime import date

from app.db import JsonObject
from app.projects.models import Project
from app.projects.queries import Progress
from app.quality.queries import ledger
from app.quality.rules import forecast as forecasts
from app.quality.rules import money
from app.quality.rules.forecast import Forecast
from app.quality.rules.money import Cost, Entry, Kind, Price
from app.quality.schemas.dashboard import CostOut, CostPartOut, ForecastOut, PlanOut


def price_of(project: Project) -> Price:
    return Price(project.cost_per_hour, project.cost_per_judgement, project.currency)


def entries_of(kept: JsonObject) -> list[Entry]:
    return ledger.from_json(kept["ledger"])


def cost_of(project: Project, kept: JsonObject) -> Cost:
    return money.cost(
        entries_of(kept),
        price_of(project),
        tasks=kept["tasks"],
        usable=kept["usable"],
        pairs=kept["pairs"],
    )


def cost_out(found: Cost) -> CostOut:
    return CostOut(
        currency=found.price.currency,
        cost_per_hour=found.price.per_hour,
        cost_per_judgement=found.price.per_judgement,
        judgements=found.judgements,
        minutes=_minutes(found.hours),
        total=_rounded(found.total),
        usable=found.usable,
        pairs=found.pairs,
        per_usable=_rounded(found.per_usable),
        minutes_per_usable=_rounded(found.minutes_per_usable),
        parts=[
            CostPartOut(
                name=part.name,
                label=part.label,
                judgements=part.judgements,
                minutes=_minutes(part.hours),
                cost=_rounded(part.cost),
            )
            for part in found.parts
        ],
        sentence=money.in_words(found),
    )


def forecast_out(
    project: Project, progress: Progress, entries: Sequence[Entry], spent: Cost, *, today: date
) -> ForecastOut:
    """By what is wanted now, and with one judgement more of each task."""
    counts: Counter[date] = Counter()
    for entry in entries:
        if entry.kind is Kind.ORDINARY:
            counts[entry.day] += entry.number
    left = max(0, progress.wanted - progress.counted)
    now = forecasts.forecast(left, counts, today=today)
    more = forecasts.forecast(left + progress.tasks, counts, today=today)
    return ForecastOut(
        per_day=_rounded(now.pace.per_day) if now.pace else None,
        days=now.pace.days if now.pace else 0,
        overlap=project.overlap_min,
        now=_plan(now, spent),
        raised=_plan(more, spent) if progress.tasks else None,
    )


def _plan(found: Forecast, spent: Cost) -> PlanOut:
    """Each judgement to come is taken to cost what those that count have cost so far."""
    return PlanOut(
        left=found.left,
        working_days=_rounded(found.working_days),
        done_on=found.done_on,
        earliest=found.earliest,
        latest=found.latest,
        minutes=None if spent.hours_each is None else _minutes(found.left * spent.hours_each),
        cost=None if spent.each is None else _rounded(found.left * spent.each),
        sentence=forecasts.in_words(found),
        reason=found.reason,
    )


def _minutes(hours: float) -> float:
    return round(60 * hours, 2)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
