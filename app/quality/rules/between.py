"""Agreement between two sides: two people (Cohen's kappa), two groups of people (κ_x)."""

from collections.abc import Mapping, Sequence

import numpy as np

from app.quality.rules import agreement as formulas
from app.quality.rules.agreement import Level
from app.quality.rules.bootstrap import distinct_rows, profiles
from app.quality.rules.intervals import (
    Figure,
    Floats,
    Ints,
    bootstrap_figure,
    undefined,
)
from app.quality.rules.judgements import Judgements, Units
from app.quality.rules.scales import Field

NOT_TWO = (
    "Cohen’s kappa is that of two people, and here are {number}. Every two of them have theirs in "
    "the pairs of people; alpha and Gwet’s AC take any number."
)
ONE_ANSWER = "Both gave one and the same answer everywhere."
NOTHING_IN_COMMON = "The two have judged nothing in common."
KAPPAS = ("cohen_kappa", "cohen_kappa_weighted")


def common_units(one: Units, other: Units) -> tuple[Ints, Ints]:
    """Rows of the units that both sides have judged, in the same order."""
    places = 1 + max(one.place.max(initial=0), other.place.max(initial=0))
    _, mine, hers = np.intersect1d(
        one.task * places + one.place,
        other.task * places + other.place,
        assume_unique=True,
        return_indices=True,
    )
    return mine, hers


def cohen_figures(
    judgements: Judgements, field: Field, *, rng: np.random.Generator, resamples: int
) -> dict[str, Figure]:
    """Cohen's kappa of two people, plain and with quadratic weights; intervals over tasks."""
    people = np.unique(judgements.annotator)
    if len(people) != 2:
        return dict.fromkeys(KAPPAS, undefined(NOT_TWO.format(number=len(people))))
    one = field.units(judgements.where(judgements.annotator == people[0]))
    other = field.units(judgements.where(judgements.annotator == people[1]))
    mine, hers = common_units(one, other)
    q = one.counts.shape[1]
    cell = one.counts[mine].argmax(axis=1) * q + other.counts[hers].argmax(axis=1)
    tasks, task = np.unique(one.task[mine], return_inverse=True)
    found = profiles(np.eye(q * q), cell, task, np.zeros((len(tasks), 0)), rng)
    tables = found.with_resamples(rng, resamples).reshape(-1, q, q)
    return cohen_of_values(cohen_values(tables), n_tasks=len(tasks))


def cohen_values(tables: Floats) -> list[Floats]:
    """Plain and with quadratic weights, in the order of `KAPPAS`."""
    q = tables.shape[-1]
    weights = (formulas.weights(q, Level.NOMINAL), formulas.weights(q, Level.ORDINAL))
    return [formulas.cohen_kappa(tables, weight) for weight in weights]


def cohen_of_values(values: Sequence[Floats], *, n_tasks: int) -> dict[str, Figure]:
    """From what `cohen_values` says of all tasks and then of each resample."""
    return {
        name: _figure(value, n_tasks) if n_tasks else undefined(NOTHING_IN_COMMON)
        for name, value in zip(KAPPAS, values, strict=True)
    }


def _figure(values: Floats, n_tasks: int) -> Figure:
    """The first of `values` is the figure, the others those of its resamples."""
    if np.isnan(values[0]):
        return undefined(ONE_ANSWER)
    return bootstrap_figure(float(values[0]), values[1:], n_tasks=n_tasks)


def cross_figures(
    one: Judgements,
    other: Judgements,
    field: Field,
    *,
    rng: np.random.Generator,
    resamples: int,
) -> Mapping[str, Figure]:
    """How far two groups of people say the same of the same tasks; nobody is in both."""
    mine, hers = field.units(one), field.units(other)
    rows, columns = common_units(mine, hers)
    if not len(rows):
        return dict.fromkeys(("percent_agreement", "kappa_x"), undefined(NOTHING_IN_COMMON))
    q = mine.counts.shape[1]
    features = formulas.cross_features(mine.counts[rows], hers.counts[columns])
    kind, example = distinct_rows(features, rng)
    tasks, task = np.unique(mine.task[rows], return_inverse=True)
    found = profiles(features[example], kind, task, np.zeros((len(tasks), 0)), rng)
    flat = found.with_resamples(rng, resamples)
    weight = formulas.weights(q, field.level)
    return {
        "percent_agreement": _figure(formulas.cross_agreement(flat, categories=q), len(tasks)),
        "kappa_x": _figure(formulas.cross_kappa(flat, weight), len(tasks)),
    }
