"""What labels cost, and when the rest will be there."""

from datetime import date, timedelta

import numpy as np
import pytest

from app.quality.rules import forecast as forecasts
from app.quality.rules.forecast import forecast, pace_of
from app.quality.rules.judgements import from_rankings
from app.quality.rules.money import Entry, Kind, Price, cost, in_words, money, usable_pairs

TODAY = date(2026, 11, 25)
HOUR = 3_600_000
WORK = [
    Entry(TODAY, Kind.ORDINARY, 300, 5 * HOUR, 0),
    Entry(TODAY, Kind.GOLD, 30, HOUR // 2, 27),
    Entry(TODAY, Kind.REPEATS, 15, HOUR // 4, 0),
    Entry(TODAY, Kind.SURPLUS, 5, HOUR // 12, 0),
    Entry(TODAY, Kind.SKIPPED, 10, HOUR // 6, 0),
]
NOTHING = Price(None, None, "")


def test_everything_costs_and_only_first_judgements_make_comparisons():
    found = cost(WORK, Price(20.0, None, "EUR"), tasks=100, usable=90, pairs=100)
    assert found.hours == pytest.approx(6.0)
    assert found.total == pytest.approx(120.0)
    assert found.per_usable == pytest.approx(120 / 90)
    parts = {part.name: part for part in found.parts}
    assert parts["first"].judgements == 100
    assert parts["overlap"].judgements == 200
    assert parts["overlap"].cost == pytest.approx(20 * 5 * 2 / 3)
    assert sum(part.cost for part in found.parts) == pytest.approx(found.total)
    assert sum(part.hours for part in found.parts) == pytest.approx(found.hours)
    assert next(part.name for part in found.parts) == "overlap"


def test_a_price_per_judgement_does_not_pay_for_skipping_and_both_add_up():
    each = cost(WORK, Price(None, 0.5, "EUR"), tasks=100, usable=90, pairs=100)
    assert each.total == pytest.approx(0.5 * 350)
    both = cost(WORK, Price(20.0, 0.5, "EUR"), tasks=100, usable=90, pairs=100)
    assert both.total == pytest.approx(120 + 175)


def test_without_a_price_it_is_told_in_time():
    found = cost(WORK, NOTHING, tasks=100, usable=90, pairs=100)
    assert (found.total, found.per_usable) == (None, None)
    assert found.minutes_per_usable == pytest.approx(4.0)
    assert (
        in_words(found) == "4 minutes of work for each of 90 usable comparisons: 6.0 hours in all."
    )


def test_what_is_not_known_is_said():
    assert in_words(cost([], NOTHING, tasks=0, usable=0, pairs=0)).startswith("Not known yet")
    undecided = cost(WORK, Price(20.0, None, "EUR"), tasks=100, usable=0, pairs=100)
    assert in_words(undecided).startswith("Not known yet: no comparison is usable")
    assert undecided.per_usable is None


def test_usable_pairs_lean_to_one_side():
    judgements = from_rankings(
        [
            (0, 0, [1, 2]), (0, 1, [1, 2]),  # agreed
            (1, 0, [1, 2]), (1, 1, [2, 1]),  # split
            (2, 0, [1, 1]), (2, 1, [1, 1]),  # tied
            (3, 0, [1, 1]), (3, 1, [1, 2]),  # one decisive vote
            (4, 0, [1, 2, 2]),  # of three pairs one is tied
        ]
    )  # fmt: skip
    assert usable_pairs(judgements) == (4, 7)
    assert usable_pairs(judgements, left_out=[1]) == (4, 7)
    assert usable_pairs(judgements, left_out=[0]) == (3, 7)
    assert usable_pairs(from_rankings([])) == (0, 0)


def test_amounts_are_readable():
    assert money(1234.5, "EUR") == "1,234 EUR"
    assert money(0.351, "EUR") == "0.35 EUR"
    assert money(0.0424, "EUR") == "0.042 EUR"
    assert money(3, "") == "3.00"


def steady(per_day: int, days: int = 7) -> dict[date, int]:
    return {TODAY - timedelta(days=back): per_day for back in range(1, days + 1)}


def test_a_steady_pace_ends_on_one_day():
    found = forecast(500, steady(100), today=TODAY)
    assert found.working_days == pytest.approx(5)
    assert found.done_on == found.earliest == found.latest == TODAY + timedelta(days=5)
    assert "on 30 November 2026" in forecasts.in_words(found)


def test_days_without_work_stretch_the_calendar():
    counts = {TODAY - timedelta(days=back): 100 for back in (1, 3, 5, 7, 9, 11, 13)}
    assert pace_of(counts, today=TODAY).share == pytest.approx(7 / 13)
    assert forecast(700, counts, today=TODAY).done_on == TODAY + timedelta(days=13)


def test_today_is_not_over_and_long_ago_is_no_pace():
    assert pace_of(steady(100) | {TODAY: 3}, today=TODAY).per_day == 100
    old = {TODAY - timedelta(days=back): 100 for back in range(40, 60)}
    found = forecast(10, old, today=TODAY)
    assert found.done_on is None
    assert found.reason.startswith("Not known yet: the pace is told from 3 full days")
    assert "there are 2 so far" in forecast(10, steady(5, days=2), today=TODAY).reason


def test_days_that_differ_too_much_have_no_latest_end():
    counts = {TODAY - timedelta(days=1 + back): n for back, n in enumerate((1, 300, 2))}
    found = forecast(1000, counts, today=TODAY)
    assert found.latest is None
    assert found.earliest is not None
    assert "cannot be told" in forecasts.in_words(found)


def test_nothing_left_is_done_and_endless_is_said():
    assert "has been judged" in forecasts.in_words(forecast(0, steady(5), today=TODAY))
    assert "ten years" in forecasts.in_words(forecast(10**8, steady(5), today=TODAY))


def test_the_interval_covers_the_day_on_which_it_is_done():
    draw = np.random.default_rng(1)
    inside = 0
    for _ in range(300):
        numbers = draw.normal(100, 25, 400).clip(1).astype(int)
        counts = {TODAY - timedelta(days=1 + back): int(numbers[back]) for back in range(7)}
        found = forecast(1500, counts, today=TODAY)
        needed = int(np.searchsorted(np.cumsum(numbers[7:]), 1500)) + 1
        latest = found.latest or date.max
        inside += found.earliest <= TODAY + timedelta(days=needed) <= latest
    assert inside / 300 >= 0.93
