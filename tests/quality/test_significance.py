"""The tests of habits against scipy, published values and counting by hand."""

from itertools import pairwise, product
from math import sqrt

import numpy as np
import pytest
from scipy import stats

from app.quality.rules.significance import (
    benjamini_hochberg,
    excess,
    kuiper_p_value,
    p_at_most,
    run_p_value,
    scan_p_value,
)

# The 15 p-values of Benjamini & Hochberg 1995, section 3.2 (Neuhaus et al. 1992): at q = .05 the
# procedure rejects the four smallest.
NEUHAUS = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344,
    0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000,
]  # fmt: skip


def test_benjamini_and_hochberg_reject_as_in_their_paper():
    adjusted = benjamini_hochberg(NEUHAUS)
    assert [p <= 0.05 for p in adjusted] == [True] * 4 + [False] * 11
    assert adjusted == pytest.approx(stats.false_discovery_control(NEUHAUS).tolist())


def test_what_was_not_tested_is_no_test():
    assert benjamini_hochberg([None, 0.01, None, 0.04]) == [None, 0.02, None, 0.04]
    assert benjamini_hochberg([]) == []
    assert benjamini_hochberg([None]) == [None]


@pytest.mark.parametrize(("k", "n", "share"), [(0, 5, 0.6), (12, 30, 0.65), (30, 30, 0.6)])
def test_a_low_share_is_the_exact_binomial(k, n, share):
    assert p_at_most(k, n, share) == pytest.approx(stats.binom.cdf(k, n, share), abs=1e-10)


def test_a_share_of_many_is_near_enough_and_fractions_count_for_her():
    for n, tolerance in ((12_000, 1e-9), (150_000, 2e-4)):
        k = round(0.6235 * n)
        assert p_at_most(k, n, 0.625) == pytest.approx(stats.binom.cdf(k, n, 0.625), abs=tolerance)
    assert p_at_most(11.5, 30, 0.65) == p_at_most(12, 30, 0.65)


def test_excess_of_pairs_of_judgements_is_mcnemar():
    """With one other per task only the discordant tasks tell, and each is a fair coin."""
    mine = np.array([1] * 40 + [0] * 12 + [1] * 30 + [0] * 20, float)
    other = np.array([0] * 40 + [1] * 12 + [1] * 30 + [0] * 20, float)
    tasks = np.arange(len(mine))
    found = excess(
        np.concatenate([tasks, tasks]),
        np.repeat([0, 1], len(mine)),
        np.concatenate([mine, other]),
        n_annotators=2,
    )
    z = (40 - 26 - 0.5) / sqrt(52 / 4)
    assert found.p_value[0] == pytest.approx(stats.norm.sf(z))
    exact = stats.binomtest(40, 52, alternative="greater").pvalue
    assert exact < found.p_value[0] < 2 * exact  # near, and on the careful side
    assert found.p_value[1] > 0.99
    assert (found.own[0], found.others[0], found.tasks[0]) == (70, 42, 102)


def test_excess_is_mantel_and_haenszels_by_task():
    """Her sum against the hypergeometric mean and variance of every task, by hand."""
    chance = np.random.default_rng(5)
    sizes = chance.integers(2, 6, 80)
    task = np.repeat(np.arange(80), sizes)
    who = np.concatenate([np.arange(size) for size in sizes])
    values = (chance.random(len(task)) < 0.3 + 0.3 * (who == 0)).astype(float)
    observed = expected = variance = 0.0
    for one in range(80):
        k, m = values[task == one].sum(), sizes[one]
        observed += values[(task == one) & (who == 0)].sum()
        expected += k / m
        variance += k * (m - k) / m**2
    found = excess(task, who, values, n_annotators=5)
    z = (observed - expected - 0.5) / sqrt(variance)
    assert found.p_value[0] == pytest.approx(stats.norm.sf(z))


def test_excess_says_nothing_where_there_is_too_little():
    found = excess(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([1.0, 0, 1]), n_annotators=3)
    assert np.isnan(found.p_value).all()
    assert found.tasks.tolist() == [1, 1, 0]
    nothing = np.zeros(0, np.int64)
    assert np.isnan(excess(nothing, nothing, np.zeros(0), n_annotators=1).p_value).all()


@pytest.mark.parametrize("longest", [5, 6, 8, 10])
def test_the_longest_run_of_a_coin_by_counting(longest):
    n = 13
    hits = 0
    for throws in product((0, 1), repeat=n):
        run = best = 1
        for before, after in pairwise(throws):
            run = run + 1 if before == after else 1
            best = max(best, run)
        hits += best >= longest
    assert run_p_value(longest, n) == pytest.approx(hits / 2**n, rel=0.25)
    assert run_p_value(longest, n) >= 0.8 * hits / 2**n
    assert run_p_value(n + 1, n) == 1


def test_bridges_are_as_published():
    """The largest chi-square at all breaks within 15 % (Andrews 1993, table 1); Kuiper's points."""
    for chi_square, p in ((7.17, 0.10), (8.85, 0.05), (12.35, 0.01)):
        assert 2 * scan_p_value(sqrt(chi_square), 0.15) == pytest.approx(p, rel=0.06)
    assert scan_p_value(1.645, 0.4999) == pytest.approx(2 * stats.norm.pdf(1.645) / 1.645, rel=1e-2)
    assert scan_p_value(0.5, 0.1) == 1
    assert kuiper_p_value(1.747) == pytest.approx(0.05, abs=2e-4)
    assert kuiper_p_value(2.001) == pytest.approx(0.01, abs=1e-4)
    assert kuiper_p_value(0.1) == 1
