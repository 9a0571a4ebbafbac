"""Kendall's tau-b and W against scipy and a published example."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from app.quality.rules.judgements import from_rankings, pair_signs
from app.quality.rules.rankings import kendall_w, rank_features, tau_b, top_agreement
from tests.quality.published import SIEGEL_1956


def panel(fewest: int = 2) -> st.SearchStrategy[np.ndarray]:
    """(people, responses) of ranks with ties."""
    return st.integers(2, 6).flatmap(
        lambda n: st.lists(
            st.lists(st.integers(1, n), min_size=n, max_size=n), min_size=fewest, max_size=5
        ).map(np.array)
    )


@given(panel())
@settings(max_examples=200)
def test_tau_b_is_that_of_scipy(ranks):
    ours = tau_b(pair_signs(ranks.astype(np.int16), ranks.shape[1]).astype(float))
    for i in range(len(ranks)):
        for j in range(len(ranks)):
            if len(set(ranks[i])) == 1 or len(set(ranks[j])) == 1:
                assert np.isnan(ours[i, j])
            else:
                expected = stats.kendalltau(ranks[i], ranks[j]).statistic
                assert ours[i, j] == pytest.approx(expected, abs=1e-9)


@given(panel(fewest=3).filter(lambda ranks: ranks.shape[1] >= 3))
@settings(max_examples=200)
def test_w_is_friedmans_chi_square_over_its_maximum(ranks):
    ours = kendall_w(ranks.astype(float))
    if all(len(set(row)) == 1 for row in ranks):
        assert np.isnan(ours)
    else:
        m, n = ranks.shape
        expected = stats.friedmanchisquare(*ranks.T).statistic / (m * (n - 1))
        assert ours == pytest.approx(expected, abs=1e-9)


def test_w_of_siegels_executives():
    assert kendall_w(SIEGEL_1956.astype(float)) == pytest.approx(0.16, abs=5e-3)


def test_w_is_one_for_equal_and_zero_for_opposite_rankings():
    assert kendall_w(np.array([[1.0, 2, 3], [1, 2, 3]])) == 1
    assert kendall_w(np.array([[1.0, 2, 3], [3, 2, 1]])) == 0


def test_ranks_may_be_dense_or_with_gaps():
    dense, gaps = np.array([[1.0, 2, 2, 3], [2, 1, 1, 1]]), np.array([[1.0, 2, 2, 4], [4, 1, 1, 1]])
    assert kendall_w(dense) == kendall_w(gaps)


def test_tasks_of_different_size_each_get_their_figures():
    judgements = from_rankings(
        [
            (0, 0, [1, 2]),
            (0, 1, [2, 1]),
            (1, 0, [1, 2, 3]),
            (1, 1, [1, 2, 3]),
            (1, 2, [1, 1, 1]),
            (2, 0, [1, 2, 3]),
            (3, 0, [1, 1]),
            (3, 1, [1, 1]),
        ]
    )
    features = rank_features(judgements, n_tasks=4)
    assert features[0].tolist() == [-1, 1, 0, 1, 0, 1]
    assert features[1, :2].tolist() == [1, 1]  # who ties everything has no tau-b with anybody
    assert features[1, 2] == pytest.approx(
        stats.friedmanchisquare([1, 1, 1], [2, 2, 1], [3, 3, 1]).statistic / 6
    )
    assert features[1, 4:].tolist() == [1, 1]  # of the two who name a best response
    assert features[2].tolist() == features[3].tolist() == [0] * 6


@given(panel())
@settings(max_examples=100)
def test_top_1_counts_pairs_of_people_who_name_one_best_response(ranks):
    named = [list(row).index(min(row)) for row in ranks.tolist() if row.count(min(row)) == 1]
    same = [a == b for a, b in combinations(named, 2)]
    ours = float(top_agreement(ranks.astype(np.int16)))
    assert ours == pytest.approx(np.mean(same) if same else np.nan, nan_ok=True)
