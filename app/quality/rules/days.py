"""Agreement day by day, and how far one part of the judgements lies from the rest.

A judgement handed in on a day is held against all others of its task, whenever they came: so a
person who turns careless on a Tuesday shows on that Tuesday, also where her tasks were judged by
somebody else on Monday. Ties are left out, as in `percent_agreement_no_ties`: where a task is
judged within one day both are the same figure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import combinations
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from app.quality.rules.bootstrap import MOST_PROFILES, RESAMPLES, Profiles
from app.quality.rules.intervals import Figure, Floats, Ints, bootstrap_figure, undefined
from app.quality.rules.judgements import Judgements

MOST_DAYS = 120  # that are kept, the latest ones
WEEK = 7
MOST_WEIGHT = 3  # of a task in a comparison, against one with a single pair of judgements
FEWEST_FOR_VARIANCE = 10  # tasks
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
class Sums:
    """What shares of agreement are made of: same / units, resting on so many tasks.

    same_2, same_units, units_2: Σ same², Σ same · units, Σ units² over tasks, for the variance.
    """

    same: float
    units: float
    tasks: float
    same_2: float = 0.0
    same_units: float = 0.0
    units_2: float = 0.0

    @property
    def value(self) -> float | None:
        return self.same / self.units if self.units else None

    @property
    def weight(self) -> float:
        """So many independent yes-or-no tasks would tell as much: the effective sample size.

        p(1 − p) over the linearised variance of the ratio (Cochran 1977, eq. 6.13). A task judged
        by several people tells more than one pair of judgements: up to MOST_WEIGHT times.
        """
        p = self.value
        if p is None or not 0 < p < 1 or self.tasks < FEWEST_FOR_VARIANCE:
            return self.tasks
        residual = self.same_2 - 2 * p * self.same_units + p * p * self.units_2
        variance = residual / self.units**2 * self.tasks / (self.tasks - 1)
        if variance <= 0:
            return self.tasks
        return min(max(self.tasks, p * (1 - p) / variance), MOST_WEIGHT * self.tasks)

    def without(self, other: "Sums") -> "Sums":
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Sums(*(max(0.0, mine - theirs) for mine, theirs in pairs))


def total_of(parts: Iterable[Sums]) -> Sums:
    return Sums(
        *(sum(column) for column in zip(*map(astuple, [Sums(0, 0, 0), *parts]), strict=True))
    )


NOTHING = Sums(0.0, 0.0, 0)


@dataclass(frozen=True, slots=True)
class Day:
    """agreement: of the day's judgements with all others of their tasks, ties left out."""

    day: date
    n_annotations: int
    n_annotators: int
    agreement: Figure
    sums: Sums


@dataclass(frozen=True, slots=True)
class Difference:
    """How much one share lies above another, with its interval; `is_clear`: zero is outside."""

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        return self.low > 0 or self.high < 0

    @property
    def is_fall(self) -> bool:
        return self.high < 0


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
    _, task = np.unique(judgements.task, return_inverse=True)
    names, code = np.unique(key, return_inverse=True)
    n_keys = max(1, len(names))
    groups, first, group = np.unique(task * n_keys + code, return_index=True, return_inverse=True)
    of_group = groups // n_keys
    n_tasks = int(task.max()) + 1 if len(task) else 0
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
            pairs = _pairs(all_up + all_down) - _pairs(rest_up + rest_down)
            alike = _pairs(all_up) + _pairs(all_down) - _pairs(rest_up) - _pairs(rest_down)
            same += np.where(pairs > 0, alike / np.maximum(pairs, 1), 0.0)
            units += pairs > 0
    return Shares(task=judgements.task[first], key=key[first], same=same, units=units)


def _pairs(n: Floats) -> Floats:
    pairs: Floats = n * (n - 1) / 2
    return pairs


def _columns(found: Shares) -> list[Floats]:
    """The columns of `Sums`, per group."""
    same, units = found.same, found.units.astype(np.float64)
    return [same, units, (units > 0).astype(np.float64), same**2, same * units, units**2]


def sums_of(found: Shares, chosen: NDArray[np.bool_] | Ints | None = None) -> Sums:
    columns = _columns(found)
    if chosen is not None:
        columns = [column[chosen] for column in columns]
    return Sums(*(float(column.sum()) for column in columns))


def sums_by_key(found: Shares) -> Mapping[int, Sums]:
    """Of each key over all tasks."""
    names, code = np.unique(found.key, return_inverse=True)
    columns = [np.bincount(code, each, minlength=len(names)) for each in _columns(found)]
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


def difference(part: Sums, rest: Sums, *, looks: int = 1) -> Difference | None:
    """How much the first share lies above the second; None where either is not defined.

    Newcombe's hybrid score interval (Newcombe 1998, method 10) over tasks by their weight;
    `looks`: so many such questions are asked at once, and fewer than one in twenty such rounds may
    give a false alarm (Bonferroni, at half that level: so far out Wilson's tails hold about twice
    what they say).
    """
    if part.value is None or rest.value is None:
        return None
    z = NormalDist().inv_cdf(1 - (0.025 if looks <= 1 else 0.0125 / looks))
    p, q = part.value, rest.value
    (low_p, high_p), (low_q, high_q) = _score(p, part.weight, z), _score(q, rest.weight, z)
    value = p - q
    return Difference(
        value,
        value - sqrt((p - low_p) ** 2 + (high_q - q) ** 2),
        value + sqrt((high_p - p) ** 2 + (q - low_q) ** 2),
    )


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


def _score(share: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's interval at another level than 95 %."""
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * sqrt(max(0.0, share * (1 - share) / n + z**2 / (4 * n**2)))
    return max(0.0, middle - half), min(1.0, middle + half)
