"""Resamples of tasks, drawn one by one or by how often each kind occurs."""

import numpy as np
import pytest

from app.quality.rules import bootstrap
from app.quality.rules.bootstrap import Profiles

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
