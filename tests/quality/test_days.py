"""Agreement by day, and one part of the judgements against the rest."""

from dataclasses import astuple
from datetime import date
from itertools import combinations

import numpy as np
import pytest

from app.quality.rules import days as rules
from app.quality.rules.comparing import Sums, difference
from app.quality.rules.days import by_day, figure_of, shares, sums_of
from app.quality.rules.fields import ranking_agreement
from app.quality.rules.judgements import Judgements, from_rankings
from app.quality.rules.trend import in_words, points

DAY = 86_400.0
rng = np.random.default_rng(7)


def crowd(seed: int, *, tasks: int = 60, people: int = 5, size: int = 3) -> Judgements:
    """Rankings with ties by two to five people each, over three days."""
    draw = np.random.default_rng(seed)
    rows = [
        (task, int(person), draw.integers(1, size, size).tolist())
        for task in range(tasks)
        for person in draw.permutation(people)[: draw.integers(1, people + 1)]
    ]
    judgements = from_rankings(rows)
    submitted = DAY * draw.integers(0, 3, len(judgements)) + draw.random(len(judgements)) * 80_000
    object.__setattr__(judgements, "submitted", submitted)
    return judgements


def brute_force(judgements: Judgements, is_mine: np.ndarray) -> tuple[float, int]:
    """The definition in words, pair of judgements by pair of judgements."""
    same, units = 0.0, 0
    for task in np.unique(judgements.task):
        rows = np.flatnonzero(judgements.task == task)
        for i, j in combinations(range(judgements.ranks.shape[1]), 2):
            said = []
            for one, other in combinations(rows, 2):
                signs = [
                    np.sign(judgements.ranks[r, j] - judgements.ranks[r, i]) for r in (one, other)
                ]
                if all(signs) and (is_mine[one] or is_mine[other]):
                    said.append(signs[0] == signs[1])
            if said:
                same, units = same + float(np.mean(said)), units + 1
    return same, units


@pytest.mark.parametrize("seed", range(4))
def test_a_days_agreement_is_what_its_definition_says(seed: int):
    judgements = crowd(seed)
    for day in by_day(judgements, rng):
        is_mine = rules.day_of(judgements.submitted) == rules.number_of(day.day)
        same, units = brute_force(judgements, is_mine)
        assert day.sums.same == pytest.approx(same)
        assert day.sums.units == units
        assert day.agreement.value == pytest.approx(same / units)
        assert day.n_annotations == is_mine.sum()
        assert day.n_annotators == len(set(judgements.annotator[is_mine].tolist()))


def test_where_all_is_judged_on_one_day_it_is_the_agreement_of_the_field():
    judgements = crowd(11, tasks=200)
    object.__setattr__(judgements, "submitted", np.full(len(judgements), 5 * DAY + 3))
    (day,) = by_day(judgements, rng)
    field = ranking_agreement(judgements, rng=rng)
    assert day.day == date(1970, 1, 6)
    assert day.agreement.value == pytest.approx(field.percent_agreement_no_ties.value)
    assert day.agreement.low == pytest.approx(field.percent_agreement_no_ties.low, abs=0.02)
    assert day.agreement.high == pytest.approx(field.percent_agreement_no_ties.high, abs=0.02)


def test_a_task_judged_over_two_days_counts_on_both():
    judgements = from_rankings([(0, 0, [1, 2]), (0, 1, [2, 1])])
    object.__setattr__(judgements, "submitted", np.array([100.0, DAY + 100]))
    assert [day.agreement.value for day in by_day(judgements, rng)] == [0.0, 0.0]


def test_nothing_to_compare_is_not_defined_and_no_day_is_no_day():
    alone = from_rankings([(0, 0, [1, 2]), (1, 1, [2, 1]), (2, 0, [1, 1]), (2, 1, [1, 2])])
    (day,) = by_day(alone, rng)
    assert day.agreement.value is None
    assert day.agreement.reason == rules.NOBODY_TO_COMPARE
    assert by_day(from_rankings([]), rng) == []


def test_few_tasks_have_no_interval():
    pair = from_rankings([(task, who, [1, 2]) for task in range(9) for who in range(2)])
    (day,) = by_day(pair, rng)
    assert (day.agreement.value, day.agreement.low) == (1.0, None)


def test_the_interval_covers_what_it_should():
    truth, inside = 0.7, 0
    draw = np.random.default_rng(3)
    for _ in range(200):
        same = (draw.random(80) < truth).astype(np.float64)
        figure = figure_of(same, np.ones(80, np.int64), draw, resamples=400)
        inside += figure.low <= truth <= figure.high
    assert 0.9 <= inside / 200 <= 0.99


def test_more_kinds_of_tasks_than_profiles_change_the_value_by_nothing():
    draw = np.random.default_rng(5)
    same = draw.random(9_000) * 45
    figure = figure_of(same, np.full(9_000, 45), draw, resamples=200)
    assert figure.value == pytest.approx(same.sum() / (45 * 9_000))
    assert figure.low < figure.value < figure.high


def test_newcombes_interval_as_published():
    # Newcombe (1998), table II, 56/70 against 48/80, method 10: 0.0524 to 0.3339.
    found = difference(Sums(56, 70, 70), Sums(48, 80, 80))
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    # 10/10 against 0/20: 0.6791 to 1.0000; 0/10 against 0/10: -0.2775 to 0.2775.
    found = difference(Sums(10, 10, 10), Sums(0, 20, 20))
    assert (found.low, found.high) == pytest.approx((0.6791, 1.0), abs=5e-5)
    found = difference(Sums(0, 10, 10), Sums(0, 10, 10))
    assert (found.low, found.high) == pytest.approx((-0.2775, 0.2775), abs=5e-5)


def test_a_task_of_three_people_tells_more_than_a_single_pair():
    """The weight is that of as many yes-or-no tasks, by the spread of the tasks' own shares."""
    draw = np.random.default_rng(4)
    rows = [
        (task, person, [1, 2] if draw.random() < 0.9 else [2, 1])
        for task in range(500)
        for person in range(3)
    ]
    found = shares(from_rankings(rows), np.zeros(1_500, np.int64))
    sums = sums_of(found)
    each = found.same / found.units
    spread = sums.value * (1 - sums.value) / sums.weight
    assert spread == pytest.approx(each.var(ddof=1) / 500, rel=1e-9)
    assert 500 < sums.weight < 1_500
    single = shares(from_rankings([row for row in rows if row[1] < 2]), np.zeros(1_000, np.int64))
    assert sums_of(single).weight == pytest.approx(500, rel=0.01)


def test_more_looks_make_it_wider_and_nothing_to_compare_is_none():
    one = difference(Sums(30, 50, 50), Sums(40, 50, 50))
    many = difference(Sums(30, 50, 50), Sums(40, 50, 50), looks=20)
    assert one.is_fall
    assert not many.is_clear
    assert difference(Sums(0, 0, 0), Sums(40, 50, 50)) is None


def simulated(seed: int, *, low_day: int | None) -> list[rules.Day]:
    """Twenty days of forty pairs judged by two of eight people who agree in about 75 %."""
    draw = np.random.default_rng(seed)
    rows, at = [], []
    for day in range(20):
        right = 0.5 if day == low_day else 0.85
        for task in range(40):
            for person in draw.permutation(8)[:2]:
                rows.append(
                    (40 * day + task, int(person), [1, 2] if draw.random() < right else [2, 1])
                )
                at.append(day * DAY + 1000.0 * task)
    judgements = from_rankings(rows)
    object.__setattr__(judgements, "submitted", np.array(at))
    return by_day(judgements, draw)


def low_days(found: list[rules.Day]) -> list[int]:
    told = points([(day.day, day.sums) for day in found])
    return [point.day.toordinal() - date(1970, 1, 1).toordinal() for point in told if point.is_low]


def test_clean_days_are_left_alone_and_a_bad_one_is_found():
    assert sum(bool(low_days(simulated(seed, low_day=None))) for seed in range(100)) < 5
    found = [low_days(simulated(seed, low_day=7)) for seed in range(20)]
    assert sum(7 in days for days in found) >= 10
    assert sum(bool(set(days) - {7}) for days in found) <= 1


def test_the_answer_below_the_chart():
    told = points([(date(2026, 11, day), Sums(30, 40, 40)) for day in range(2, 20)])
    assert in_words(told, 0.75, marks=[]).startswith("On none: no day lies clearly below")
    days = [(date(2026, 11, day), Sums(30, 40, 40)) for day in range(2, 20)]
    days.append((date(2026, 11, 24), Sums(10, 40, 40)))
    said = in_words(points(days), 0.74, marks=[date(2026, 11, 23)])
    assert "Tue 24 Nov (25 %)" in said
    assert "changed shortly before Tue 24 Nov" in said
    assert "No day has 10 shared tasks" in in_words(
        points([(date(2026, 11, 2), Sums(1, 2, 2))]), 0.5, marks=[]
    )
    assert "nothing to compare" in in_words([], None, marks=[])


def test_shares_of_people_add_up_from_their_rows():
    judgements = crowd(2)
    found = shares(judgements, judgements.annotator)
    for person in range(5):
        same, units = brute_force(judgements, judgements.annotator == person)
        assert sums_of(found, found.key == person).same == pytest.approx(same)
        assert sums_of(found, found.key == person).units == units


def test_only_the_careless_one_is_named_not_those_who_shared_her_tasks():
    """Eight people; person 0 says the opposite in the second half of her tasks."""
    named, wrongly = 0, 0
    for seed in range(40):
        draw = np.random.default_rng(seed)
        rows, part = [], []
        for task in range(400):
            late = task >= 250
            for person in draw.permutation(8)[:3]:
                right = draw.random() < (0.15 if person == 0 and late else 0.9)
                rows.append((task, int(person), [1, 2] if right else [2, 1]))
                part.append(late)
        found = rules.changes_of_people(from_rankings(rows), np.array(part))
        fallen = {code for code, change in found.items() if change and change.is_fall}
        named += 0 in fallen
        wrongly += bool(fallen - {0})
    assert named == 40
    assert wrongly <= 2


def test_a_day_without_each_of_its_people():
    judgements = crowd(5)
    is_mine = rules.day_of(judgements.submitted) == 1
    sums = sums_of(found := shares(judgements, is_mine.astype(np.int64)), found.key == 1)
    without = rules.without_each(judgements, is_mine, sums)
    assert sorted(without) == [0, 1, 2, 3, 4]
    for person, hers in without.items():
        others = judgements.annotator != person
        left, is_left = judgements.where(others), is_mine[others]
        same, units = brute_force(left, is_left)
        assert (hers.same, hers.units) == (pytest.approx(same), pytest.approx(units))
        found = shares(left, is_left.astype(np.int64))
        assert astuple(hers) == pytest.approx(astuple(sums_of(found, found.key == 1)))
