"""What the labels cost, where the money goes, and what one usable comparison costs.

The one rule: everything that people did here costs; a *usable comparison* is an implied pair of
responses of an ordinary task on which the people who judged it, those left out who fail the gold
questions, lean to one side: majority of decisive votes. Pairs that are split evenly or tied, gold,
repeats, surplus, the qualification and skipped tasks cost and add none; a second judgement of a
pair costs and does not make a second comparison.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import combinations

import numpy as np

from app.quality.rules.judgements import Judgements


class Kind(StrEnum):
    """What a piece of work was for."""

    ORDINARY = "ordinary"
    SURPLUS = "surplus"
    GOLD = "gold"
    REPEATS = "repeats"
    QUALIFICATION = "qualification"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Entry:
    """Work of one kind on one day: how often, its time, and how many passed (gold)."""

    day: date
    kind: Kind
    number: int
    ms: int
    passed: int


@dataclass(frozen=True, slots=True)
class Price:
    """What people are paid; both may be given, neither need be."""

    per_hour: float | None
    per_judgement: float | None
    currency: str

    @property
    def is_known(self) -> bool:
        return self.per_hour is not None or self.per_judgement is not None

    def of(self, *, judgements: float, hours: float) -> float | None:
        if not self.is_known:
            return None
        return (self.per_judgement or 0.0) * judgements + (self.per_hour or 0.0) * hours


@dataclass(frozen=True, slots=True)
class Share:
    """One use of the money. `cost` is None without a price; skipped tasks are no judgements."""

    name: str
    label: str
    judgements: int
    hours: float
    cost: float | None


@dataclass(frozen=True, slots=True)
class Cost:
    """So far. per_usable: cost, or without a price hours, of a usable comparison."""

    price: Price
    parts: Sequence[Share]
    judgements: int
    hours: float
    total: float | None
    usable: int
    pairs: int  # implied pairs that somebody has judged
    ordinary: int  # judgements that count

    @property
    def per_usable(self) -> float | None:
        return self.total / self.usable if self.total is not None and self.usable else None

    @property
    def minutes_per_usable(self) -> float | None:
        return 60 * self.hours / self.usable if self.usable and self.hours else None

    @property
    def each(self) -> float | None:
        """Of one judgement that counts, with everything around it."""
        return self.total / self.ordinary if self.total is not None and self.ordinary else None

    @property
    def hours_each(self) -> float | None:
        return self.hours / self.ordinary if self.hours and self.ordinary else None


LABELS = {
    "first": "First judgement of a task",
    "overlap": "Further judgements of the same tasks",
    Kind.GOLD: "Gold questions",
    Kind.REPEATS: "Repeats",
    Kind.QUALIFICATION: "Qualification",
    Kind.SURPLUS: "Surplus: came too late to count, or answers a gold key that was withdrawn",
    Kind.SKIPPED: "Tasks that were skipped",
}


def cost(entries: Collection[Entry], price: Price, *, tasks: int, usable: int, pairs: int) -> Cost:
    """`tasks`: ordinary ones with a judgement that counts; the first one each is no overlap."""
    number = {kind: sum(e.number for e in entries if e.kind is kind) for kind in Kind}
    hours = {kind: sum(e.ms for e in entries if e.kind is kind) / 3_600_000 for kind in Kind}
    ordinary, time = number[Kind.ORDINARY], hours[Kind.ORDINARY]
    first = min(tasks, ordinary)
    each = time / ordinary if ordinary else 0.0
    uses = [
        ("first", first, each * first),
        ("overlap", ordinary - first, each * (ordinary - first)),
        *((kind, number[kind], hours[kind]) for kind in Kind if kind is not Kind.ORDINARY),
    ]
    parts = [
        Share(
            str(name),
            LABELS[name],
            count,
            spent,
            price.of(judgements=0 if name is Kind.SKIPPED else count, hours=spent),
        )
        for name, count, spent in uses
        if count
    ]
    worked = sum(number.values()) - number[Kind.SKIPPED]
    total_hours = sum(hours.values())
    return Cost(
        price=price,
        parts=sorted(parts, key=lambda part: -(part.cost if part.cost is not None else part.hours)),
        judgements=worked,
        hours=total_hours,
        total=price.of(judgements=worked, hours=total_hours),
        usable=usable,
        pairs=pairs,
        ordinary=ordinary,
    )


def usable_pairs(judgements: Judgements, *, left_out: Collection[int] = ()) -> tuple[int, int]:
    """(usable comparisons, implied pairs judged) of judgements without repeats.

    `left_out`: people (codes) whose judgements make no comparison usable.
    """
    kept = judgements
    if left_out:
        kept = judgements.where(~np.isin(judgements.annotator, list(left_out)))
    return _pairs(kept, decided=True), _pairs(judgements, decided=False)


def _pairs(judgements: Judgements, *, decided: bool) -> int:
    found = 0
    sizes = judgements.sizes
    for size in np.unique(sizes):
        mine = sizes == size
        names, task = np.unique(judgements.task[mine], return_inverse=True)
        ranks = judgements.ranks[mine]
        for i, j in combinations(range(int(size)), 2):
            if decided:
                lean = np.bincount(task, np.sign(ranks[:, j] - ranks[:, i]))
                found += int(np.count_nonzero(lean))
            else:
                found += len(names)
    return found


def money(amount: float, currency: str) -> str:
    """`1,240 EUR`, `0.35 EUR`, `0.042 EUR`."""
    digits = 0 if abs(amount) >= 100 else 2 if abs(amount) >= 0.1 or amount == 0 else 3
    return f"{amount:,.{digits}f} {currency}".strip()


def span(hours: float) -> str:
    """`40 s`, `12 minutes`, `6.5 hours`."""
    seconds = 3600 * hours
    if seconds < 100:
        return f"{seconds:,.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:,.0f} minutes"
    return f"{hours:,.1f} hours" if hours < 100 else f"{hours:,.0f} hours"


def in_words(found: Cost) -> str:
    """What one usable comparison costs, in a sentence; what is not known is said to be so."""
    if not found.judgements:
        return (
            "Not known yet: nobody has judged anything here. What is imported costs nothing here."
        )
    if not found.usable:
        return (
            "Not known yet: no comparison is usable so far, because nobody has preferred a "
            "response or people are evenly split."
        )
    spent = span(found.hours)
    if found.per_usable is None or found.total is None:
        return (
            f"{span((found.minutes_per_usable or 0) / 60)} of work for each of "
            f"{found.usable:,} usable comparisons: {spent} in all."
        )
    return (
        f"{money(found.per_usable, found.price.currency)} for each of {found.usable:,} usable "
        f"comparisons: {money(found.total, found.price.currency)} in all, {spent} of work."
    )
