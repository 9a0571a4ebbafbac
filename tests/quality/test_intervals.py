"""Intervals and small numerics against scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from app.quality.rules import intervals
from app.quality.rules.intervals import Figure


@given(st.integers(1, 400), st.data())
@settings(max_examples=60)
def test_wilson_is_that_of_scipy(n, data):
    k = data.draw(st.integers(0, n))
    expected = stats.binomtest(k, n).proportion_ci(method="wilson")
    assert intervals.wilson(k, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.integers(1, 3_000), st.data())
@settings(max_examples=60)
def test_the_binomial_test_is_exact(n, data):
    k = data.draw(st.integers(0, n))
    expected = stats.binomtest(k, n).pvalue
    assert intervals.binomial_p_value(k, n) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_the_binomial_test_of_very_many_judgements_stays_close():
    assert intervals.binomial_p_value(50_600, 100_000) == pytest.approx(
        stats.binomtest(50_600, 100_000).pvalue, rel=1e-3
    )


@pytest.mark.parametrize(("a", "b"), [(4, 1.5), (4 + 18, 1.5 + 2), (4, 1.5 + 30), (0.5, 0.5)])
def test_the_posterior_interval_is_that_of_scipy(a, b):
    figure = intervals.beta_figure(a, b)
    assert (figure.low, figure.high) == pytest.approx(stats.beta(a, b).interval(0.95), abs=1e-6)
    assert figure.value == pytest.approx(a / (a + b))


def test_a_share_of_nothing_is_not_defined_and_says_why():
    figure = intervals.share_figure(0, 0, none="Nothing was shown.")
    assert figure == Figure(None, reason="Nothing was shown.")
    assert figure.as_json() == {
        "value": None,
        "low": None,
        "high": None,
        "reason": "Nothing was shown.",
    }


def test_a_share_of_all_or_none_has_an_interval_that_holds_it():
    for k in (0, 7):
        figure = intervals.share_figure(k, 7, none="")
        assert figure.low <= figure.value <= figure.high
        assert figure.low < figure.high


def test_the_median_has_an_interval_from_order_statistics():
    values = np.random.default_rng(3).lognormal(size=(400, 101))
    covered = [
        figure.low <= 1 <= figure.high
        for figure in (intervals.median_figure(row) for row in values)
    ]
    assert 0.92 <= np.mean(covered) <= 0.99


def test_the_median_of_a_few_has_none_and_says_so():
    figure = intervals.median_figure(np.array([3.0, 9.0]))
    assert (figure.value, figure.low) == (6.0, None)
    assert "fewer than 10" in figure.reason


def test_resamples_where_the_figure_is_not_defined_are_left_out_and_counted():
    resampled = np.array([0.1, 0.2, 0.3, np.nan])
    figure = intervals.bootstrap_figure(0.2, resampled, n_tasks=12)
    assert figure.low == pytest.approx(0.105)
    assert figure.reason == "1 of 4 resamples left out: not defined."


def test_many_at_once_are_the_percentiles_of_each_without_the_undefined():
    chance = np.random.default_rng(3)
    drawn = {name: chance.normal(size=200) for name in ("whole", "gaps")}
    drawn["gaps"][::9] = np.nan
    found = intervals.bootstrap_figures({"whole": 0.1, "gaps": 0.2}, drawn, n_tasks=10)
    for name, figure in found.items():
        low, high = np.nanpercentile(drawn[name], [2.5, 97.5])
        assert (figure.low, figure.high) == pytest.approx((low, high))
    assert found["whole"].reason is None
    assert found["gaps"].reason == "23 of 200 resamples left out: not defined."
