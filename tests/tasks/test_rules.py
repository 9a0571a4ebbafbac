"""Gold keys, gold standing, the schedule of gold, display order."""

import itertools
import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from scipy.stats import beta, chisquare

from app.tasks import rules


def paused_by(accuracy: float, n_gold: int) -> float:
    """Exact probability that somebody of this accuracy has failed within `n_gold` answers."""
    alive, failed = {0: 1.0}, 0.0
    for seen in range(1, n_gold + 1):
        after: Counter[int] = Counter()
        for passed, p in alive.items():
            after[passed + 1] += p * accuracy
            after[passed] += p * (1 - accuracy)
        for passed in list(after):
            if rules.standing(seen=seen, passed=passed, threshold=0.7) == "failed":
                failed += after.pop(passed)
        alive = after
    return failed


@pytest.mark.parametrize(
    ("accuracy", "by_20", "by_100"),
    [
        (0.5, 0.57, 0.997),
        (0.6, 0.25, 0.79),
        (0.7, 0.06, 0.16),
        (0.8, 0.007, 0.009),
        (0.85, 0.001, 0.001),
    ],
)
def test_the_pause_rule_has_the_published_error_rates(accuracy, by_20, by_100):
    assert paused_by(accuracy, 20) == pytest.approx(by_20, abs=0.006)
    assert paused_by(accuracy, 100) == pytest.approx(by_100, abs=0.007)


def test_the_beta_distribution_agrees_with_scipy():
    rng = random.Random(4)
    for _ in range(2000):
        a, b, x = 10 ** rng.uniform(-1, 3), 10 ** rng.uniform(-1, 3), rng.random()
        assert rules.beta_cdf(x, a, b) == pytest.approx(beta.cdf(x, a, b), abs=1e-11)
    assert rules.beta_cdf(0, 2, 3) == 0
    assert rules.beta_cdf(1, 2, 3) == 1


def test_nobody_fails_before_the_fifth_gold_and_nobody_good_is_warned():
    assert rules.standing(seen=4, passed=0, threshold=0.7) == "warned"
    assert rules.standing(seen=5, passed=0, threshold=0.7) == "failed"
    assert rules.standing(seen=0, passed=0, threshold=0.7) == "good"
    assert rules.standing(seen=20, passed=18, threshold=0.7) == "good"


def orders(size):
    """Every weak order of `size` responses, as ranks."""
    for ranks in itertools.product(range(1, size + 1), repeat=size):
        if set(ranks) == set(range(1, max(ranks) + 1)):
            yield ranks


def test_a_key_is_consistent_exactly_when_some_order_satisfies_it():
    rng = random.Random(2)
    pairs = [(i, j) for i in range(4) for j in range(4)]
    seen = Counter()
    for _ in range(600):
        prefers = rng.sample(pairs, rng.randrange(5))
        equal = rng.sample(pairs, rng.randrange(3))
        satisfiable = any(
            rules.satisfies(ranks, prefers=prefers, equal=equal) for ranks in orders(4)
        )
        assert rules.is_consistent(4, prefers=prefers, equal=equal) is satisfiable, (prefers, equal)
        seen[satisfiable] += 1
    assert min(seen.values()) > 50


def test_a_key_knows_the_order_exactly_when_one_order_alone_satisfies_it():
    rng = random.Random(4)
    pairs = [(i, j) for i in range(4) for j in range(4)]
    seen = Counter()
    for _ in range(600):
        prefers, equal = rng.sample(pairs, rng.randrange(1, 7)), rng.sample(pairs, rng.randrange(2))
        found = [
            ranks for ranks in orders(4) if rules.satisfies(ranks, prefers=prefers, equal=equal)
        ]
        order = rules.order_of_key(4, prefers=prefers, equal=equal)
        assert (order is not None) is (len(found) == 1), (prefers, equal)
        if order is not None:
            ranks = {place: rank for rank, group in enumerate(order, 1) for place in group}
            assert found == [tuple(ranks[place] for place in range(4))]
        seen[order is not None] += 1
    assert min(seen.values()) > 10


def test_the_pass_mark_is_rounded_up_to_whole_questions_and_by_no_rounding_error():
    assert [rules.needed_right(size, share=0.8) for size in (1, 4, 5, 8, 10)] == [1, 4, 4, 7, 8]
    assert rules.needed_right(10, share=0.7) == 7  # 0.7 × 10 is a little more than 7
    assert rules.needed_right(3, share=0.01) == 1
    assert rules.needed_right(200, share=1.0) == 200


def test_another_attempt_waits_and_ends_unless_it_was_granted():
    ended = datetime(2026, 1, 1, tzinfo=UTC)

    def entry(number, *, granted=0, last_ended=ended, hours=0):
        wait, now = timedelta(hours=24), ended + timedelta(hours=hours)
        return rules.entry(
            number, allowed=2, granted=granted, last_ended=last_ended, wait=wait, now=now
        )

    assert entry(1, last_ended=None) == "now"
    assert (entry(2, hours=23), entry(2, hours=24)) == ("wait", "now")
    assert entry(3, hours=99) == "over"
    assert (entry(2, granted=2), entry(3, granted=3), entry(4, granted=3)) == ("now", "now", "over")


def test_a_judgement_satisfies_a_key_only_where_the_key_speaks():
    assert rules.satisfies([1, 2, 3], prefers=[(0, 1)])
    assert rules.satisfies([2, 3, 1], prefers=[(0, 1)])
    assert not rules.satisfies([1, 1, 3], prefers=[(0, 1)])
    assert rules.satisfies([1, 1, 3], prefers=[(0, 1)], ties_allowed=True)
    assert not rules.satisfies([2, 1, 3], prefers=[(0, 1)], ties_allowed=True)
    assert not rules.satisfies([1, 2, 3], prefers=[(0, 1)], equal=[(1, 2)])
    assert rules.satisfies([1, 2, 2], prefers=[(0, 1)], equal=[(1, 2)])


def test_gold_is_denser_at_the_start_and_never_certain():
    assert rules.gold_chance(0, rate=0.1) == pytest.approx(0.4)
    assert rules.gold_chance(24, rate=0.1) == pytest.approx(0.4)
    assert rules.gold_chance(25, rate=0.1) == 0.1
    assert rules.gold_chance(3, rate=0.5) == 0.5
    assert rules.gold_chance(3, rate=0) == 0
    assert rules.gold_chance(100, rate=0.05, share=0.2) == 0.2
    assert rules.gold_chance(100, rate=0.4, share=0.2) == 0.4  # of a time with a lower rate
    assert rules.raised_share(0.05) == 0.2
    assert rules.raised_share(0.4) == 0.5


def test_every_display_order_is_equally_likely():
    rng = random.Random(11)
    counts = Counter(tuple(rules.shuffled(3, rng=rng)) for _ in range(12_000))
    assert len(counts) == 6
    assert chisquare(list(counts.values())).pvalue > 0.001
