"""Whether judgements changed with the guidelines: flips, against how often people change anyway.

Implied pairs of one task are not independent of each other, so their number is divided by the
design effect of the tasks (Kish 1965, §5.4) before it goes into an interval or a test; where each
task has one pair and was asked once, nothing is changed by it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb, sqrt
from random import Random
from statistics import NormalDist
from typing import Any, Literal
from uuid import UUID

from app.quality.rules.intervals import Figure, newcombe, undefined, wilson

Direction = Literal["tie_to_decisive", "decisive_to_tie", "reversed"]
DIRECTIONS: tuple[Direction, ...] = ("tie_to_decisive", "decisive_to_tie", "reversed")
FEWEST_EXPECTED = 5  # in a cell of the 2 × 2 table: below, the exact test
LEVEL = 0.05
DEFAULT_SIZE, LARGEST_SIZE = 50, 2_000  # tasks of a sample
FEWEST_USEFUL = 20  # judgements: fewer tell only of very large changes


@dataclass(frozen=True, slots=True)
class Look:
    """One person's two judgements of one task, by canonical position."""

    task: UUID
    before: Sequence[int]
    after: Sequence[int]

    @property
    def flips(self) -> Counter[Direction]:
        """Implied pairs that were judged another way, by direction."""
        found: Counter[Direction] = Counter()
        for i, j in combinations(range(len(self.before)), 2):
            was = _sign(self.before[i], self.before[j])
            now = _sign(self.after[i], self.after[j])
            if was != now:
                found[
                    "tie_to_decisive" if not was else "reversed" if now else "decisive_to_tie"
                ] += 1
        return found

    @property
    def n_pairs(self) -> int:
        return comb(len(self.before), 2)


def _sign(first: int, second: int) -> int:
    return (first > second) - (first < second)


@dataclass(frozen=True, slots=True)
class Rate:
    """`flips` of `n_pairs` implied pairs; `effective`: as many independent ones tell as much."""

    flips: int
    n_pairs: int
    n_looks: int
    effective: float

    @property
    def share(self) -> float:
        return self.flips / self.n_pairs

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.share * self.effective, self.effective)

    def figure(self, *, none: str) -> Figure:
        return Figure(self.share, *self.interval) if self.n_pairs else undefined(none)


def rate(looks: Iterable[Look]) -> Rate:
    """The share of implied pairs that flipped, and what it rests on."""
    by_task: defaultdict[UUID, list[int]] = defaultdict(lambda: [0, 0])
    n_looks = 0
    for look in looks:
        n_looks += 1
        counts = by_task[look.task]
        counts[0] += sum(look.flips.values())
        counts[1] += look.n_pairs
    flips, n_pairs = (sum(counts[place] for counts in by_task.values()) for place in (0, 1))
    effective = _effective(list(by_task.values()), flips=flips, n_pairs=n_pairs)
    return Rate(flips, n_pairs, n_looks, effective)


def _effective(tasks: Sequence[Sequence[int]], *, flips: int, n_pairs: int) -> float:
    """N / deff with the ratio estimator's variance over tasks (Cochran 1977, eq. 6.9)."""
    k = len(tasks)
    if n_pairs == k:
        return float(n_pairs)
    if flips in {0, n_pairs} or k < 2:  # nothing is known of how alike the pairs of a task are
        return float(k)
    share = flips / n_pairs
    spread = sum((count - share * size) ** 2 for count, size in tasks) * k / (k - 1)
    variance = spread / n_pairs**2
    return n_pairs / max(1.0, variance / (share * (1 - share) / n_pairs))


@dataclass(frozen=True, slots=True)
class Comparison:
    """The rate less the base rate: with Newcombe's interval, and the test that they are equal."""

    difference: Figure
    p_value: float | None

    @property
    def verdict(self) -> Literal["more", "fewer", "no_difference"] | None:
        if self.p_value is None or self.difference.value is None:
            return None
        if self.p_value >= LEVEL:
            return "no_difference"
        return "more" if self.difference.value > 0 else "fewer"


def compare(found: Rate, base: Rate) -> Comparison:
    """Newcombe 1998, method 10, and the two-proportion score test; Fisher's where it is small."""
    if not found.n_pairs:
        return Comparison(undefined("None of the re-asked tasks is in yet."), None)
    if not base.n_pairs:
        return Comparison(
            undefined(
                "There are no silent repeats under unchanged guidelines to compare with: raise "
                "their share in the settings."
            ),
            None,
        )
    low, high = newcombe(found.share, found.interval, base.share, base.interval)
    return Comparison(Figure(found.share - base.share, low, high), _p_value(found, base))


def _p_value(found: Rate, base: Rate) -> float:
    m, n = found.effective, base.effective
    pooled = (found.share * m + base.share * n) / (m + n)
    expected = min(m, n) * min(pooled, 1 - pooled)
    if expected < FEWEST_EXPECTED:
        return fisher_exact(
            round(found.share * m), max(1, round(m)), round(base.share * n), max(1, round(n))
        )
    z = (found.share - base.share) / sqrt(pooled * (1 - pooled) * (1 / m + 1 / n))
    return 2 * NormalDist().cdf(-abs(z))


def fisher_exact(first: int, m: int, second: int, n: int) -> float:
    """Two-sided: all tables with these margins that are at most as likely (Fisher 1935)."""
    total = first + second
    ways = {
        count: comb(m, count) * comb(n, total - count)
        for count in range(max(0, total - n), min(m, total) + 1)
    }
    return sum(way for way in ways.values() if way <= ways[first]) / comb(m + n, total)


def directions(looks: Iterable[Look]) -> dict[Direction, int]:
    """How many implied pairs changed in which way."""
    total: Counter[Direction] = Counter()
    for look in looks:
        total.update(look.flips)
    return {direction: total[direction] for direction in DIRECTIONS}


def in_a_sentence(found: Rate, base: Rate, comparison: Comparison) -> str:
    """What to make of it."""
    if not found.n_pairs:
        return "Nothing is in yet. The tasks come among the others, a few on each person’s day."
    changed = f"{found.flips} of {found.n_pairs} re-asked pairs changed ({found.share:.0%})"
    if comparison.p_value is None or comparison.difference.value is None:
        return (
            f"{changed}. How much of that people change anyway is not known: there are no silent "
            "repeats under unchanged guidelines."
        )
    anyway = f"{base.share:.0%} that people change without any new guidelines"
    match comparison.verdict:
        case "more":
            return f"{changed}, more than the {anyway}. The guidelines made a difference."
        case "fewer":
            return (
                f"{changed}, fewer than the {anyway}. The new guidelines did not move these "
                "judgements."
            )
    return (
        f"{changed}, against the {anyway}. A change because of the guidelines cannot be told from "
        "that."
    )


# -- drawing the sample


def sample(
    judged: Iterable[tuple[UUID, UUID]], *, size: int, rng: Random
) -> list[tuple[UUID, UUID]]:
    """(task, person) pairs: each task once, and everybody about as often, as far as there are."""
    of_person: defaultdict[UUID, list[UUID]] = defaultdict(list)
    for task, person in sorted(judged):
        of_person[person].append(task)
    for tasks in of_person.values():
        rng.shuffle(tasks)
    taken: dict[UUID, UUID] = {}
    people = sorted(of_person)
    rng.shuffle(people)
    while people and len(taken) < size:
        for person in list(people):
            tasks = of_person[person]
            while tasks and tasks[-1] in taken:
                tasks.pop()
            if not tasks:
                people.remove(person)
            elif len(taken) < size:
                taken[tasks.pop()] = person
    return list(taken.items())


def as_json(found: Rate, base: Rate, comparison: Comparison) -> dict[str, Any]:
    none = "None of the re-asked tasks is in yet."
    no_base = "No task came again under unchanged guidelines."
    return {
        "flip_rate": found.figure(none=none).as_json(),
        "flips": found.flips,
        "n_pairs": found.n_pairs,
        "base_rate": base.figure(none=no_base).as_json(),
        "base_flips": base.flips,
        "base_pairs": base.n_pairs,
        "difference": comparison.difference.as_json(),
        "p_value": None if comparison.p_value is None else float(f"{comparison.p_value:.4g}"),
        "verdict": comparison.verdict,
    }
