"""Planted faults are found and careful people left alone, over many crowds with fixed seeds."""

import pytest

from tests.benchmarks.crowd import FAULTS, tally
from tests.crowds import Kind

# What must be found of whom, and in how many of a hundred crowds at least.
POWER = {
    Kind.SPAMMER: ("peers", 95),
    Kind.LEFT: ("position", 100),
    Kind.LONGER: ("length", 100),
    Kind.TIRED: ("hours", 60),
    Kind.FALLEN: ("drift", 85),
    Kind.FAST: ("speed", 100),
    Kind.TIES: ("ties", 100),
}


@pytest.fixture(scope="module")
def mixed():
    return tally([Kind.GOOD] * 12 + FAULTS, seeds=range(500, 540), tasks=2_400)


@pytest.mark.parametrize("kind", POWER, ids=lambda kind: kind.name)
def test_each_planted_fault_is_found(mixed, kind):
    finding, percent = POWER[kind]
    assert 100 * mixed.kinds[kind][finding] / mixed.people[kind] >= percent


def test_a_careful_minority_is_noted_and_not_blamed(mixed):
    assert mixed.blamed[Kind.MINORITY] <= 2
    assert mixed.kinds[Kind.MINORITY]["minority"] >= 20


def test_careful_people_beside_faulty_ones_are_left_alone(mixed):
    assert mixed.blamed[Kind.GOOD] < 0.05 * mixed.people[Kind.GOOD]


@pytest.mark.parametrize(("people", "tasks"), [(12, 1_200), (5, 500), (30, 900)])
def test_a_crowd_of_careful_people_is_left_alone(people, tasks):
    result = tally([Kind.GOOD] * people, seeds=range(40), tasks=tasks)
    assert result.blamed[Kind.GOOD] < 0.05 * result.people[Kind.GOOD]
