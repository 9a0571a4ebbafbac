"""Signs in what a policy writes: how often it repeats itself, how varied it is, if it refuses."""

import math
from collections.abc import Hashable, Iterable, Sequence

from torch import Tensor

GRAM = 3  # tokens that make one group


def grams(tokens: Sequence[int], size: int = GRAM) -> list[tuple[int, ...]]:
    """The groups of neighbouring tokens; a shorter response is one group."""
    return [tuple(tokens[i : i + size]) for i in range(max(len(tokens) - size + 1, 1))]


def repeated(responses: Sequence[Sequence[int]]) -> list[float]:
    """Share of groups that their own response has said before, of each response."""
    return [1 - len(set(found)) / len(found) for found in map(grams, responses)]


def distinct(responses: Sequence[Sequence[int]]) -> float:
    """Share of different groups among those of all responses together (distinct-n)."""
    every = [gram for response in responses for gram in grams(response)]
    return len(set(every)) / len(every)


def refuses(text: str, patterns: Sequence[str], *, within: int = 120) -> bool:
    """Whether the first characters hold one of the phrases."""
    opening = text[:within].lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return any(pattern.lower() in opening for pattern in patterns)


def disagreement(members: Tensor) -> float:
    """Mean deviation between members, each about its own mean: `(members, responses)`.

    The zero of a reward model means nothing, so only differences between responses are compared.
    """
    centred = members - members.mean(1, keepdim=True)
    return float(centred.std(0, correction=0).mean())


def error_of_mean(values: Sequence[float], groups: Iterable[Hashable]) -> float:
    """Standard error of the mean where values of a group resemble each other (Liang & Zeger 1986).

    With groups of one it is the usual one.
    """
    mean, sums = sum(values) / len(values), dict[Hashable, float]()
    for value, group in zip(values, groups, strict=True):
        sums[group] = sums.get(group, 0.0) + value - mean
    return math.sqrt(sum(found**2 for found in sums.values())) / len(values)


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Of the least-squares line; 0 where x does not move."""
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    if spread < 1e-9:
        return 0.0
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread
