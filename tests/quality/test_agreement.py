"""The formulas of agreement against published tables, other libraries and a second formula."""

from collections.abc import Sequence

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.quality.rules import agreement
from app.quality.rules.agreement import Level
from tests.quality.published import (
    GWET_PARADOX,
    KRIPPENDORFF_2011,
    slow_gwet,
    two_rater_counts,
    value_counts,
)


def tables(most: int = 6) -> st.SearchStrategy[np.ndarray]:
    """Small tables of counts: (units, categories)."""
    return st.integers(2, 5).flatmap(
        lambda q: st.lists(
            st.lists(st.integers(0, most), min_size=q, max_size=q), min_size=1, max_size=8
        ).map(np.array)
    )


def alpha(counts: Sequence[Sequence[int]] | np.ndarray, level: Level) -> float:
    return float(agreement.krippendorff_alpha(agreement.sums_of(np.array(counts)), level)[0])


@pytest.mark.parametrize(
    ("level", "published"),
    [(Level.NOMINAL, 0.743), (Level.ORDINAL, 0.815), (Level.INTERVAL, 0.849)],
)
def test_alpha_of_krippendorffs_example(level, published):
    assert alpha(value_counts(KRIPPENDORFF_2011, 5), level) == pytest.approx(published, abs=5e-4)


def test_percent_agreement_of_krippendorffs_example_is_a_mean_over_units():
    sums = agreement.sums_of(value_counts(KRIPPENDORFF_2011, 5))
    assert agreement.percent_agreement(sums)[0] == pytest.approx(0.818, abs=5e-4)


def test_ac1_of_the_same_table_with_missing_values():
    sums = agreement.sums_of(value_counts(KRIPPENDORFF_2011, 5))
    assert agreement.gwet_ac(sums, np.eye(5))[0] == pytest.approx(0.775, abs=5e-4)


def test_kappa_collapses_where_one_category_prevails_and_ac1_does_not():
    sums = agreement.sums_of(two_rater_counts(GWET_PARADOX))
    assert agreement.cohen_kappa(GWET_PARADOX[None].astype(float))[0] == pytest.approx(
        -0.023, abs=5e-4
    )
    assert agreement.gwet_ac(sums, np.eye(2))[0] == pytest.approx(0.94, abs=5e-3)
    assert agreement.percent_agreement(sums)[0] == pytest.approx(118 / 125)


@given(tables())
@settings(max_examples=200)
def test_alpha_is_that_of_the_independent_library(counts):
    for level in Level:
        try:
            expected = krippendorff.alpha(value_counts=counts, level_of_measurement=level.value)
        except (ValueError, RuntimeWarning):  # no pairable unit, or a single value
            expected = np.nan
        ours = alpha(counts, level)
        assert ours == pytest.approx(expected, nan_ok=True, abs=1e-9)


@given(tables())
@settings(max_examples=100)
def test_gwet_is_that_of_the_slow_formula(counts):
    for level in (Level.NOMINAL, Level.ORDINAL):
        weight = agreement.weights(counts.shape[1], level)
        ours = float(agreement.gwet_ac(agreement.sums_of(counts), weight)[0])
        if (counts.sum(axis=1) < 2).all():
            assert np.isnan(ours)
        else:
            assert ours == pytest.approx(slow_gwet(counts, weight), abs=1e-9)


@given(tables(), st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_names_and_order_of_categories_do_not_matter_to_nominal_figures(counts, random):
    order = list(range(counts.shape[1]))
    random.shuffle(order)
    before, after = agreement.sums_of(counts), agreement.sums_of(counts[:, order])
    eye = np.eye(counts.shape[1])
    for figure in (
        agreement.percent_agreement,
        lambda sums: agreement.krippendorff_alpha(sums, Level.NOMINAL),
        lambda sums: agreement.gwet_ac(sums, eye),
    ):
        assert figure(before)[0] == pytest.approx(figure(after)[0], nan_ok=True, abs=1e-9)


@given(tables())
@settings(max_examples=50)
def test_ordinal_figures_do_not_care_which_end_of_the_scale_comes_first(counts):
    weight = agreement.weights(counts.shape[1], Level.ORDINAL)
    before, after = agreement.sums_of(counts), agreement.sums_of(counts[:, ::-1])
    assert alpha(counts, Level.ORDINAL) == pytest.approx(
        alpha(counts[:, ::-1], Level.ORDINAL), nan_ok=True, abs=1e-9
    )
    assert agreement.gwet_ac(before, weight)[0] == pytest.approx(
        agreement.gwet_ac(after, weight)[0], nan_ok=True, abs=1e-9
    )


def test_full_agreement_on_several_answers_is_one():
    counts = [[3, 0, 0], [0, 3, 0], [0, 0, 3]]
    assert alpha(counts, Level.NOMINAL) == alpha(counts, Level.ORDINAL) == 1
    assert agreement.gwet_ac(agreement.sums_of(np.array(counts)), np.eye(3))[0] == 1


def test_one_answer_everywhere_has_no_alpha_but_an_ac1_of_one():
    counts = np.array([[3, 0], [2, 0]])
    assert np.isnan(alpha(counts, Level.NOMINAL))
    assert agreement.gwet_ac(agreement.sums_of(counts), np.eye(2))[0] == 1


def test_a_scale_of_one_step_has_neither():
    counts = np.array([[3], [2]])
    assert np.isnan(alpha(counts, Level.NOMINAL))
    assert np.isnan(agreement.gwet_ac(agreement.sums_of(counts), np.eye(1))[0])


def test_units_with_one_judgement_count_in_no_pair():
    paired = np.array([[2, 0, 0], [1, 0, 1], [0, 0, 3]])
    more = np.vstack([paired, [[1, 0, 0], [0, 1, 0], [0, 0, 0]]])
    assert alpha(paired, Level.NOMINAL) == alpha(more, Level.NOMINAL)
    assert agreement.percent_agreement(agreement.sums_of(paired)) == agreement.percent_agreement(
        agreement.sums_of(more)
    )


def test_ties_are_a_class_of_their_own_or_left_out():
    counts = np.array([[2, 1, 0], [1, 2, 0], [1, 0, 1]])  # first, tie, second
    sums = agreement.sums_of(counts, tie=1)
    assert agreement.percent_agreement(sums)[0] == pytest.approx((1 / 3 + 1 / 3 + 0) / 3)
    assert agreement.percent_agreement_no_ties(sums)[0] == pytest.approx((1 + 0) / 2)


def test_weighted_kappa_gives_credit_for_near_misses_on_the_declared_scale():
    table = np.zeros((1, 3, 3))
    table[0] = [[5, 2, 0], [1, 6, 1], [0, 2, 3]]
    weight = agreement.weights(3, Level.ORDINAL)
    observed = (table[0] * weight).sum() / 20
    rows, columns = table[0].sum(axis=1) / 20, table[0].sum(axis=0) / 20
    chance = sum(weight[i, j] * rows[i] * columns[j] for i in range(3) for j in range(3))
    assert agreement.cohen_kappa(table, weight)[0] == pytest.approx(
        (observed - chance) / (1 - chance)
    )
