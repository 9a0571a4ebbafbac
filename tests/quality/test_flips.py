"""Flip rates: published values, an independent library, and samples that spread."""

from collections import Counter
from random import Random
from uuid import UUID

import numpy as np
import pytest
from scipy.stats import fisher_exact as scipy_fisher

from app.quality.rules import flips
from app.quality.rules.flips import Look, Rate, compare, directions, rate, sample


def ids(number, start=0):
    return [UUID(int=place) for place in range(start, start + number)]


def pairs(changed, same):
    """Looks at as many pairwise tasks, one each."""
    tasks = iter(ids(changed + same))
    return [Look(next(tasks), [1, 2], [2, 1]) for _ in range(changed)] + [
        Look(next(tasks), [1, 2], [1, 2]) for _ in range(same)
    ]


@pytest.mark.parametrize(
    ("first", "m", "second", "n", "low", "high"),
    [
        (56, 70, 48, 80, 0.0524, 0.3339),
        (9, 10, 3, 10, 0.1705, 0.8090),
        (6, 7, 2, 7, 0.0582, 0.8062),
        (5, 56, 0, 29, -0.0381, 0.1926),
        (0, 10, 0, 20, -0.1611, 0.2775),
        (10, 10, 0, 20, 0.6791, 1.0),
        (10, 10, 0, 10, 0.6075, 1.0),
    ],
)
def test_the_interval_of_the_difference_is_the_published_one(first, m, second, n, low, high):
    """Newcombe 1998, "Interval estimation for the difference …", Table II, method 10."""
    found = compare(rate(pairs(first, m - first)), rate(pairs(second, n - second)))
    assert found.difference.value == pytest.approx(first / m - second / n)
    assert found.difference.low == pytest.approx(low, abs=5e-5)
    assert found.difference.high == pytest.approx(high, abs=5e-5)


def test_the_score_test_is_the_square_root_of_chi_squared():
    from scipy.stats import chi2_contingency

    found = compare(rate(pairs(56, 14)), rate(pairs(48, 32)))
    expected = chi2_contingency([[56, 14], [48, 32]], correction=False).pvalue
    assert found.p_value == pytest.approx(expected, rel=1e-9)
    assert found.verdict == "more"


def test_small_tables_are_tested_exactly():
    rng = np.random.default_rng(3)
    for _ in range(200):
        m, n = rng.integers(1, 25, 2)
        first, second = rng.integers(0, m + 1), rng.integers(0, n + 1)
        ours = flips.fisher_exact(int(first), int(m), int(second), int(n))
        theirs = scipy_fisher([[first, m - first], [second, n - second]]).pvalue
        assert ours == pytest.approx(theirs, rel=1e-9)
    assert compare(rate(pairs(3, 5)), rate(pairs(0, 9))).p_value == pytest.approx(
        scipy_fisher([[3, 5], [0, 9]]).pvalue
    )


def test_ways_of_changing_are_told_apart_and_ties_are_ordinary():
    looks = [
        Look(UUID(int=1), [1, 1], [1, 2]),
        Look(UUID(int=2), [1, 2], [1, 1]),
        Look(UUID(int=3), [1, 2, 3], [3, 2, 1]),
        Look(UUID(int=4), [1, 1, 3], [1, 1, 3]),
    ]
    assert directions(looks) == {"tie_to_decisive": 1, "decisive_to_tie": 1, "reversed": 3}
    found = rate(looks)
    assert (found.flips, found.n_pairs, found.n_looks) == (5, 8, 4)


def test_pairs_of_one_task_are_not_counted_as_independent():
    """Rankings that turn round as a whole tell as much as there are tasks, not pairs."""
    tasks = ids(40)
    whole = [
        Look(task, [1, 2, 3], [3, 2, 1] if number < 10 else [1, 2, 3])
        for number, task in enumerate(tasks)
    ]
    found = rate(whole)
    assert found.n_pairs == 120
    assert found.effective == pytest.approx(39, rel=0.01)  # 40, by the unbiased variance
    single = rate(pairs(10, 30))
    assert single.effective == 40
    assert found.interval[0] == pytest.approx(single.interval[0], abs=0.01)


def test_false_alarms_stay_under_five_percent_whatever_the_task():
    """The same noise before and after: the test says "more" or "fewer" as often as it may."""
    rng = np.random.default_rng(5)

    def noisy(n, size, share):
        looks = []
        for task in ids(n):
            ranks = list(range(1, size + 1))
            moved = list(ranks)
            if rng.random() < share:  # a person in another mood sees the whole task differently
                rng.shuffle(moved)
            looks.append(Look(task, ranks, moved))
        return rate(looks)

    for size, share in ((2, 0.25), (4, 0.3)):
        alarms = sum(
            compare(noisy(60, size, share), noisy(150, size, share)).verdict != "no_difference"
            for _ in range(400)
        )
        assert alarms / 400 < 0.08


def test_what_is_not_there_is_not_defined_and_says_why():
    nothing = rate([])
    assert nothing.n_pairs == 0
    found = compare(nothing, rate(pairs(1, 9)))
    assert found.verdict is None
    assert "in yet" in found.difference.reason
    alone = compare(rate(pairs(1, 9)), nothing)
    assert "silent repeats" in alone.difference.reason
    assert "10%" in flips.in_a_sentence(rate(pairs(1, 9)), nothing, alone)
    same = compare(rate(pairs(0, 4)), rate(pairs(0, 9)))
    assert same.p_value == 1
    assert same.verdict == "no_difference"


def test_one_ranking_alone_has_an_interval_that_admits_it():
    found = rate([Look(UUID(int=1), [1, 2, 3], [1, 3, 2])])
    assert isinstance(found, Rate)
    assert found.interval[1] - found.interval[0] > 0.6


def test_a_sample_takes_each_task_once_and_everybody_about_as_often():
    people, tasks = ids(5, 1_000), ids(200)
    judged = [(task, person) for task in tasks for person in people[:3]]
    judged += [(task, people[3]) for task in tasks[:4]] + [(tasks[0], people[4])]
    drawn = sample(judged, size=50, rng=Random(1))
    assert len({task for task, _ in drawn}) == len(drawn) == 50
    assert set(drawn) <= set(judged)
    shares = Counter(person for _, person in drawn)
    assert max(shares[person] for person in people[:3]) <= 17
    assert shares[people[3]] >= 3
    assert sample(judged, size=50, rng=Random(2)) != drawn
    assert len(sample(judged, size=500, rng=Random(1))) == 200
    assert sample([], size=5, rng=Random(1)) == []
