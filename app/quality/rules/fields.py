"""The agreement figures of each field of a judgement: ranking, strength, one per criterion."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from app.quality.rules import agreement as formulas
from app.quality.rules.agreement import Level
from app.quality.rules.bootstrap import RESAMPLES, distinct_rows, profiles
from app.quality.rules.intervals import Figure, Floats, bootstrap_figure, undefined
from app.quality.rules.judgements import (
    TIE,
    Judgements,
    Units,
    ranking_units,
    rating_units,
    signed_strength,
    strength_units,
)
from app.quality.rules.rankings import rank_features

NOTHING = "There is no judgement yet."
NOTHING_SHARED = "No task has been judged by two people yet."
NOTHING_DECISIVE = "No task has two judgements that are not ties."
ONE_VALUE = "Everybody gave the same answer everywhere: chance cannot be told from agreement."
NO_ORDER = "Everybody ties all responses of every shared task."
NO_TIES = "A rating knows no ties."
NOT_A_RANKING = "Only rankings have it."
ONE_STEP = "The scale has a single step."


@dataclass(frozen=True, slots=True)
class Scale:
    """A criterion as declared by the project: whole steps from `low` to `high`."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class FieldAgreement:
    """The figures of one field, and what they rest on.

    n_tasks, n_annotations, n_annotators: everything counted; n_shared_tasks: judged by two people
    or more, on which the figures rest.
    """

    n_tasks: int
    n_annotations: int
    n_annotators: int
    n_shared_tasks: int
    percent_agreement: Figure
    percent_agreement_no_ties: Figure
    krippendorff_alpha: Figure
    gwet_ac: Figure
    kendall_tau_b: Figure
    kendall_w: Figure

    def as_json(self) -> dict[str, Any]:
        return {
            name: value.as_json() if isinstance(value := getattr(self, name), Figure) else value
            for name in self.__slots__
        }


def ranking_agreement(
    judgements: Judgements,
    *,
    ties: bool = True,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> FieldAgreement:
    """Who is better: the implied pairs, nominal; intervals over tasks.

    In three classes, or in two where the project knows no `ties`: AC1 rests on what could be said.
    """
    judgements = judgements.once()
    return _agreement(
        judgements,
        ranking_units(judgements, ties=ties),
        level=Level.NOMINAL,
        tie=TIE if ties else None,
        rank_columns=True,
        rng=rng,
        resamples=resamples,
    )


def strength_agreement(
    judgements: Judgements, *, levels: int, rng: np.random.Generator, resamples: int = RESAMPLES
) -> FieldAgreement:
    """How much better: −levels … levels towards the first response, ordinal."""
    judgements = judgements.once()
    judgements = judgements.where(~np.isnan(signed_strength(judgements)))
    return _agreement(
        judgements,
        strength_units(judgements, levels=levels),
        level=Level.ORDINAL,
        tie=levels,
        rank_columns=False,
        rng=rng,
        resamples=resamples,
    )


def rating_agreement(
    judgements: Judgements,
    *,
    criterion: str,
    scale: Scale,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> FieldAgreement:
    """One criterion: every response a unit, ordinal."""
    judgements = judgements.once()
    rated = np.isfinite(judgements.ratings[criterion]).any(axis=1)
    judgements = judgements.where(np.asarray(rated))
    found = _agreement(
        judgements,
        rating_units(judgements, criterion=criterion, low=scale.low, high=scale.high),
        level=Level.ORDINAL,
        tie=None,
        rank_columns=False,
        rng=rng,
        resamples=resamples,
    )
    return replace(found, percent_agreement_no_ties=undefined(NO_TIES))


def all_fields(
    judgements: Judgements,
    *,
    levels: int,
    scales: Mapping[str, Scale],
    ties: bool = True,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> dict[str, FieldAgreement]:
    """Every field of the project, under its wire name (contract §3)."""
    fields = {"ranking": ranking_agreement(judgements, ties=ties, rng=rng, resamples=resamples)}
    if levels:
        fields["strength"] = strength_agreement(
            judgements, levels=levels, rng=rng, resamples=resamples
        )
    for criterion, scale in scales.items():
        fields[f"criterion:{criterion}"] = rating_agreement(
            judgements, criterion=criterion, scale=scale, rng=rng, resamples=resamples
        )
    return fields


def _agreement(
    judgements: Judgements,
    units: Units,
    *,
    level: Level,
    tie: int | None,
    rank_columns: bool,
    rng: np.random.Generator,
    resamples: int,
) -> FieldAgreement:
    tasks, number = np.unique(judgements.task, return_counts=True)
    shared = int((number >= 2).sum())
    figures = (
        _figures(judgements, units, level, tie, rank_columns, shared, rng, resamples)
        if shared
        else dict.fromkeys(_NAMES, undefined(NOTHING_SHARED if len(tasks) else NOTHING))
    )
    if not rank_columns:
        figures |= dict.fromkeys(("kendall_tau_b", "kendall_w"), undefined(NOT_A_RANKING))
    return FieldAgreement(
        n_tasks=len(tasks),
        n_annotations=len(judgements),
        n_annotators=len(np.unique(judgements.annotator)),
        n_shared_tasks=shared,
        **figures,
    )


_NAMES = (
    "percent_agreement",
    "percent_agreement_no_ties",
    "krippendorff_alpha",
    "gwet_ac",
    "kendall_tau_b",
    "kendall_w",
)


def _figures(
    judgements: Judgements,
    units: Units,
    level: Level,
    tie: int | None,
    rank_columns: bool,  # noqa: FBT001
    shared: int,
    rng: np.random.Generator,
    resamples: int,
) -> dict[str, Figure]:
    names, task = np.unique(units.task, return_inverse=True)
    extra = np.zeros((len(names), 0))
    if rank_columns:
        extra = rank_features(judgements, n_tasks=int(names.max()) + 1)[names]
    kind, example = distinct_rows(units.counts, rng)
    features = formulas.unit_features(units.counts[example], tie=tie)
    of_tasks = profiles(features, kind, task, extra, rng)
    q = units.counts.shape[1]
    values = _values(of_tasks.total(), categories=q, level=level)
    resampled = _values(of_tasks.resampled(rng, resamples), categories=q, level=level)
    reasons = {
        "percent_agreement_no_ties": NOTHING_DECISIVE,
        "krippendorff_alpha": ONE_VALUE if q > 1 else ONE_STEP,
        "gwet_ac": ONE_STEP,
        "kendall_tau_b": NO_ORDER,
        "kendall_w": NO_ORDER,
    }
    return {
        name: undefined(reasons.get(name, NOTHING_SHARED))
        if np.isnan(value[0])
        else bootstrap_figure(float(value[0]), resampled[name], n_tasks=shared)
        for name, value in values.items()
    }


def _values(flat: Floats, *, categories: int, level: Level) -> dict[str, Floats]:
    """Every figure from sums (R, features), NaN where not defined."""
    sums = formulas.as_sums(flat, categories=categories)
    values = {
        "percent_agreement": formulas.percent_agreement(sums),
        "percent_agreement_no_ties": formulas.percent_agreement_no_ties(sums),
        "krippendorff_alpha": formulas.krippendorff_alpha(sums, level),
        "gwet_ac": formulas.gwet_ac(sums, formulas.weights(categories, level)),
    }
    rest = flat[:, 2 * categories**2 + categories + 4 :]
    if rest.shape[1]:
        values["kendall_tau_b"] = formulas.ratio(rest[:, 0], rest[:, 1])
        values["kendall_w"] = formulas.ratio(rest[:, 2], rest[:, 3])
    return values
