"""Agreement by week, source, guidelines and group of people."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import combinations
from typing import Generic, TypeVar

import numpy as np

from app.quality.rules.fields import FieldAgreement
from app.quality.rules.intervals import Floats, Ints
from app.quality.rules.judgements import Judgements

SMALLEST_GROUP = 5  # people: fewer could be recognised
_DAY, _WEEK = 86_400, 7 * 86_400
_EPOCH = date(1970, 1, 1)
_FIRST_MONDAY = 4 * _DAY  # 1970-01-05

Fields = Mapping[str, FieldAgreement]
Compute = Callable[[Judgements], Fields]
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Slice(Generic[Key]):
    """The figures of one part of the judgements."""

    key: Key
    fields: Fields


def week_of(submitted: float) -> str:
    """The ISO week (UTC) of seconds since 1970, such as `2026-W47`."""
    year, week, _ = datetime.fromtimestamp(submitted, UTC).isocalendar()
    return f"{year}-W{week:02}"


def _latest(judgements: Judgements) -> Floats:
    """Per row, when its task got its latest judgement.

    By task, so that two judgements of one task never fall into two weeks and out of the count.
    """
    _, start, task = np.unique(judgements.task, return_index=True, return_inverse=True)
    if not len(start):
        return np.zeros(0)
    latest: Floats = np.maximum.reduceat(judgements.submitted, start)[task]
    return latest


def task_weeks(judgements: Judgements) -> Ints:
    """Per row, the number of the week in which its task got its latest judgement."""
    return np.floor((_latest(judgements) - _FIRST_MONDAY) / _WEEK).astype(np.int64)


def task_days(judgements: Judgements) -> Ints:
    """Per row, the number of the day (UTC) on which its task got its latest judgement."""
    return np.floor(_latest(judgements) / _DAY).astype(np.int64)


def by_week(judgements: Judgements, compute: Compute, *, most: int) -> list[Slice[str]]:
    """The latest `most` weeks that have judgements, oldest first."""
    weeks = task_weeks(judgements)
    return [
        Slice(
            week_of(float(week) * _WEEK + _FIRST_MONDAY), compute(judgements.where(weeks == week))
        )
        for week in np.unique(weeks)[-most:]
    ]


def by_day(judgements: Judgements, compute: Compute, *, most: int) -> list[Slice[str]]:
    """The latest `most` days (UTC) that have judgements, oldest first, such as `2026-11-25`."""
    days = task_days(judgements)
    return [
        Slice(
            (_EPOCH + timedelta(days=int(day))).isoformat(), compute(judgements.where(days == day))
        )
        for day in np.unique(days)[-most:]
    ]


def by_tag(
    judgements: Judgements, tags: Mapping[str, Ints], compute: Compute, *, most: int
) -> list[Slice[str]]:
    """The `most` tags with most judgements, by number; `tags` holds task codes, and may overlap.

    The tasks of no tag are a part of their own, named by nothing.
    """
    of_task = np.zeros(int(judgements.task.max(initial=-1)) + 1, np.int64)
    masks = {}
    for tag, tasks in tags.items():
        chosen = np.zeros(len(of_task), np.bool_)
        chosen[tasks] = True
        of_task += chosen
        masks[tag] = chosen[judgements.task]
    masks[""] = of_task[judgements.task] == 0
    number = {tag: int(mask.sum()) for tag, mask in masks.items() if mask.any()}
    commonest = sorted(number, key=lambda tag: (-number[tag], tag))[:most]
    return [Slice(tag, compute(judgements.where(masks[tag]))) for tag in commonest]


def by_key(judgements: Judgements, keys: Ints, compute: Compute, *, most: int) -> list[Slice[int]]:
    """The `most` commonest keys of the rows, the commonest first."""
    names, number = np.unique(keys, return_counts=True)
    chosen = names[np.argsort(-number, kind="stable")][:most]
    return [Slice(int(key), compute(judgements.where(keys == key))) for key in chosen]


def large_groups(
    judgements: Judgements, groups: Mapping[str, frozenset[int]]
) -> dict[str, frozenset[int]]:
    """The people of each group who have judged, where they are at least SMALLEST_GROUP."""
    active = frozenset(np.unique(judgements.annotator).tolist())
    found = {name: codes & active for name, codes in sorted(groups.items())}
    return {name: codes for name, codes in found.items() if len(codes) >= SMALLEST_GROUP}


def small_groups(judgements: Judgements, groups: Mapping[str, frozenset[int]]) -> int:
    """How many groups have somebody who has judged, and too few to be shown."""
    active = frozenset(np.unique(judgements.annotator).tolist())
    return sum(0 < len(codes & active) < SMALLEST_GROUP for codes in groups.values())


def by_people(judgements: Judgements, codes: frozenset[int]) -> Judgements:
    return judgements.where(np.isin(judgements.annotator, list(codes)))


def by_group(
    judgements: Judgements, groups: Mapping[str, frozenset[int]], compute: Compute
) -> list[Slice[str]]:
    """Groups of annotator codes in which at least SMALLEST_GROUP people have judged."""
    return [
        Slice(name, compute(by_people(judgements, codes)))
        for name, codes in large_groups(judgements, groups).items()
    ]


def pairs_of_groups(
    judgements: Judgements, groups: Mapping[str, frozenset[int]]
) -> Iterator[tuple[tuple[str, str], Judgements, Judgements]]:
    """Every two shown groups that have nobody in common, with the judgements of either."""
    parts = {
        name: (codes, by_people(judgements, codes))
        for name, codes in large_groups(judgements, groups).items()
    }
    for one, other in combinations(parts, 2):
        if not parts[one][0] & parts[other][0]:
            yield (one, other), parts[one][1], parts[other][1]


def per_day(judgements: Judgements, *, until: date, days: int) -> list[tuple[date, int]]:
    """Judgements on each of the last days (UTC), days without any included."""
    first = until - timedelta(days=days - 1)
    ordinal = _EPOCH.toordinal() + np.floor(judgements.submitted / _DAY).astype(np.int64)
    place = ordinal - first.toordinal()
    inside = place[(place >= 0) & (place < days) & ~judgements.repeat]
    number = np.bincount(inside, minlength=days)
    return [(first + timedelta(days=day), int(number[day])) for day in range(days)]
