"""Resamples of tasks, drawn one by one or by how often each kind occurs."""

import numpy as np
import pytest

from app.quality.rules import bootstrap
from app.quality.rules.agreement import cross_features, cross_kappa
from app.quality.rules.between import cross_figures
from app.quality.rules.bootstrap import Profiles, distinct_rows
from app.quality.rules.judgements import from_rankings
from app.quality.rules.scales import ranking_field

TASKS = np.array([1, 1, 2, 5, 1])


@pytest.mark.parametrize("most", [0, bootstrap._MOST_DRAWN])
def test_every_task_is_as_likely_either_way(most: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bootstrap, "_MOST_DRAWN", most)
    profiles = Profiles(sums=np.eye(len(TASKS)), tasks=TASKS)
    drawn = profiles.resampled(np.random.default_rng(3), 40_000)
    n, p = TASKS.sum(), TASKS / TASKS.sum()
    assert (drawn.sum(axis=1) == n).all()
    assert drawn.mean(axis=0) == pytest.approx(n * p, abs=0.03)
    covariance = n * (np.diag(p) - np.outer(p, p))
    assert np.cov(drawn.T) == pytest.approx(covariance, abs=0.06)


def test_the_total_comes_first_and_stands_alone_where_tasks_are_few():
    rng = np.random.default_rng(3)
    many = Profiles(sums=np.eye(2), tasks=np.array([9, 11])).with_resamples(rng, 7)
    assert many.shape == (8, 2)
    assert many[0].tolist() == [9, 11]
    few = Profiles(sums=np.eye(2), tasks=np.array([1, 1])).with_resamples(rng, 7)
    assert few.tolist() == [[1, 1]]


def test_rows_of_fractions_are_told_apart_as_well():
    draw = np.random.default_rng(1)
    one, other = (draw.multinomial(2, [0.5, 0.2, 0.3], size=500) for _ in range(2))
    rows = cross_features(one, other)
    for seed in range(20):
        kind, example = distinct_rows(rows, np.random.default_rng(seed))
        assert (rows[example][kind] == rows).all()


def test_two_groups_that_judged_much_together_have_the_kappa_of_all_their_tasks():
    draw = np.random.default_rng(2)
    tables = [draw.multinomial(draw.integers(1, 4, 1000), [0.5, 0.2, 0.3]) for _ in range(2)]
    one, other = (
        from_rankings(
            [
                (task, 10 * side + who, ranks)
                for task, row in enumerate(table)
                for who, ranks in enumerate(np.repeat(([1, 2], [1, 1], [2, 1]), row, axis=0))
            ]
        )
        for side, table in enumerate(tables)
    )
    total = cross_features(*tables).sum(axis=0, keepdims=True)
    expected = cross_kappa(total, np.eye(3))
    for seed in range(10):
        rng = np.random.default_rng(seed)
        found = cross_figures(one, other, ranking_field(), rng=rng, resamples=10)
        assert found["kappa_x"].value == pytest.approx(expected[0])
