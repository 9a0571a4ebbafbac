"""The agreement figures of each field of a judgement: ranking, strength, one per criterion."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np

from app.quality.rules import agreement as formulas
from app.quality.rules.agreement import Level
from app.quality.rules.between import cohen_figures
from app.quality.rules.bootstrap import RESAMPLES, Profiles, distinct_rows, profiles
from app.quality.rules.intervals import (
    Figure,
    Floats,
    bootstrap_figures,
    undefined,
)
from app.quality.rules.judgements import Judgements, Units
from app.quality.rules.rankings import rank_features
from app.quality.rules.scales import (
    Field,
    Scale,
    fields_of,
    ranking_field,
    rating_field,
    strength_field,
)

T = TypeVar("T")

NOTHING = "There is no judgement yet."
NOTHING_SHARED = "No task has been judged by two people yet."
NOTHING_PAIRED = "No response has been rated by two people yet."
NOTHING_DECISIVE = "No task has two judgements that are not ties."
ONE_VALUE = "Everybody gave the same answer everywhere: chance cannot be told from agreement."
NO_ORDER = "Everybody ties all responses of every shared task."
NO_BEST = "No task has two judgements that name a single best response."
NO_TIES = "A rating knows no ties."
NOT_A_RANKING = "Only rankings have it."
ONE_STEP = "The scale has a single step."
UNEVEN = (
    "Fleiss’ kappa needs the same number of judgements everywhere, and here are {fewest} to "
    "{most}; alpha and Gwet’s AC take missing ones."
)


@dataclass(frozen=True, slots=True)
class FieldAgreement:
    """The figures of one field, and what they rest on.

    n_tasks, n_annotations, n_annotators: everything counted; n_shared_tasks: judged by two people
    or more, on which the figures rest. `krippendorff_alpha` and `gwet_ac` are those that fit the
    field; the same at every level stand beside them.
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
    top_1_agreement: Figure
    fleiss_kappa: Figure
    cohen_kappa: Figure
    cohen_kappa_weighted: Figure
    krippendorff_alpha_nominal: Figure
    krippendorff_alpha_ordinal: Figure
    krippendorff_alpha_interval: Figure
    gwet_ac1: Figure
    gwet_ac2: Figure

    def as_json(self) -> dict[str, Any]:
        return {
            name: value.as_json() if isinstance(value := getattr(self, name), Figure) else value
            for name in self.__slots__
        }


FIGURES = tuple(field.name for field in fields(FieldAgreement) if field.type is Figure)
OF_RANKINGS = ("kendall_tau_b", "kendall_w", "top_1_agreement")


def ranking_agreement(
    judgements: Judgements,
    *,
    ties: bool = True,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> FieldAgreement:
    """Who is better; intervals over tasks."""
    return field_agreement(judgements, ranking_field(ties=ties), rng=rng, resamples=resamples)


def strength_agreement(
    judgements: Judgements, *, levels: int, rng: np.random.Generator, resamples: int = RESAMPLES
) -> FieldAgreement:
    """How much better."""
    return field_agreement(judgements, strength_field(levels=levels), rng=rng, resamples=resamples)


def rating_agreement(
    judgements: Judgements,
    *,
    criterion: str,
    scale: Scale,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> FieldAgreement:
    """One criterion."""
    return field_agreement(judgements, rating_field(criterion, scale), rng=rng, resamples=resamples)


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
    return {
        name: field_agreement(judgements, field, rng=rng, resamples=resamples)
        for name, field in fields_of(levels=levels, scales=scales, ties=ties).items()
    }


def field_agreement(
    judgements: Judgements, field: Field, *, rng: np.random.Generator, resamples: int = RESAMPLES
) -> FieldAgreement:
    """All figures of one field; what does not apply is not defined and says why."""
    judgements = field.of(judgements)
    tasks, number = np.unique(judgements.task, return_counts=True)
    shared = int((number >= 2).sum())
    figures: dict[str, Figure] = {}
    if shared:
        units = field.units(judgements)
        flat = _profiles(judgements, units, field, rng).with_resamples(rng, resamples)
        per_unit = units.counts.sum(axis=1)
        figures = figures_of(
            values_of(flat, field),
            field,
            n_shared=shared,
            per_unit=(int(per_unit.min()), int(per_unit.max())),
        ) | cohen_figures(judgements, field, rng=rng, resamples=resamples)
    return with_figures(
        field,
        figures,
        n_tasks=len(tasks),
        n_annotations=len(judgements),
        n_annotators=len(np.unique(judgements.annotator)),
        n_shared_tasks=shared,
    )


def with_figures(field: Field, figures: Mapping[str, Figure], **counts: int) -> FieldAgreement:
    """Those that are not there are not defined; counts as in `FieldAgreement`."""
    missing = undefined(NOTHING_SHARED if counts["n_tasks"] else NOTHING)
    every = dict.fromkeys(FIGURES, missing) | dict(figures)
    if not field.is_ranking:
        every |= dict.fromkeys(OF_RANKINGS, undefined(NOT_A_RANKING))
        if field.tie is None:
            every["percent_agreement_no_ties"] = undefined(NO_TIES)
    values: dict[str, Any] = {**counts, **every}
    return FieldAgreement(**values)


def figures_of(
    values: Mapping[str, Floats], field: Field, *, n_shared: int, per_unit: tuple[int, int]
) -> dict[str, Figure]:
    """Everything but Cohen's kappa, from values of all tasks and then of each resample.

    per_unit: the fewest and the most judgements of a unit; at least one task was judged by two.
    """
    if np.isnan(values["percent_agreement"][0]):
        return dict.fromkeys(_with_fitting(values, field.level), undefined(NOTHING_PAIRED))
    defined = {name: float(value[0]) for name, value in values.items() if not np.isnan(value[0])}
    drawn = {name: value[1:] for name, value in values.items()}
    figures = {
        name: undefined(_reason(name, categories=field.n_categories)) for name in values
    } | bootstrap_figures(defined, drawn, n_tasks=n_shared)
    fewest, most = per_unit
    if fewest != most:
        figures["fleiss_kappa"] = undefined(UNEVEN.format(fewest=fewest, most=most))
    return _with_fitting(figures, field.level)


def _with_fitting(figures: Mapping[str, T], level: Level) -> dict[str, T]:
    """Beside every level, alpha and AC at the one that fits the field."""
    ac = "gwet_ac1" if level is Level.NOMINAL else "gwet_ac2"
    return {
        **figures,
        "krippendorff_alpha": figures[f"krippendorff_alpha_{level}"],
        "gwet_ac": figures[ac],
    }


def _profiles(
    judgements: Judgements, units: Units, field: Field, rng: np.random.Generator
) -> Profiles:
    names, task = np.unique(units.task, return_inverse=True)
    extra = np.zeros((len(names), 0))
    if field.is_ranking:
        extra = rank_features(judgements, n_tasks=int(names.max()) + 1)[names]
    kind, example = distinct_rows(units.counts, rng)
    features = formulas.unit_features(units.counts[example], tie=field.tie)
    return profiles(features, kind, task, extra, rng)


def _reason(name: str, *, categories: int) -> str:
    """Why a figure is not defined although two people judged the same."""
    if categories < 2:
        return ONE_STEP
    return {
        "percent_agreement_no_ties": NOTHING_DECISIVE,
        "kendall_tau_b": NO_ORDER,
        "kendall_w": NO_ORDER,
        "top_1_agreement": NO_BEST,
    }.get(name, ONE_VALUE)


def values_of(flat: Floats, field: Field) -> dict[str, Floats]:
    """Every figure but Cohen's kappa from sums (R, features), NaN where not defined."""
    categories = field.n_categories
    sums = formulas.as_sums(flat, categories=categories)
    values = {
        "percent_agreement": formulas.percent_agreement(sums),
        "percent_agreement_no_ties": formulas.percent_agreement_no_ties(sums),
        "fleiss_kappa": formulas.fleiss_kappa(sums),
        "gwet_ac1": formulas.gwet_ac(sums, formulas.weights(categories, Level.NOMINAL)),
        "gwet_ac2": formulas.gwet_ac(sums, formulas.weights(categories, Level.ORDINAL)),
    }
    values |= {
        f"krippendorff_alpha_{level}": formulas.krippendorff_alpha(sums, level) for level in Level
    }
    rest = flat[:, 2 * categories**2 + categories + 4 :]
    if rest.shape[1]:
        for column, name in enumerate(OF_RANKINGS):
            values[name] = formulas.ratio(rest[:, 2 * column], rest[:, 2 * column + 1])
    return values
