"""Agreement day by day, and how far one part of the judgements lies from the rest.

A judgement handed in on a day is held against all others of its task, whenever they came: so a
person who turns careless on a Tuesday shows on that Tuesday, also where her tasks were judged by
somebody else on Monday. Ties are left out, as in `percent_agreement_no_ties`: where a task is
judged within one day both are the same figure.
"""

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from app.quality.rules.bootstrap import MOST_PROFILES, RESAMPLES, Profiles
from app.quality.rules.comparing import NOTHING, Difference, Sums, difference
from app.quality.rules.intervals import Figure, Floats, Ints, bootstrap_figure, undefined
from app.quality.rules.judgements import Judgements

MOST_DAYS = 120  # that are kept, the latest ones
WEEK = 7
MOST_FALLEN = 3  # people left out, one after the other, before the rest are looked at
NOBODY_TO_COMPARE = "No judgement can be held against another one of the same task."
_DAY = 86_400
_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Shares:
    """Per group (the judgements of one task with one key): how far it agrees with the task.

    same: sum over implied pairs of the share of pairs of decisive judgements, at least one of the
    group, that say the same; units: implied pairs with such a pair of judgements.
    """

    task: Ints
    key: Ints
    same: Floats
    units: Ints


@dataclass(frozen=True, slots=True)
class Day:
    """agreement: of the day's judgements with all others of their tasks, ties left out."""

    day: date
    n_annotations: int
    n_annotators: int
    agreement: Figure
    sums: Sums


def day_of(submitted: Floats) -> Ints:
    """Days since 1970 (UTC)."""
    return np.floor(submitted / _DAY).astype(np.int64)


def as_date(day: int) -> date:
    return date.fromordinal(_EPOCH + int(day))


def number_of(day: date) -> int:
    return day.toordinal() - _EPOCH


def bounds(day: date) -> tuple[datetime, datetime]:
    """The moments (UTC) between which the day lies."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return start, start + timedelta(days=1)


def shares(judgements: Judgements, key: Ints) -> Shares:
    """For each task and key: agreement of these judgements with all others of the task.

    Of c₊ + c₋ decisive judgements of a task, r₊ + r₋ not in the group, the pairs with one in the
    group at least are C(c₊ + c₋, 2) − C(r₊ + r₋, 2), those that say the same
    C(c₊, 2) + C(c₋, 2) − C(r₊, 2) − C(r₋, 2). Repeats must be left out.
    """
    if not len(judgements):
        return Shares(judgements.task, key, np.zeros(0), np.zeros(0, np.int64))
    is_next = np.ones(len(judgements), np.bool_)  # rows are sorted by task
    is_next[1:] = judgements.task[1:] != judgements.task[:-1]
    task = np.cumsum(is_next) - 1
    code = key - key.min()
    n_keys = int(code.max()) + 1
    groups, first, group = np.unique(task * n_keys + code, return_index=True, return_inverse=True)
    of_group = groups // n_keys
    n_tasks = int(task[-1]) + 1
    same, units = np.zeros(len(groups)), np.zeros(len(groups), np.int64)
    sizes = judgements.sizes
    for size in np.unique(sizes):
        mine = sizes == size
        ranks, t, g = judgements.ranks[mine], task[mine], group[mine]
        for i, j in combinations(range(int(size)), 2):
            sign = np.sign(ranks[:, j] - ranks[:, i])
            up, down = (sign > 0).astype(np.float64), (sign < 0).astype(np.float64)
            all_up = np.bincount(t, up, minlength=n_tasks)[of_group]
            all_down = np.bincount(t, down, minlength=n_tasks)[of_group]
            rest_up = all_up - np.bincount(g, up, minlength=len(groups))
            rest_down = all_down - np.bincount(g, down, minlength=len(groups))
            share, has_pairs = _alike(all_up, all_down, rest_up, rest_down)
            same += share
            units += has_pairs
    return Shares(task=judgements.task[first], key=key[first], same=same, units=units)


def _alike(
    up: Floats, down: Floats, rest_up: Floats, rest_down: Floats
) -> tuple[Floats, NDArray[np.bool_]]:
    """Of pairs of decisive judgements not both of the rest, those that say the same; if any."""
    pairs = _pairs(up + down) - _pairs(rest_up + rest_down)
    alike = _pairs(up) + _pairs(down) - _pairs(rest_up) - _pairs(rest_down)
    return np.where(pairs > 0, alike / np.maximum(pairs, 1), 0.0), pairs > 0


def _pairs(n: Floats) -> Floats:
    pairs: Floats = n * (n - 1) / 2
    return pairs


def _columns(same: Floats, units: Ints | Floats) -> list[Floats]:
    """The columns of `Sums`, per group."""
    units = units.astype(np.float64)
    return [same, units, (units > 0).astype(np.float64), same**2, same * units, units**2]


def sums_of(found: Shares, chosen: NDArray[np.bool_] | Ints | None = None) -> Sums:
    same, units = found.same, found.units
    if chosen is not None:
        same, units = same[chosen], units[chosen]
    return Sums(*(float(column.sum()) for column in _columns(same, units)))


def without_each(judgements: Judgements, is_mine: NDArray[np.bool_], sums: Sums) -> dict[int, Sums]:
    """`sums` of the marked judgements, had one person not judged, for each by annotator code.

    Only the tasks that she judged are other without her, and what they would be follows from the
    counts of answers less her own: all rows at once, as she has one for each task.
    """
    _, task = np.unique(judgements.task, return_inverse=True)
    n_tasks = int(task.max(initial=-1)) + 1
    n = len(judgements)
    with_her, without = (np.zeros(n), np.zeros(n)), (np.zeros(n), np.zeros(n))
    sizes = judgements.sizes
    for size in np.unique(sizes):
        rows = np.flatnonzero(sizes == size)
        ranks, t, is_rest = judgements.ranks[rows], task[rows], ~is_mine[rows]
        for i, j in combinations(range(int(size)), 2):
            sign = np.sign(ranks[:, j] - ranks[:, i])
            own = [(sign > 0).astype(np.float64), (sign < 0).astype(np.float64)]
            own += [each * is_rest for each in own]
            counts = [np.bincount(t, each, minlength=n_tasks)[t] for each in own]
            left = [of_all - of_her for of_all, of_her in zip(counts, own, strict=True)]
            for found, parts in ((with_her, counts), (without, left)):
                share, has_pairs = _alike(*parts)
                found[0][rows] += share
                found[1][rows] += has_pairs
    changes = [
        np.bincount(judgements.annotator, after - before)
        for after, before in zip(_columns(*without), _columns(*with_her), strict=True)
    ]
    return {
        int(code): Sums(
            *(
                max(0.0, whole + float(change[code]))
                for whole, change in zip(astuple(sums), changes, strict=True)
            )
        )
        for code in np.unique(judgements.annotator)
    }


def sums_by_key(found: Shares) -> Mapping[int, Sums]:
    """Of each key over all tasks."""
    names, code = np.unique(found.key, return_inverse=True)
    columns = [
        np.bincount(code, each, minlength=len(names)) for each in _columns(found.same, found.units)
    ]
    return {
        int(name): Sums(*(float(column[place]) for column in columns))
        for place, name in enumerate(names)
    }


def figure_of(
    same: Floats, units: Ints, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Figure:
    """Σ same / Σ units with the percentile bootstrap over tasks."""
    counted = units > 0
    same, units = same[counted], units[counted]
    if not len(units):
        return undefined(NOBODY_TO_COMPARE)
    # Tasks with the same sums are one profile; a task has at most 45 implied pairs.
    _, first, number = np.unique(
        np.round(1_000 * units + same, 9), return_index=True, return_counts=True
    )
    sums = np.stack([same[first], units[first].astype(np.float64)], axis=1)
    if len(first) > MOST_PROFILES:  # see `bootstrap.profiles`
        group = rng.permutation(np.arange(len(units)) % MOST_PROFILES)
        sums = np.stack([np.bincount(group, same), np.bincount(group, units)], axis=1)
        number = np.ones(MOST_PROFILES, np.int64)
    drawn = Profiles(sums=sums, tasks=number.astype(np.int64)).resampled(rng, resamples)
    return bootstrap_figure(
        float(same.sum() / units.sum()), drawn[:, 0] / drawn[:, 1], n_tasks=len(units)
    )


def by_day(judgements: Judgements, rng: np.random.Generator, *, most: int = MOST_DAYS) -> list[Day]:
    """The latest `most` days on which something was judged, oldest first."""
    days = day_of(judgements.submitted)
    found = shares(judgements, days)
    number = {int(day): int(n) for day, n in zip(*np.unique(days, return_counts=True), strict=True)}
    order = np.argsort(found.key, kind="stable")
    names, start = np.unique(found.key[order], return_index=True)
    groups = np.split(order, start[1:]) if len(start) else []
    of_people = _people_by_day(days, judgements.annotator)
    return [
        Day(
            day=as_date(day),
            n_annotations=number[int(day)],
            n_annotators=of_people[int(day)],
            agreement=figure_of(found.same[part], found.units[part], rng),
            sums=sums_of(found, part),
        )
        for day, part in list(zip(names, groups, strict=True))[-most:]
    ]


def _people_by_day(days: Ints, annotator: Ints) -> Mapping[int, int]:
    width = int(annotator.max()) + 1 if len(annotator) else 1
    who = np.unique(days * width + annotator)
    names, number = np.unique(who // width, return_counts=True)
    return {int(day): int(n) for day, n in zip(names, number, strict=True)}


def changes_of_people(
    judgements: Judgements, is_part: NDArray[np.bool_], usual: Mapping[int, Sums] | None = None
) -> dict[int, Difference | None]:
    """How each person's agreement in one part differs from her usual, by annotator code.

    `usual`: her agreement elsewhere; without it, in the rest of these judgements. One careless
    person pulls down all who share tasks with her: whoever has clearly fallen, the worst first, is
    left out before the others are held against their usual.
    """
    people = np.unique(judgements.annotator[is_part])
    told: dict[int, Difference | None] = {}
    left = np.ones(len(judgements), np.bool_)
    for _ in range(MOST_FALLEN + 1):
        rest = judgements.where(left)
        sums = sums_by_key(shares(rest, 2 * rest.annotator + is_part[left]))
        changes = {
            code: difference(
                sums.get(2 * code + 1, NOTHING),
                sums.get(2 * code, NOTHING) if usual is None else usual.get(code, NOTHING),
                looks=len(people),
            )
            for code in map(int, people)
            if code not in told
        }
        fallen = [(found.high, code) for code, found in changes.items() if found and found.is_fall]
        if not fallen or len(told) == MOST_FALLEN:
            break
        worst = min(fallen)[1]
        told[worst] = changes[worst]
        left &= judgements.annotator != worst
    return {**changes, **told}
