"""Sides, pace, drift and hours of single people, by hand and on planted changes."""

from dataclasses import replace

import numpy as np
import pytest

from app.quality.rules import drift, pace, sides
from app.quality.rules.annotators import dissent_shares
from app.quality.rules.drift import DAY, fall, hours, hours_of, pool_of, weeks_of
from app.quality.rules.health import annotator_health
from app.quality.rules.judgements import from_rankings
from app.quality.rules.sides import streak

MONDAY = 1_772_409_600.0


# Sides


def test_a_streak_is_counted_over_decisive_answers_alone():
    found = streak(np.array([0, 0, np.nan, 0, 1, 1, 0, 1] + [0, 1] * 10, float))
    assert (found.n, found.longest) == (27, 3)
    assert found.switch_share == pytest.approx(23 / 26)


def test_always_one_side_or_always_in_turn_has_no_entropy_to_speak_of():
    same, turn = streak(np.zeros(40)), streak(np.tile([0.0, 1.0], 20))
    assert (same.longest, same.entropy, same.switch_share) == (40, 0, 0)
    assert turn.entropy == pytest.approx(0.5, abs=0.01)
    assert same.p_value < 1e-9
    assert turn.p_value < 1e-9
    coin = streak(np.random.default_rng(1).integers(0, 2, 400).astype(float))
    assert coin.entropy > 0.99
    assert coin.p_value > 0.05


def test_few_sides_are_no_streak():
    assert streak(np.zeros(19)).reason == sides.TOO_FEW_SIDES
    assert streak(np.full(50, np.nan)).n == 0


def test_the_commonest_rationale_is_counted_of_those_given():
    assert sides.most_repeated(np.array([7, 0, 7, 3, 0, 7])) == (3, 4)
    assert sides.most_repeated(np.zeros(5, np.int64)) == (0, 0)


# Pace


def timed(seconds, characters):
    judgements = from_rankings([(task, task % 2, [1, 2]) for task in range(len(seconds))])
    return replace(
        judgements,
        seconds=np.array(seconds, float),
        characters=np.array(characters, float),
    )


def test_the_robust_z_is_of_log_seconds():
    seconds = [10.0, 20, 30, 40, 50, 60, 5000]
    logs = np.log(seconds)
    deviation = 1.4826 * np.median(np.abs(logs - np.median(logs)))
    found = pace.log_z(timed(seconds, [300] * 7))
    assert found == pytest.approx((logs - np.log(40)) / deviation)


def test_equal_times_flag_nobody():
    assert np.isnan(pace.log_z(timed([20.0] * 12, [300] * 12))).all()
    health = annotator_health(timed([20.0] * 24, [300] * 24), n_annotators=2)
    assert health[0].pace.z.reason == pace.NO_SPREAD
    assert health[0].pace.below.value == 0


def test_faster_than_reading_needs_a_length_and_a_time():
    found = pace.below_reading(timed([1.0, 10, np.nan, 1], [300, 300, 300, np.nan]))
    assert found[:2].tolist() == [1, 0]  # 300 characters take 10 seconds
    assert np.isnan(found[2:]).all()
    assert np.isnan(pace.below_reading(from_rankings([(0, 0, [1, 2])]))).all()


# Drift and hours


def outcomes(share, chance):
    return (chance.random(len(share)) < share).astype(float)


def test_a_fall_is_found_where_it_began():
    chance = np.random.default_rng(2)
    moments = MONDAY + np.sort(chance.random(300)) * 28 * DAY
    hers = outcomes(np.where(moments > MONDAY + 14 * DAY, 0.5, 0.9), chance)
    others = outcomes(np.full(300, 0.85), chance)
    pool = pool_of(weeks_of(np.tile(moments, 2)), np.concatenate([hers, others]))
    found = fall(moments, hers, pool)
    assert found.p_value < 1e-4
    assert abs(found.since - MONDAY - 14 * DAY) < 4 * DAY
    assert found.outside - found.inside > 0.25
    learns = fall(moments, hers[::-1], pool)
    assert learns.p_value > 0.05 or learns.inside > learns.outside


def test_a_fall_of_the_last_days_is_found_beside_months_before():
    found = 0
    for seed in range(20):
        chance = np.random.default_rng(seed)
        moments = MONDAY + np.sort(chance.random(800)) * 90 * DAY
        hers = outcomes(np.where(np.arange(800) >= 750, 0.6, 0.85), chance)
        others = outcomes(np.full(4000, 0.85), chance)
        times = np.append(moments, np.tile(moments, 5))
        change = fall(moments, hers, pool_of(weeks_of(times), np.append(hers, others)))
        found += change.p_value < 0.01 and change.n_inside < 100
    assert found >= 15


def test_when_everybody_falls_it_is_nobodys_fall():
    chance = np.random.default_rng(3)
    moments = MONDAY + np.sort(chance.random(300)) * 28 * DAY
    share = np.where(moments > MONDAY + 14 * DAY, 0.6, 0.9)
    hers, others = outcomes(share, chance), outcomes(np.tile(share, 5), chance)
    alone = pool_of(weeks_of(moments), hers)
    pool = pool_of(weeks_of(np.tile(moments, 6)), np.concatenate([hers, others]))
    assert fall(moments, hers, pool).p_value > 0.02
    assert fall(moments, hers, alone).p_value < 1e-3  # with nobody to hold against it, it shows


def test_tired_hours_are_found_round_midnight():
    chance = np.random.default_rng(4)
    moments = MONDAY + np.floor(chance.random(500) * 20) * DAY + chance.random(500) * DAY
    clock = moments % DAY / 3600
    hers = outcomes(np.where((clock > 22) | (clock < 3), 0.45, 0.9), chance)
    others = outcomes(np.full(500, 0.85), chance)
    found = hours(moments, hers, pool_of(hours_of(np.tile(moments, 2)), np.append(hers, others)))
    assert found.p_value < 1e-4
    assert found.since / 3600 == pytest.approx(22, abs=1.5)
    assert found.until / 3600 == pytest.approx(3, abs=1.5)


def test_no_change_is_rarely_called_one():
    falls, tired = [], []
    for seed in range(300):
        chance = np.random.default_rng(seed)
        moments = MONDAY + chance.random(120) * 28 * DAY
        hers, others = outcomes(np.full(120, 0.8), chance), outcomes(np.full(600, 0.8), chance)
        times, all_of = np.tile(moments, 6), np.append(hers, others)
        falls.append(fall(moments, hers, pool_of(weeks_of(times), all_of)).p_value)
        tired.append(hours(moments, hers, pool_of(hours_of(times), all_of)).p_value)
    for p_values in (falls, tired):
        known = [p for p in p_values if p is not None]
        assert np.mean(np.array(known) < 0.05) < 0.08
        assert np.mean(np.array(known) < 0.005) < 0.02


@pytest.mark.parametrize(
    ("moments", "values", "reason"),
    [
        (np.arange(39.0), np.tile([0.0, 1.0, 1.0], 13), drift.TOO_FEW),
        (np.arange(60.0), np.ones(60), drift.ALWAYS),
        (np.full(60, 7.0), np.tile([0.0, 1.0], 30), drift.AT_ONCE),
    ],
)
def test_what_cannot_be_told_has_a_reason(moments, values, reason):
    found = fall(moments, values, pool_of(weeks_of(moments), values))
    assert (found.p_value, found.reason) == (None, reason)
    found = hours(moments, values, pool_of(hours_of(moments), values))
    assert (found.p_value, found.reason) == (None, reason)


def test_a_fall_needs_enough_on_both_sides_of_a_moment():
    moments, values = np.repeat([1.0, 2.0, 3.0], 15), np.tile([0.0, 1.0, 1.0], 15)
    found = fall(moments, values, pool_of(weeks_of(moments), values))
    assert (found.p_value, found.reason) == (None, drift.ONE_SIDED)


# Dissent


def test_dissent_is_from_single_others_also_where_they_are_even():
    judgements = from_rankings(
        [
            (0, 0, [1, 2]),
            (0, 1, [1, 2]),
            (0, 2, [2, 1]),
            (1, 0, [1, 2]),
            (1, 1, [1, 1]),
            (2, 0, [1, 2, 3]),
            (2, 1, [1, 3, 2]),
        ]
    )
    found = dissent_shares(judgements)
    assert found[:3].tolist() == [0.5, 0.5, 1]
    assert np.isnan(found[3:5]).all()
    assert found[5:].tolist() == pytest.approx([1 / 3, 1 / 3])
