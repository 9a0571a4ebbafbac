"""Win rates and their intervals, lengths and best of n, against formulas stated elsewhere."""

from itertools import combinations
from math import exp, log
from statistics import fmean

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import binomtest

from app.evaluation.rules.best_of import best_of, divergence, expected_best, sizes
from app.evaluation.rules.length import APART, length_controlled
from app.evaluation.rules.winning import (
    Judged,
    by_judgement,
    by_prompt,
    by_tag,
    mean_of_scores,
    win_rate,
)


def test_of_wins_and_losses_alone_the_interval_is_wilsons():
    scores = [1.0] * 130 + [0.0] * 70
    found = mean_of_scores(scores)
    wilson = binomtest(130, 200).proportion_ci(method="wilson")
    assert found.value == 0.65
    assert (found.low, found.high) == pytest.approx((wilson.low, wilson.high), abs=1e-12)


def test_ties_make_the_interval_narrower_not_the_rate_other():
    decisive = mean_of_scores([1.0] * 60 + [0.0] * 40)
    with_ties = mean_of_scores([1.0] * 20 + [0.5] * 80)
    assert decisive.value == with_ties.value == 0.6
    assert with_ties.high - with_ties.low < 0.6 * (decisive.high - decisive.low)


def test_few_prompts_have_a_rate_and_no_interval_and_none_has_neither():
    assert mean_of_scores([1.0, 0.0]).value == 0.5
    assert mean_of_scores([1.0, 0.0]).low is None
    assert mean_of_scores([]).value is None


def test_judgements_of_one_prompt_hang_together():
    """Ten judges who say the same of a prompt are no ten prompts: 95 % intervals hold the truth.

    As if all judgements were prompts of their own, far fewer than 95 % of them would.
    """
    rng = np.random.default_rng(1)
    held = naive = 0
    for _ in range(400):
        taste = rng.beta(0.6, 0.4, size=60)  # mean 0.6, and prompts differ much
        said = rng.random((60, 10)) < taste[:, None]
        prompts = [Judged(tuple(row.astype(float))) for row in said]
        found = win_rate(prompts)
        held += found.low <= 0.6 <= found.high
        alone = mean_of_scores(said.ravel().astype(float).tolist())
        naive += alone.low <= 0.6 <= alone.high
    assert 0.92 <= held / 400 <= 0.98
    assert naive / 400 < 0.7


def test_equal_answers_count_half_and_are_certain():
    judged = [Judged((1.0,))] * 30 + [Judged((0.0,))] * 10
    alone, with_equal = win_rate(judged), win_rate(judged, equal_share=0.5)
    assert alone.value == 0.75
    assert with_equal.value == 0.625  # as the mean over 40 judged and 40 halves
    assert with_equal.low == pytest.approx(0.25 + alone.low / 2)
    assert win_rate([], equal_share=1.0).value == 0.5


def test_counts_by_judgement_and_by_majority():
    prompts = [Judged((1.0, 1.0, 0.0)), Judged((1.0, 0.0)), Judged((0.0, 0.5)), Judged((0.5,))]
    said = by_judgement(prompts)
    assert (said.wins, said.ties, said.losses) == (3, 2, 3)
    majority = by_prompt(prompts)
    assert (majority.wins, majority.ties, majority.losses) == (1, 2, 1)


def test_tags_come_by_how_many_prompts_they_have():
    prompts = [Judged((1.0,), ("code", "long")), Judged((0.0,), ("code",)), Judged((0.5,))]
    assert [(tag, n, rate.value) for tag, n, rate in by_tag(prompts)] == [
        ("code", 2, 0.5),
        ("long", 1, 1.0),
    ]


# -- at the same length -----------------------------------------------------------------------


def test_length_alone_can_be_the_whole_advantage():
    """Longer wins whoever wrote it, and A writes longer more often: at equal length they tie."""
    rng = np.random.default_rng(3)
    longer = np.where(rng.random(1500) < 0.8, 300.0, -300.0)
    wins = rng.random(1500) < np.where(longer > 0, 0.7, 0.3)
    prompts = [Judged((float(w),), longer=float(d)) for w, d in zip(wins, longer, strict=True)]
    assert win_rate(prompts).low > 0.55
    found = length_controlled(prompts)
    assert found.win_rate.low < 0.5 < found.win_rate.high
    assert found.slope.low > 0
    assert found.longer_share == pytest.approx(float((longer > 0).mean()))


def test_the_regression_is_the_maximum_of_its_likelihood():
    rng = np.random.default_rng(4)
    longer = rng.normal(20, 100, size=120)
    y = rng.choice([0.0, 0.5, 1.0], size=120, p=[0.3, 0.2, 0.5])
    x = np.tanh(longer / longer.std())

    def cost(theta):
        p = 1 / (1 + np.exp(-(theta[0] + theta[1] * x)))
        return -(y * np.log(p) + (1 - y) * np.log(1 - p)).sum()

    best = minimize(cost, [0.0, 0.0], tol=1e-12).x
    prompts = [Judged((s,), longer=d) for s, d in zip(y.tolist(), longer.tolist(), strict=True)]
    found = length_controlled(prompts)
    assert found.win_rate.value == pytest.approx(1 / (1 + exp(-best[0])), abs=1e-4)
    assert found.slope.value == pytest.approx(best[1], abs=1e-3)


def test_where_length_decides_everything_nothing_is_claimed():
    prompts = [Judged((1.0,), longer=50.0)] * 20 + [Judged((0.0,), longer=-50.0)] * 20
    found = length_controlled(prompts)
    assert found.win_rate.value is None
    assert found.win_rate.reason == APART
    assert length_controlled([Judged((1.0,), longer=9.0)] * 30).win_rate.value is None


# -- best of n --------------------------------------------------------------------------------


def test_the_best_of_n_is_the_mean_over_all_choices():
    scores = [0.3, -1.0, 2.5, 0.9, 0.9, -0.2]
    for n in range(1, 7):
        every = fmean(max(chosen) for chosen in combinations(scores, n))
        assert expected_best(scores, n) == pytest.approx(every, abs=1e-12)


def test_it_is_unbiased_for_fresh_responses():
    """Of uniform scores the best of n has the mean n / (n + 1)."""
    rng = np.random.default_rng(5)
    found = fmean(expected_best(rng.random(8).tolist(), 4) for _ in range(4000))
    assert found == pytest.approx(4 / 5, abs=0.006)


def test_how_far_the_best_of_n_moves_a_model():
    assert divergence(1) == 0
    assert divergence(16) == pytest.approx(log(16) - 15 / 16)
    assert sizes(8) == [1, 2, 4, 8]
    assert sizes(6) == [1, 2, 4, 6]


def test_a_curve_of_best_of_n_rises_and_knows_its_prompts():
    rng = np.random.default_rng(6)
    curve = best_of(rng.normal(size=(50, 8)).tolist())
    values = [point.score.value for point in curve]
    assert [point.n for point in curve] == [1, 2, 4, 8]
    assert values == sorted(values)
    assert all(point.score.low < point.score.value for point in curve)
    assert best_of([]) == []
