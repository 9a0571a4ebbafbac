"""Ratings of one task: what several people gave, as one number per criterion and response."""

from collections.abc import Mapping, Sequence
from math import fsum


def mean_ratings(
    ratings: Sequence[Mapping[str, Sequence[float | None]]], *, criteria: Sequence[str], size: int
) -> tuple[dict[str, list[float | None]], list[int]]:
    """(criterion → mean per response, people who rated each response) of one task."""
    if not ratings:
        return {}, []
    means: dict[str, list[float | None]] = {}
    for key in criteria:
        columns = [
            [value for judgement in ratings if (value := _at(judgement, key, number)) is not None]
            for number in range(size)
        ]
        means[key] = [fsum(values) / len(values) if values else None for values in columns]
    raters = [
        sum(
            any(_at(judgement, key, number) is not None for key in criteria)
            for judgement in ratings
        )
        for number in range(size)
    ]
    return means, raters


def _at(judgement: Mapping[str, Sequence[float | None]], key: str, number: int) -> float | None:
    values = judgement.get(key)
    return values[number] if values is not None and number < len(values) else None
