"""Today and the last week against before, day by day, and who needs a look: from kept figures."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from sqlalchemy.orm import Session

from app.db import JsonObject
from app.projects.models import Project
from app.quality.queries import days as day_queries
from app.quality.rules import attention, comparing, day_story
from app.quality.rules import days as rules
from app.quality.rules.attention import Known
from app.quality.rules.money import Entry, Kind
from app.quality.rules.trend import Point
from app.quality.rules.words import percent
from app.quality.schemas.agreement import FigureOut
from app.quality.schemas.dashboard import LookOut, NowOut, SpanOut, TrendDayOut
from app.quality.schemas.days import EventOut
from app.quality.schemas.people import AnnotatorOut
from app.quality.service import wire
from app.quality.service.daily import sums_from

MOST_PEOPLE = 8


def now(kept: JsonObject, entries: Sequence[Entry]) -> NowOut:
    """As of the day of the figures, which is today unless they are being computed."""
    windows, today = kept["windows"], date.fromisoformat(kept["today"])
    first = today - timedelta(days=rules.WEEK - 1)
    parts = {
        "today": _span(windows["today"], entries, since=today),
        "week": _span(windows["week"], entries, since=first),
        "before": _span(windows["before"], entries, until=first),
    }
    change = comparing.difference(
        sums_from(windows["week"]["sums"]), sums_from(windows["before"]["sums"])
    )
    return NowOut(
        day=today,
        **parts,
        change=wire.change(change),
        sentence=_now_in_words(parts["week"], parts["before"], change),
    )


def _span(
    window: Mapping[str, Any],
    entries: Sequence[Entry],
    *,
    since: date = date.min,
    until: date = date.max,
) -> SpanOut:
    gold = [each for each in entries if each.kind is Kind.GOLD and since <= each.day < until]
    return SpanOut(
        n_annotations=window["n_annotations"],
        n_annotators=window["n_annotators"],
        n_shared_tasks=window["n_tasks"],
        agreement=_figure(window),
        gold_seen=sum(each.number for each in gold),
        gold_passed=sum(each.passed for each in gold),
    )


def _figure(figure: Mapping[str, Any]) -> FigureOut:
    return FigureOut(
        value=figure["value"],
        low=figure["low"],
        high=figure["high"],
        reason=figure.get("reason"),
    )


def _now_in_words(week: SpanOut, before: SpanOut, change: comparing.Difference | None) -> str:
    if change is None or week.agreement.value is None or before.agreement.value is None:
        return "There is nothing to compare the last 7 days with yet."
    was = percent(before.agreement.value)
    if not change.is_clear:
        return f"no clear change: {was} before"
    return f"clearly {'less' if change.is_fall else 'more'} than before: {was}"


# -- day by day


def days(kept: JsonObject, entries: Sequence[Entry], points: Sequence[Point]) -> list[TrendDayOut]:
    is_low = {point.day for point in points if point.is_low}
    seen, passed, ms = Counter[date](), Counter[date](), Counter[date]()
    for entry in entries:
        ms[entry.day] += entry.ms
        if entry.kind is Kind.GOLD:
            seen[entry.day] += entry.number
            passed[entry.day] += entry.passed
    return [
        TrendDayOut(
            day=(day := date.fromisoformat(each["day"])),
            n_annotations=each["n_annotations"],
            n_annotators=each["n_annotators"],
            n_shared_tasks=each["n_tasks"],
            agreement=_figure(each),
            is_low=day in is_low,
            gold_seen=seen[day],
            gold_passed=passed[day],
            minutes=round(ms[day] / 60_000, 2),
        )
        for each in kept["days"]
    ]


def events(session: Session, *, project: Project, days: Sequence[TrendDayOut]) -> list[EventOut]:
    """Changes of settings and guidelines since the first day shown, newest first."""
    if not days:
        return []
    start, _ = rules.bounds(days[0].day)
    _, end = rules.bounds(days[-1].day + timedelta(days=1))
    found = day_queries.events_between(
        session, project=project, start=start, end=end, settings=True
    )
    return [
        EventOut(
            at=event.at,
            by=event.by,
            what=day_story.event_in_words(event.action, event.target, event.details),
            version=day_story.version_made(event.action, event.details),
        )
        for event in found
    ]


# -- people


def looks(kept: JsonObject, people: Sequence[AnnotatorOut]) -> list[LookOut]:
    nothing = {"week": (0, 0, 0), "before": (0, 0, 0), "has_fallen": False}
    known = [
        Known(
            user_id=person.user_id,
            name=person.name,
            is_paused=person.paused_at is not None,
            standing=person.standing,
            gold_seen=person.gold_seen,
            gold_passed=person.gold_passed,
            week=sums_from(kept["people"].get(person.user_id, nothing)["week"]),
            before=sums_from(kept["people"].get(person.user_id, nothing)["before"]),
            has_fallen=kept["people"].get(person.user_id, nothing)["has_fallen"],
            left=person.position_bias.value,
            left_p=person.position_bias.p_value,
        )
        for person in people
    ]
    return [
        LookOut(user_id=look.person.user_id, name=look.person.name, reasons=list(look.reasons))
        for look in attention.to_look_at(known)[:MOST_PEOPLE]
    ]
