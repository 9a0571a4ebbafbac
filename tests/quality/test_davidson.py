"""Bradley and Terry's model with ties: published tables, other ways to the maximum, invariances."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy.optimize import linprog, minimize

from app.quality.rules import davidson
from app.quality.rules.davidson import FIRST, SECOND, TIE, Comparisons
from tests.quality.published import (
    BASEBALL,
    BASEBALL_ERRORS,
    BASEBALL_LOG_WORTH,
    PUDDING,
    PUDDING_TIE,
    PUDDING_WORTH,
)


def comparisons(wins, ties=None, *, side=None) -> Comparisons:
    """From wins of the row over the column, and ties."""
    wins = np.asarray(wins)
    ties = np.zeros_like(wins) if ties is None else np.triu(np.asarray(ties))
    (a, b), (c, d) = np.nonzero(wins), np.nonzero(ties)
    n = len(a) + len(c)
    return Comparisons(
        first=np.concatenate([a, c]),
        second=np.concatenate([b, d]),
        outcome=np.concatenate([np.full(len(a), FIRST), np.full(len(c), TIE)]),
        weight=np.concatenate([wins[a, b], ties[c, d]]).astype(float),
        side=np.zeros(n, np.int64) if side is None else np.full(n, side),
        n_items=len(wins),
    )


def pudding() -> tuple[np.ndarray, np.ndarray]:
    wins, ties = np.zeros((6, 6), int), np.zeros((6, 6), int)
    for i, j, first, second, tied in PUDDING:
        wins[i - 1, j - 1], wins[j - 1, i - 1] = first, second
        ties[i - 1, j - 1] = ties[j - 1, i - 1] = tied
    return wins, ties


def log_likelihood(theta, wins, ties):
    """Straight from the paper's eq. 2.3, pair by pair."""
    worth, nu = np.exp(theta[:-1]), np.exp(theta[-1])
    total = 0.0
    for i in range(len(wins)):
        for j in range(i):
            root = np.sqrt(worth[i] * worth[j])
            everything = worth[i] + worth[j] + nu * root
            total += wins[i, j] * np.log(worth[i] / everything)
            total += wins[j, i] * np.log(worth[j] / everything)
            total += ties[i, j] * np.log(nu * root / everything)
    return total


def test_baseball():
    fitted = davidson.fit(comparisons(BASEBALL))
    assert fitted.log_worth - fitted.log_worth[-1] == pytest.approx(BASEBALL_LOG_WORTH, abs=5e-5)
    of = fitted.bread
    errors = [np.sqrt(of[i, i] + of[6, 6] - 2 * of[i, 6]) for i in range(6)]
    assert errors == pytest.approx(BASEBALL_ERRORS, abs=5e-5)
    assert fitted.log_tie is None


def test_chocolate_pudding():
    fitted = davidson.fit(comparisons(*pudding()))
    worth = np.exp(fitted.log_worth)
    assert worth / worth.sum() == pytest.approx(PUDDING_WORTH, abs=6e-5)
    assert np.exp(fitted.log_tie) == pytest.approx(PUDDING_TIE, abs=6e-5)


def test_another_way_to_the_same_maximum():
    wins, ties = pudding()
    found = minimize(
        lambda theta: -log_likelihood(theta, wins, ties), np.zeros(7), options={"gtol": 1e-9}
    ).x
    fitted = davidson.fit(comparisons(wins, ties))
    assert fitted.log_worth == pytest.approx(found[:6] - found[:6].mean(), abs=1e-6)
    assert fitted.log_tie == pytest.approx(found[-1], abs=1e-6)


def test_two_players_are_the_log_odds():
    fitted = davidson.fit(comparisons([[0, 30], [12, 0]], [[0, 8], [8, 0]]))
    assert fitted.log_worth[0] - fitted.log_worth[1] == pytest.approx(np.log(30 / 12))
    assert np.exp(fitted.log_tie) == pytest.approx(8 / np.sqrt(30 * 12))
    without = davidson.fit(comparisons([[0, 30], [12, 0]]))
    assert without.log_worth[0] - without.log_worth[1] == pytest.approx(np.log(30 / 12))
    of = without.bread
    assert of[0, 0] + of[1, 1] - 2 * of[0, 1] == pytest.approx(1 / 30 + 1 / 12)


def test_what_is_on_the_left_may_win_more_often():
    """One item on either side of another: the effects add up on the log scale."""
    first, second = np.array([0, 0, 0, 0]), np.array([1, 1, 1, 1])
    data = Comparisons(
        first,
        second,
        outcome=np.array([FIRST, SECOND, FIRST, SECOND]),
        weight=np.array([40.0, 10.0, 30.0, 20.0]),
        side=np.array([1, 1, -1, -1]),
        n_items=2,
    )
    fitted = davidson.fit(data, home=True)
    on_left, on_right = np.log(40 / 10), np.log(30 / 20)
    assert fitted.effects == pytest.approx([(on_left - on_right) / 2])
    assert fitted.log_worth[0] - fitted.log_worth[1] == pytest.approx((on_left + on_right) / 2)


def test_sides_that_never_change_cannot_be_told_from_worth():
    data = comparisons([[0, 3], [2, 0]], side=0)
    always = Comparisons(
        np.minimum(data.first, data.second),
        np.maximum(data.first, data.second),
        np.where(data.first < data.second, FIRST, SECOND),
        data.weight,
        np.ones(len(data), np.int64),
        n_items=2,
    )
    assert not davidson.fit(always, home=True).has_converged


def test_the_sandwich_of_independent_comparisons_is_near_the_inverse_information():
    rng = np.random.default_rng(0)
    n = 20_000
    first = rng.integers(0, 4, n)
    second = (first + rng.integers(1, 4, n)) % 4
    worth = np.array([0.6, 0.2, -0.1, -0.7])
    half = (worth[first] - worth[second]) / 2
    p = np.exp(np.stack([half, np.full(n, -0.5), -half], axis=1))
    p /= p.sum(axis=1, keepdims=True)
    outcome = (rng.random(n)[:, None] > p.cumsum(axis=1)).sum(axis=1)
    data = Comparisons(first, second, outcome, np.ones(n), np.zeros(n, np.int64), n_items=4)
    fitted = davidson.fit(data)
    sandwich = davidson.covariance(fitted, data, [np.arange(n)])
    # The bread carries the constraint on the sum, which the sandwich takes out again.
    assert np.diag(sandwich)[:4] == pytest.approx(np.diag(fitted.bread)[:4] - 1 / 16, rel=0.1)
    assert sandwich[-1, -1] == pytest.approx(fitted.bread[-1, -1], rel=0.05)
    doubled = Comparisons(
        *(np.tile(c, 2) for c in (first, second, outcome, data.weight, data.side)), n_items=4
    )
    again = davidson.fit(doubled)
    in_pairs = davidson.covariance(again, doubled, [np.tile(np.arange(n), 2)])
    assert in_pairs == pytest.approx(sandwich, rel=1e-6, abs=1e-12)


tables = some.integers(2, 5).flatmap(
    lambda n: some.tuples(
        some.lists(some.integers(0, 3), min_size=n * n, max_size=n * n),
        some.lists(some.integers(0, 2), min_size=n * n, max_size=n * n),
        some.just(n),
    )
)


def made(drawn):
    wins, ties, n = (np.array(drawn[0]), np.array(drawn[1]), drawn[2])
    wins, ties = wins.reshape(n, n) * (1 - np.eye(n, dtype=int)), np.triu(ties.reshape(n, n), 1)
    return wins, ties + ties.T


def is_defined(wins, ties) -> bool:
    if len(davidson.components(wins, ties)) > 1:
        return False
    return not ties.any() or davidson.has_tie_parameter(wins, ties)


def has_maximum(wins, ties) -> bool:
    """By linear programming (Albert & Anderson 1984).

    There is no direction of (worths, δ), the sum of worths held, in which no observed outcome loses
    to another and one gains.
    """
    n, with_ties = len(wins), bool(ties.any())
    rows = []
    for i, j in permutations(range(n), 2):
        utility = np.zeros((3, n + 1))
        utility[FIRST, [i, j]], utility[SECOND, [i, j]] = (0.5, -0.5), (-0.5, 0.5)
        utility[TIE, n] = 1
        seen = [FIRST] * bool(wins[i, j]) + [TIE] * bool(ties[i, j])
        others = [FIRST, TIE, SECOND] if with_ties else [FIRST, SECOND]
        rows += [utility[s] - utility[o] for s in seen for o in others if s != o]
    if not rows:
        return False
    gains = np.array(rows)
    if not with_ties:
        gains = gains[:, :n]
    found = linprog(
        -gains.sum(axis=0),
        A_ub=-gains,
        b_ub=np.zeros(len(gains)),
        A_eq=[[1.0] * n + [0.0] * with_ties],
        b_eq=[0],
        bounds=(-1, 1),
    )
    flat = np.linalg.matrix_rank(np.vstack([gains, [1.0] * n + [0.0] * with_ties]))
    return bool(-found.fun < 1e-9 and flat == n + with_ties)


@given(tables)
@settings(max_examples=150)
def test_a_maximum_exists_where_we_say_so(drawn):
    wins, ties = made(drawn)
    if not wins.any() and not ties.any():
        return
    assert is_defined(wins, ties) == has_maximum(wins, ties)


@given(tables, some.randoms(use_true_random=False))
@settings(max_examples=60)
def test_names_and_order_change_nothing_and_the_gradient_is_flat(drawn, random):
    wins, ties = made(drawn)
    if not is_defined(wins, ties):
        return
    data = comparisons(wins, ties)
    fitted = davidson.fit(data)
    assert fitted.has_converged
    order = list(range(len(wins)))
    random.shuffle(order)
    other = davidson.fit(comparisons(wins[np.ix_(order, order)], ties[np.ix_(order, order)]))
    assert other.log_worth == pytest.approx(fitted.log_worth[order], abs=1e-7)
    pull = fitted.residuals * data.weight[:, None]
    n = len(wins)
    gradient = np.bincount(data.first, pull[:, 0], n) - np.bincount(data.second, pull[:, 0], n)
    assert gradient == pytest.approx(np.zeros(n), abs=1e-7)


def test_pseudo_counts_join_what_never_met():
    wins = np.array([[0, 5, 0], [0, 0, 0], [0, 0, 0]])
    fitted = davidson.fit(comparisons(wins), pseudo=0.5)
    assert fitted.has_converged
    best, worst, unmet = fitted.log_worth
    assert best > unmet > worst
    assert unmet == pytest.approx(0, abs=1e-9)
    found = minimize(
        lambda x: (
            -(
                5 * np.log(1 / (1 + np.exp(x[1] - x[0])))
                + 0.5 * sum(np.log(1 / (1 + np.exp(-v))) + np.log(1 / (1 + np.exp(v))) for v in x)
            )
        ),
        np.zeros(2),
        options={"gtol": 1e-9},
    ).x
    assert [best, worst] == pytest.approx(found, abs=1e-5)
