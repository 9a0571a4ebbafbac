"""Adaptive overlap takes fewer judgements for as many right answers, through the real claims."""

from math import isnan

import pytest

from tests.simulation import Judged, Overlap, World, share_right, simulate, work_for


def test_adaptive_overlap_saves_work_at_equal_quality(session):
    """Seeded; by how much it saves is for the benchmark, with many more tasks."""
    world = World(seed=5, tasks=40, people=8, gold=8)
    fixed = simulate(world, Overlap(5, 5))
    adaptive = simulate(world, Overlap(1, 5, 0.9))
    assert len(fixed.votes) == 5 * world.n_tasks
    assert adaptive.work < fixed.work / 1.2
    assert share_right(world, adaptive) > share_right(world, fixed) - 0.15


def test_a_smaller_overlap_is_the_first_votes_of_a_larger_one():
    judged = Judged([(0, 1, 0), (1, 1, 2), (0, 2, 0), (0, 3, 2)], gold=2)
    assert judged.first(1) == Judged([(0, 1, 0), (1, 1, 2)], gold=1)
    assert judged.first(2).votes == [(0, 1, 0), (1, 1, 2), (0, 2, 0)]


def test_what_fixed_overlap_takes_lies_between_its_points():
    curve = [(0.7, 100.0), (0.8, 200.0), (0.9, 400.0)]
    assert work_for(curve, 0.85) == pytest.approx(300)
    assert isnan(work_for(curve, 0.95))  # it was never reached


def test_people_of_a_simulated_world_agree_as_real_ones_do():
    world = World(seed=1, tasks=400, people=30, gold=5)
    assert abs(world.agreement() - 0.63) < 0.01
