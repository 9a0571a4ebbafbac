"""The fields of a judgement: what is a unit of agreement, and how far its categories are apart."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from app.quality.rules.agreement import Level
from app.quality.rules.judgements import (
    TIE,
    Categories,
    Judgements,
    Units,
    ranking_categories,
    rating_categories,
    signed_strength,
    strength_categories,
    units_of,
)


@dataclass(frozen=True, slots=True)
class Scale:
    """A criterion as declared by the project: whole steps from `low` to `high`."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Field:
    """How one field becomes units.

    categories: what each row says, of `n_categories`; given: the rows that have it; tie: the
    category that is a tie, None = it knows none.
    """

    level: Level
    n_categories: int
    categories: Callable[[Judgements], Categories]
    given: Callable[[Judgements], NDArray[np.bool_]]
    tie: int | None = None
    is_ranking: bool = False

    def of(self, judgements: Judgements) -> Judgements:
        """The first looks that have this field."""
        once = judgements.once()
        given = self.given(once)
        return once if given.all() else once.where(given)

    def units(self, judgements: Judgements) -> Units:
        return units_of(judgements, self.categories(judgements), n_categories=self.n_categories)


def ranking_field(*, ties: bool = True) -> Field:
    """Who is better: the implied pairs, nominal.

    In three classes, or in two where the project knows no `ties`: AC1 rests on what could be said.
    """
    return Field(
        level=Level.NOMINAL,
        n_categories=3 if ties else 2,
        categories=partial(ranking_categories, ties=ties),
        given=lambda judgements: np.ones(len(judgements), np.bool_),
        tie=TIE if ties else None,
        is_ranking=True,
    )


def strength_field(*, levels: int) -> Field:
    """How much better: −levels … levels towards the first response, ordinal."""
    return Field(
        level=Level.ORDINAL,
        n_categories=2 * levels + 1,
        categories=partial(strength_categories, levels=levels),
        given=lambda judgements: ~np.isnan(signed_strength(judgements)),
        tie=levels,
    )


def rating_field(criterion: str, scale: Scale) -> Field:
    """One criterion: every response a unit, ordinal."""
    return Field(
        level=Level.ORDINAL,
        n_categories=scale.high - scale.low + 1,
        categories=partial(rating_categories, criterion=criterion, low=scale.low, high=scale.high),
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
