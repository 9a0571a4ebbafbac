"""The fields of a judgement: what is a unit of agreement, and how far its categories are apart."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from app.quality.rules.agreement import Level
from app.quality.rules.judgements import (
    TIE,
    Judgements,
    Units,
    ranking_units,
    rating_units,
    signed_strength,
    strength_units,
)


@dataclass(frozen=True, slots=True)
class Scale:
    """A criterion as declared by the project: whole steps from `low` to `high`."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Field:
    """How one field becomes units.

    given: the rows that have it; tie: the category that is a tie, None = it knows none.
    """

    level: Level
    units: Callable[[Judgements], Units]
    given: Callable[[Judgements], NDArray[np.bool_]]
    tie: int | None = None
    is_ranking: bool = False

    def of(self, judgements: Judgements) -> Judgements:
        """The first looks that have this field."""
        once = judgements.once()
        given = self.given(once)
        return once if given.all() else once.where(given)


def ranking_field(*, ties: bool = True) -> Field:
    """Who is better: the implied pairs, nominal.

    In three classes, or in two where the project knows no `ties`: AC1 rests on what could be said.
    """
    return Field(
        level=Level.NOMINAL,
        units=partial(ranking_units, ties=ties),
        given=lambda judgements: np.ones(len(judgements), np.bool_),
        tie=TIE if ties else None,
        is_ranking=True,
    )


def strength_field(*, levels: int) -> Field:
    """How much better: −levels … levels towards the first response, ordinal."""
    return Field(
        level=Level.ORDINAL,
        units=partial(strength_units, levels=levels),
        given=lambda judgements: ~np.isnan(signed_strength(judgements)),
        tie=levels,
    )


def rating_field(criterion: str, scale: Scale) -> Field:
    """One criterion: every response a unit, ordinal."""
    return Field(
        level=Level.ORDINAL,
        units=partial(rating_units, criterion=criterion, low=scale.low, high=scale.high),
        given=partial(_has_rating, criterion=criterion),
    )


def _has_rating(judgements: Judgements, *, criterion: str) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(judgements.ratings[criterion]).any(axis=1))


def fields_of(*, levels: int, scales: Mapping[str, Scale], ties: bool = True) -> dict[str, Field]:
    """Every field of the project, under its wire name (contract §3)."""
    fields = {"ranking": ranking_field(ties=ties)}
    if levels:
        fields["strength"] = strength_field(levels=levels)
    for criterion, scale in scales.items():
        fields[f"criterion:{criterion}"] = rating_field(criterion, scale)
    return fields
