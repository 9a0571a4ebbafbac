"""The work in progress as one page shows it, kept for some seconds.

Many may look at the page at once, and every open one asks again every few seconds: each process
computes the figures once per project and span, the longer they take the more rarely.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy.orm import Session

from app.projects.models import Project
from app.work.queries import figures
from app.work.queries.checks import invariants
from app.work.queries.figures import Held
from app.work.rules import demand as demands
from app.work.rules import shift
from app.work.rules.census import Census
from app.work.rules.words import ago
from app.work.schemas import (
    AtWorkOut,
    CheckOut,
    DemandOut,
    HandedOut,
    HoldsOut,
    HourOut,
    InvariantsOut,
    LeasesOut,
    SkippedTaskOut,
    TasksOut,
    WorkOut,
)

T = TypeVar("T")

KEPT_SECONDS = 3.0  # figures, or …
KEPT_TIMES = 10  # … so many times as long as they took to compute
CHECK_KEPT_SECONDS, CHECK_KEPT_TIMES = 5.0, 20
LARGE = 200_000  # tasks from which the invariants are checked when somebody asks for it
MOST_KEPT = 200  # projects


@dataclass(frozen=True, slots=True)
class Kept:
    """Something computed, when, and how long that took."""

    what: Any
    at: float
    took: float


_figures: dict[UUID, Kept] = {}
_checks: dict[UUID, Kept] = {}


def forget() -> None:
    """Compute everything anew from now on; for tests, which change what is kept."""
    _figures.clear()
    _checks.clear()


def board(session: Session, *, project: Project, now: datetime, check: bool = False) -> WorkOut:
    """The figures, at most some seconds old, and whether the invariants hold.

    In a large project the last check is shown, None before the first, unless `check` asks for it.
    """
    view: WorkOut = _kept(
        _figures,
        project,
        lambda: _figures_of(session, project=project, now=now),
        seconds=KEPT_SECONDS,
        times=KEPT_TIMES,
    ).what
    result: InvariantsOut | None = None
    if check or view.tasks.total <= LARGE:
        result = _kept(
            _checks,
            project,
            lambda: _check(session, project=project, now=now),
            seconds=CHECK_KEPT_SECONDS,
            times=CHECK_KEPT_TIMES,
        ).what
    elif project.id in _checks:
        result = _checks[project.id].what
    took = _figures[project.id].took if project.id in _figures else 0.0
    return view.model_copy(update={"invariants": result, "took_seconds": round(took, 3)})


def _kept(
    store: dict[UUID, Kept], project: Project, make: Callable[[], T], *, seconds: float, times: int
) -> Kept:
    """What is kept of the project while it is fresh, else made anew."""
    kept = store.get(project.id)
    start = monotonic()
    if kept is not None and start - kept.at < max(seconds, times * kept.took):
        return kept
    what = make()
    end = monotonic()
    if len(store) >= MOST_KEPT:
        store.clear()
    kept = store[project.id] = Kept(what, at=end, took=end - start)
    return kept


def _check(session: Session, *, project: Project, now: datetime) -> InvariantsOut:
    start = monotonic()
    results = invariants(session, project=project)
    return InvariantsOut(
        hold=all(result.holds for result in results),
        checked_at=now,
        took_seconds=round(monotonic() - start, 3),
        checks=[
            CheckOut(
                name=result.name,
                rule=result.rule,
                holds=result.holds,
                broken=list(result.broken),
                more=result.is_cut,
            )
            for result in results
        ],
    )


def demand_of(session: Session, *, project: Project, now: datetime) -> demands.Demand:
    """What is left and at what pace, for whoever asks beside the page."""
    census = figures.census_of(session, project=project)
    held = figures.held(session, project=project)
    hours = figures.hours_since(session, project=project, since=now - shift.LOOK_BACK)
    _, at_work = shift.people_at_work(held, hours, now=now)
    return _demand(project, census, hours, at_work)


def _demand(
    project: Project, census: Census, hours: Sequence[figures.Hour], at_work: int
) -> demands.Demand:
    pace = demands.Pace(
        counted=sum(hour.counted for hour in hours),
        hours=sum(hour.active_ms for hour in hours) / 3_600_000,
        people=at_work,
    )
    return demands.demand(census, least=project.overlap_min, most=project.overlap_max, pace=pace)


def _figures_of(session: Session, *, project: Project, now: datetime) -> WorkOut:
    census = figures.census_of(session, project=project)
    held = figures.held(session, project=project)
    hours = figures.hours_since(session, project=project, since=now - shift.LOOK_BACK)
    people, at_work = shift.people_at_work(held, hours, now=now)
    running = [each for each in held if each.leased_until > now]
    return WorkOut(
        as_of=now,
        took_seconds=0.0,
        tasks=_tasks_out(census),
        leases=LeasesOut(
            running=len(running),
            expired=len(held) - len(running),
            ages=shift.lease_ages(running, now=now),
        ),
        handed=_handed_out(session, project=project),
        hours=[
            HourOut(hour=hour, judgements=number) for hour, number in shift.by_hour(hours, now=now)
        ],
        people=[_person_out(person, now=now) for person in people],
        demand=_demand_out(_demand(project, census, hours, at_work), now=now),
    )


def _tasks_out(census: Census) -> TasksOut:
    return TasksOut(
        total=census.tasks,
        complete=census.complete,
        held=census.held,
        begun=census.begun,
        untouched=census.untouched,
        places_wanted=census.wanted,
        places_counted=census.counted,
        places_held=census.leased,
        places_free=census.free,
    )


def _handed_out(session: Session, *, project: Project) -> HandedOut:
    handed = figures.handed(session, project=project)
    return HandedOut(
        gold=handed.gold,
        gold_tasks=handed.gold_tasks,
        repeats=handed.repeats,
        surplus=handed.surplus,
        skipped=handed.skipped,
        most_skipped=[
            SkippedTaskOut(
                task_id=str(each.task_id),
                prompt=each.opening,
                people=each.people,
                reasons=list(each.reasons),
            )
            for each in figures.most_skipped(session, project=project)
        ]
        if handed.skipped
        else [],
    )


def _person_out(person: shift.AtWork, *, now: datetime) -> AtWorkOut:
    return AtWorkOut(
        user_id=str(person.user_id),
        name=person.name,
        is_at_work=person.is_at_work(now),
        holds=[_holds_out(each, now=now) for each in person.holds],
        judgements=person.judgements,
        active_minutes=round(person.active_hours * 60, 1),
        last_at=person.last_at,
        last_ago=ago(now - person.last_at) if person.last_at else None,
    )


def _holds_out(held: Held, *, now: datetime) -> HoldsOut:
    left = held.leased_until - now
    return HoldsOut(
        assignment_id=str(held.assignment_id),
        task_id=str(held.task_id),
        prompt=held.opening,
        kind=held.kind,
        is_repeat=held.is_repeat,
        since=held.created_at,
        leased_until=held.leased_until,
        renewals=held.renewals,
        held_for=ago(now - held.created_at),
        left=ago(left) if left > timedelta() else None,
    )


def _demand_out(demand: demands.Demand, *, now: datetime) -> DemandOut:
    is_soon = demand.hours is not None and demand.hours < 24
    return DemandOut(
        judgements=demand.judgements,
        expected=round(demand.expected, 1),
        settled_tasks=demand.settled,
        counted_last_day=demand.pace.counted,
        active_hours_last_day=round(demand.pace.hours, 3),
        judgements_per_hour=demand.pace.per_hour and round(demand.pace.per_hour, 2),
        people=demand.pace.people,
        person_hours=demand.person_hours and round(demand.person_hours, 3),
        hours=demand.hours and round(demand.hours, 3),
        ready_at=now + timedelta(hours=demand.hours or 0) if is_soon else None,
        sentence=demands.in_words(demand),
        how=demands.how(demand),
        saved_judgements=demand.saving.judgements if demand.saving else None,
        saving=demands.saving_in_words(demand),
    )
