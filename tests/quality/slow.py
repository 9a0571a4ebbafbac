"""The formulas of agreement a second time: from the judgements themselves, in exact fractions.

A table is a list of units, each a list of (person, category) of those who judged it. None is "not
defined".
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import combinations, permutations

Unit = Sequence[tuple[int, int]]
Distance = Callable[[int, int], Fraction]


def mean(values: Sequence[Fraction]) -> Fraction | None:
    return sum(values, Fraction()) / len(values) if values else None


def percent(units: Sequence[Unit]) -> Fraction | None:
    """Mean over units of the share of agreeing pairs."""
    return mean(
        [
            mean([Fraction(a == b) for (_, a), (_, b) in combinations(unit, 2)])
            for unit in units
            if len(unit) > 1
        ]
    )


def distance(level: str, values: Sequence[int]) -> Distance:
    """Krippendorff's δ² between two of the values that are there."""

    def ordinal(a: int, b: int) -> Fraction:
        low, high = min(a, b), max(a, b)
        between = sum(low <= value <= high for value in values)
        return (between - Fraction(values.count(a) + values.count(b), 2)) ** 2

    return {
        "nominal": lambda a, b: Fraction(a != b),
        "interval": lambda a, b: Fraction((a - b) ** 2),
        "ordinal": lambda a, b: ordinal(a, b) if a != b else Fraction(),
    }[level]


def alpha(units: Sequence[Unit], level: str) -> Fraction | None:
    """1 − D_o / D_e from pairs of values (Krippendorff 2011, section C)."""
    pairable = [[category for _, category in unit] for unit in units if len(unit) > 1]
    values = [value for unit in pairable for value in unit]
    apart = distance(level, values)
    n = len(values)
    observed = sum(
        (
            sum((apart(a, b) for a, b in permutations(unit, 2)), Fraction()) / (len(unit) - 1)
            for unit in pairable
        ),
        Fraction(),
    )
    expected = sum((apart(a, b) for a, b in permutations(values, 2)), Fraction())
    return 1 - (n - 1) * observed / expected if expected else None


def credit(a: int, b: int, steps: int, *, weighted: bool) -> Fraction:
    """1 for the same answer; with weights 1 − (a−b)²/(q−1)² for a near one."""
    if not weighted or steps < 2:
        return Fraction(a == b)
    return 1 - Fraction((a - b) ** 2, (steps - 1) ** 2)


def gwet(units: Sequence[Unit], steps: int, *, weighted: bool) -> Fraction | None:
    """AC1 or AC2 (Gwet 2014, ch. 4 and 5), judgement by judgement."""
    observed = mean(
        [
            mean(
                [credit(a, b, steps, weighted=weighted) for (_, a), (_, b) in permutations(unit, 2)]
            )
            for unit in units
            if len(unit) > 1
        ]
    )
    if observed is None or steps < 2:
        return None
    judged = [unit for unit in units if unit]
    share = [
        mean([Fraction(sum(c == k for _, c in unit), len(unit)) for unit in judged])
        for k in range(steps)
    ]
    total = sum(credit(a, b, steps, weighted=weighted) for a in range(steps) for b in range(steps))
    chance = total / (steps * (steps - 1)) * sum(p * (1 - p) for p in share)
    return (observed - chance) / (1 - chance)


def fleiss(units: Sequence[Unit]) -> Fraction | None:
    """Fleiss (1971); None where the numbers of judgements differ."""
    if len({len(unit) for unit in units}) != 1 or (observed := percent(units)) is None:
        return None
    values = [category for unit in units for _, category in unit]
    chance = sum(Fraction(values.count(k), len(values)) ** 2 for k in set(values))
    return (observed - chance) / (1 - chance) if chance < 1 else None


def cohen(units: Sequence[Unit], steps: int, *, weighted: bool) -> Fraction | None:
    """Cohen (1960, 1968), of the units that both have judged; None unless people are two."""
    people = sorted({person for unit in units for person, _ in unit})
    both = [dict(unit) for unit in units if len(unit) == 2]
    if len(people) != 2 or not both:
        return None
    one, other = ([unit[person] for unit in both] for person in people)

    def agreeing(pairs: Sequence[tuple[int, int]]) -> Fraction | None:
        return mean([credit(a, b, steps, weighted=weighted) for a, b in pairs])

    observed = agreeing(list(zip(one, other, strict=True)))
    chance = agreeing([(a, b) for a in one for b in other])
    return (observed - chance) / (1 - chance) if chance < 1 else None


def kappa_x(one: Sequence[Sequence[int]], other: Sequence[Sequence[int]]) -> Fraction | None:
    """Cross-replication reliability, nominal (Wong, Paritosh, Aroyo 2021); categories per unit."""
    both = [(a, b) for a, b in zip(one, other, strict=True) if a and b]
    size = sum(len(a) + len(b) for a, b in both)
    observed = sum(
        (len(a) + len(b)) * mean([Fraction(x != y) for x in a for y in b]) for a, b in both
    )
    mine, hers = [x for a, _ in both for x in a], [y for _, b in both for y in b]
    chance = mean([Fraction(x != y) for x in mine for y in hers])
    return 1 - Fraction(observed, size) / chance if chance else None


def mid_ranks(ranks: Sequence[int]) -> list[Fraction]:
    return [
        Fraction(sum(other < mine for other in ranks) * 2 + ranks.count(mine) + 1, 2)
        for mine in ranks
    ]


def kendall_w(rankings: Sequence[Sequence[int]]) -> Fraction | None:
    """12 S / (m² (n³ − n) − m Σ (t³ − t)) (Kendall and Gibbons 1990, ch. 6)."""
    m, n = len(rankings), len(rankings[0])
    sums = [sum(column) for column in zip(*map(mid_ranks, rankings), strict=True)]
    spread = sum((total - Fraction(m * (n + 1), 2)) ** 2 for total in sums)
    ties = sum(row.count(rank) ** 3 - row.count(rank) for row in rankings for rank in set(row))
    below = m**2 * (n**3 - n) - m * ties
    return 12 * spread / below if m > 1 and below else None
