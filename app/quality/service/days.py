"""A day of a project, taken apart: people, tasks, kinds of tasks, guidelines, and what changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from app.db import JsonObject
from app.errors import NotFound
from app.projects.models import Guidelines, Project
from app.quality.queries import days as queries
from app.quality.queries.crowd import Crowd
from app.quality.queries.days import Lot
from app.quality.queries.review import task_lines
from app.quality.rules import comparing, day_story
from app.quality.rules import days as rules
from app.quality.rules.comparing import NOTHING, Sums
from app.quality.rules.days import Shares
from app.quality.rules.judgements import Judgements
from app.quality.rules.overview import SEED
from app.quality.schemas.days import (
    DayOut,
    DayPartOut,
    DayPersonOut,
    DayTaskOut,
    DayVersionOut,
    DifferenceOut,
)
from app.quality.service import wire
from app.quality.service.daily import sums_from, usual_of
from app.quality.service.day_events import day_events
from app.quality.service.summary import View

MOST_PEOPLE = 40  # of the day, the busiest ones
MOST_TASKS, MOST_PARTS = 12, 30
YEARS = range(1970, 3000)
LOOK_BACK = timedelta(days=2)  # before the day: what was changed just before


@dataclass(frozen=True, slots=True)
class _Looked:
    """The judgements of the day's tasks, which of them are of the day, and what is usual."""

    crowd: Crowd
    judgements: Judgements
    is_mine: NDArray[np.bool_]
    sums: Sums
    kept: JsonObject | None


def day_of(session: Session, *, project: Project, day: date, view: View | None) -> DayOut:
    """The day from the judgements as they are now; what is usual from the kept figures."""
    if day.year not in YEARS:
        raise NotFound
    start, end = rules.bounds(day)
    crowd, lots = queries.crowd_of_day(session, project=project, start=start, end=end)
    judgements = crowd.judgements.once()
    is_mine = rules.day_of(judgements.submitted) == rules.number_of(day)
    found = rules.shares(judgements, is_mine.astype(np.int64))
    mine = found.key == 1
    kept = view.figures["daily"] if view else None
    looked = _Looked(crowd, judgements, is_mine, rules.sums_of(found, mine), kept)
    rng = np.random.default_rng(SEED)
    agreement = rules.figure_of(found.same[mine], found.units[mine], rng)
    rest = _other_days(kept, day)
    change = comparing.difference(looked.sums, rest)
    gold = queries.gold_answers(session, project=project, since=start - LOOK_BACK, end=end)
    of_day = {
        user_id: [is_right for at, is_right in hers.since if at >= start]
        for user_id, hers in gold.items()
    }
    people = _people(session, project=project, looked=looked, gold=of_day)
    versions = queries.versions_until(session, project=project, end=end)
    previous, following = _neighbours(kept, day)
    return DayOut(
        day=day,
        previous=previous,
        next=following,
        n_annotations=int(is_mine.sum()),
        n_annotators=len(np.unique(judgements.annotator[is_mine])),
        n_shared_tasks=round(looked.sums.tasks),
        agreement=wire.out(agreement),
        usual=wire.rounded(rest.value),
        change=wire.change(change),
        sentences=day_story.tell(
            agreement,
            rest.value,
            change,
            people=[
                day_story.Pull(each.name, each.without, _has_fallen(each.change)) for each in people
            ],
            published=_published(versions, start - LOOK_BACK),
            day=day,
        )
        if is_mine.any()
        else [],
        people=people,
        tasks=_tasks(session, crowd, found),
        parts=_parts(kept, crowd, lots, found),
        versions=_versions(looked, versions),
        in_force=versions[0].version if versions else None,
        events=day_events(session, project=project, since=start - LOOK_BACK, end=end, gold=gold),
    )


def _published(versions: Sequence[Guidelines], since: datetime) -> list[day_story.Published]:
    """Versions that came on the day or just before; the first one is no change."""
    return [
        day_story.Published(each.version, each.created_at)
        for each in versions
        if each.created_at >= since and each.version > 1
    ]


def _other_days(kept: JsonObject | None, day: date) -> Sums:
    others = [
        sums_from(each["sums"])
        for each in (kept["days"] if kept else [])
        if each["day"] != day.isoformat()
    ]
    return comparing.total_of(others)


def _neighbours(kept: JsonObject | None, day: date) -> tuple[date | None, date | None]:
    """The nearest days with work before and after; without figures those of the calendar."""
    if kept is None:
        return day - timedelta(days=1), day + timedelta(days=1)
    worked = [date.fromisoformat(each["day"]) for each in kept["days"]]
    before, after = [each for each in worked if each < day], [each for each in worked if each > day]
    return (before[-1] if before else None), (after[0] if after else None)


# -- who


def _people(
    session: Session, *, project: Project, looked: _Looked, gold: Mapping[UUID, Sequence[bool]]
) -> list[DayPersonOut]:
    """Whom the day's agreement suffers from most comes first."""
    judgements, is_mine = looked.judgements, looked.is_mine
    codes, number = np.unique(judgements.annotator[is_mine], return_counts=True)
    busiest = codes[np.argsort(-number, kind="stable")][:MOST_PEOPLE]
    sums = rules.sums_by_key(rules.shares(judgements, 2 * judgements.annotator + is_mine))
    ids = looked.crowd.annotator_ids()
    names = queries.names_of(session, project=project, user_ids=[ids[code] for code in busiest])
    usual_of_all = {
        int(code): usual_of(looked.kept, ids[code]).without(sums.get(2 * int(code) + 1, NOTHING))
        for code in busiest
    }
    changes = rules.changes_of_people(judgements, is_mine, usual_of_all)
    without = rules.without_each(judgements, is_mine, looked.sums)
    people = []
    for code in busiest:
        user_id, hers = ids[code], sums.get(2 * int(code) + 1, NOTHING)
        usual = usual_of_all.get(int(code), NOTHING)
        name, paused_at = names.get(user_id, ("?", None))
        asked = gold.get(user_id, ())
        people.append(
            DayPersonOut(
                user_id=str(user_id),
                name=name,
                paused_at=paused_at,
                n_annotations=int(number[codes == code][0]),
                n_shared=round(hers.tasks),
                agreement=wire.share(hers),
                usual=wire.rounded(usual.value),
                change=wire.change(changes.get(int(code))),
                without=wire.rounded(without[int(code)].value) if hers.units else None,
                gold_seen=len(asked),
                gold_passed=sum(asked),
            )
        )
    day = looked.sums.value or 0.0
    people.sort(key=lambda each: day - (each.without if each.without is not None else day))
    return people


def _has_fallen(change: DifferenceOut | None) -> bool:
    return change is not None and change.high < 0


# -- what


def _tasks(session: Session, crowd: Crowd, found: Shares) -> list[DayTaskOut]:
    """Where the day's judgements differ most from the others of their task."""
    mine = np.flatnonzero((found.key == 1) & (found.units > 0))
    apart = 1 - found.same[mine] / np.maximum(found.units[mine], 1)
    number = np.bincount(crowd.judgements.once().task)[found.task[mine]]
    order = np.lexsort((found.task[mine], -number, -apart))[:MOST_TASKS]
    chosen = [
        (crowd.task_id(int(found.task[mine[place]])), float(apart[place]), int(number[place]))
        for place in order
        if apart[place] > 0
    ]
    lines = task_lines(session, task_ids=[task_id for task_id, _, _ in chosen])
    return [
        DayTaskOut(
            task_id=str(task_id),
            opening=lines[task_id].opening,
            disagreement=round(disagreement, 6),
            n_annotations=n,
            adjudicated_at=lines[task_id].adjudicated_at,
        )
        for task_id, disagreement, n in chosen
        if task_id in lines
    ]


def _parts(
    kept: JsonObject | None, crowd: Crowd, lots: Sequence[Lot], found: Shares
) -> list[DayPartOut]:
    """The day's tasks by source and by tag, where there is more than one of them."""
    of_sources = kept["sources"] if kept else {}
    by_source: dict[int, list[Lot]] = {}
    by_tag: dict[str, list[Lot]] = {}
    for lot in lots:
        by_source.setdefault(lot.source_hash, []).append(lot)
        for tag in set(lot.tags):
            by_tag.setdefault(tag, []).append(lot)
    kinds = [("tag", tag, some, NOTHING) for tag, some in by_tag.items()]
    if len(by_source) > 1:
        kinds += [
            (
                "source",
                some[0].source or "no source",
                some,
                sums_from(of_sources.get(str(key), (0, 0, 0))),
            )
            for key, some in by_source.items()
        ]
    mine = np.flatnonzero(found.key == 1)
    row = np.full(len(crowd.tasks), -1)  # of `found`, by task
    row[found.task[mine]] = mine
    parts = []
    for kind, name, some, usual in kinds:
        rows = row[np.concatenate([lot.tasks for lot in some])]
        rows = rows[rows >= 0]
        parts.append(
            DayPartOut(
                kind=kind,
                name=name,
                n_tasks=len(rows),
                agreement=wire.share(rules.sums_of(found, rows)),
                usual=wire.rounded(usual.value),
            )
        )
    parts.sort(key=_by_agreement)
    return parts[:MOST_PARTS]


def _by_agreement(part: DayPartOut) -> tuple[bool, float, str, str]:
    """The least first, what is not defined last."""
    value = part.agreement.value
    return value is None, value or 0.0, part.kind, part.name


def _versions(looked: _Looked, published: Sequence[Guidelines]) -> list[DayVersionOut]:
    """Judgements of the day by the version that they name, newest first."""
    judgements, is_mine = looked.judgements, looked.is_mine
    at: Mapping[int, datetime] = {each.version: each.created_at for each in published}
    sums = rules.sums_by_key(rules.shares(judgements, 2 * judgements.version + is_mine))
    names, number = np.unique(judgements.version[is_mine], return_counts=True)
    return [
        DayVersionOut(
            version=int(version),
            published_at=at.get(int(version)),
            n_annotations=int(n),
            agreement=wire.share(sums.get(2 * int(version) + 1, NOTHING)),
        )
        for version, n in reversed(list(zip(names, number, strict=True)))
    ]
