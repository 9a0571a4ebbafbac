"""Every figure over random tables, awkward ones included, against exact fractions.

Through the whole way from judgements to figures: missing ones, single categories, one annotator,
one task.
"""

from dataclasses import replace
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.quality.rules import agreement
from app.quality.rules.agreement import Level
from app.quality.rules.fields import FIGURES, ranking_agreement, rating_agreement
from app.quality.rules.intervals import Figure
from app.quality.rules.judgements import Judgements, from_rankings
from app.quality.rules.scales import Scale
from tests.quality import slow
from tests.quality.published import XRR_ONE, XRR_OTHER

MOST_STEPS = 4
Table = list[list[int | None]]  # per unit, the category each person gave; None = none


def tables() -> st.SearchStrategy[tuple[int, Table]]:
    """The declared number of steps, and what up to four people said of up to six units."""
    return st.tuples(st.integers(1, MOST_STEPS), st.integers(1, 4)).flatmap(
        lambda sizes: st.tuples(
            st.just(sizes[0]),
            st.lists(
                st.lists(
                    st.none() | st.integers(0, sizes[0] - 1), min_size=sizes[1], max_size=sizes[1]
                ),
                min_size=1,
                max_size=6,
            ),
        )
    )


def rated(table: Table) -> Judgements:
    """Each unit the first response of a task of its own, rated by those who said something."""
    given = [
        (task, person, category)
        for task, unit in enumerate(table)
        for person, category in enumerate(unit)
        if category is not None
    ]
    judgements = from_rankings([(task, person, [1, 2]) for task, person, _ in given])
    ratings = np.full((len(given), 2), np.nan)
    ratings[:, 0] = [1 + category for _, _, category in given]
    return replace(judgements, ratings={"helpful": ratings})


def same(figure: Figure, expected: Fraction | None) -> bool:
    if expected is None:
        return figure.value is None and bool(figure.reason)
    return figure.value == pytest.approx(float(expected), abs=1e-9)


@given(tables())
@example((1, [[0, 0], [0, 0]]))  # a single step
@example((3, [[2, 2, 2], [2, 2, 2]]))  # a single answer
@example((3, [[1], [2]]))  # one annotator
@example((3, [[0, 2]]))  # one task
@example((3, [[None, None]]))  # nothing at all
@example((2, [[0, None], [None, 1]]))  # two people, nothing in common
@settings(max_examples=150)
def test_every_figure_is_that_of_the_fractions(given_table):
    steps, table = given_table
    judgements = rated(table)
    figures = rating_agreement(
        judgements, criterion="helpful", scale=Scale(1, steps),
        rng=np.random.default_rng(1), resamples=2,
    )  # fmt: skip
    units = [
        [(person, category) for person, category in enumerate(unit) if category is not None]
        for unit in table
    ]
    units = [unit for unit in units if unit]
    assert same(figures.percent_agreement, slow.percent(units))
    for level in Level:
        ours = getattr(figures, f"krippendorff_alpha_{level}")
        assert same(ours, slow.alpha(units, level)), level
    assert same(figures.gwet_ac1, slow.gwet(units, steps, weighted=False))
    assert same(figures.gwet_ac2, slow.gwet(units, steps, weighted=True))
    assert same(figures.fleiss_kappa, slow.fleiss(units))
    assert same(figures.cohen_kappa, slow.cohen(units, steps, weighted=False))
    assert same(figures.cohen_kappa_weighted, slow.cohen(units, steps, weighted=True))
    assert figures.krippendorff_alpha == figures.krippendorff_alpha_ordinal
    assert figures.gwet_ac == figures.gwet_ac2


@given(tables())
@settings(max_examples=50)
def test_a_figure_has_a_number_or_a_reason_and_never_neither(given_table):
    steps, table = given_table
    judgements = rated(table)
    rng = np.random.default_rng(1)
    for figures in (
        ranking_agreement(judgements, rng=rng, resamples=2),
        rating_agreement(
            judgements, criterion="helpful", scale=Scale(1, steps), rng=rng, resamples=2
        ),
    ):
        for name in FIGURES:
            figure = getattr(figures, name)
            assert (figure.value is None) <= bool(figure.reason), name
            assert figure.value is None or np.isfinite(figure.value), name


@given(
    st.integers(2, 5).flatmap(
        lambda n: st.lists(
            st.lists(st.lists(st.integers(1, n), min_size=n, max_size=n), min_size=1, max_size=4),
            min_size=1,
            max_size=4,
        )
    )
)
@settings(max_examples=100)
def test_rankings_with_ties_and_missing_judgements(tasks):
    rows = [
        (task, person, ranks)
        for task, given in enumerate(tasks)
        for person, ranks in enumerate(given)
    ]
    figures = ranking_agreement(from_rankings(rows), rng=np.random.default_rng(1), resamples=2)
    ws = [w for given in tasks if (w := slow.kendall_w(given)) is not None]
    assert same(figures.kendall_w, slow.mean(ws))
    units = [
        [(person, int(np.sign(ranks[j] - ranks[i])) + 1) for person, ranks in enumerate(given)]
        for given in tasks
        for i, j in combinations(range(len(given[0])), 2)
    ]
    assert same(figures.percent_agreement, slow.percent(units))
    assert same(figures.krippendorff_alpha, slow.alpha(units, "nominal"))
    assert same(figures.gwet_ac, slow.gwet(units, 3, weighted=False))
    decisive = [[(person, sign) for person, sign in unit if sign != 1] for unit in units]
    assert same(figures.percent_agreement_no_ties, slow.percent(decisive))


def test_kappa_x_of_the_reference_implementation():
    flat = agreement.cross_features(XRR_ONE, XRR_OTHER).sum(axis=0, keepdims=True)
    assert agreement.cross_kappa(flat, np.eye(2))[0] == pytest.approx(0.1818182, abs=1e-6)


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 2), min_size=1, max_size=4),
            st.lists(st.integers(0, 2), min_size=1, max_size=4),
        ),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=100)
def test_kappa_x_is_that_of_the_fractions(units):
    one, other = ([side[which] for side in units] for which in (0, 1))
    counts = [
        np.array([[unit.count(category) for category in range(3)] for unit in side])
        for side in (one, other)
    ]
    flat = agreement.cross_features(*counts).sum(axis=0, keepdims=True)
    ours = float(agreement.cross_kappa(flat, np.eye(3))[0])
    expected = slow.kappa_x(one, other)
    assert ours == pytest.approx(np.nan if expected is None else float(expected), nan_ok=True)
