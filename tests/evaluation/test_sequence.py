"""When to stop: never wrong too often, however often somebody looks, and soon enough."""

import numpy as np
import pytest

from app.evaluation.rules.sequence import bets, confidence_sequence, decision
from app.evaluation.rules.standing import standing, stream

LOOKS = 300  # after each of so many judgements
RUNS = 120


def scores_of(rng, mean, ties, n):
    """Wins, ties and losses with this mean."""
    win = mean - ties / 2
    return rng.choice([1.0, 0.5, 0.0], size=n, p=[win, ties, 1 - win - ties])


def test_it_is_the_hedged_capital_sequence_of_its_authors():
    """`confseq.betting.betting_cs(x, breaks=400, running_intersection=True)`, version 0.0.11."""
    x = np.random.default_rng(7).choice([0, 0.5, 1], p=[0.2, 0.2, 0.6], size=200)
    found = confidence_sequence(x.tolist())
    theirs = {20: (0.5575, 0.9625), 50: (0.5575, 0.875), 100: (0.585, 0.825), 200: (0.6275, 0.8075)}
    for n, bounds in theirs.items():
        assert (found.low[n], found.high[n]) == pytest.approx(bounds, abs=1e-9)


def test_the_fortunes_are_the_ones_of_the_formula():
    """Bet by bet, as theorem 3 has it, for one candidate."""
    x = np.random.default_rng(8).random(60)
    stakes = bets(x)
    m, up, down = 0.31, 1.0, 1.0
    for score, stake in zip(x, stakes, strict=True):
        up *= 1 + min(stake, 0.5 / m) * (score - m)
        down *= 1 - min(stake, 0.5 / (1 - m)) * (score - m)
    is_out = max(up, down) / 2 >= 1 / 0.05
    low, high = confidence_sequence(x.tolist()).last
    assert is_out == (not low <= m <= high)
    assert stakes[0] == pytest.approx(np.sqrt(2 * np.log(40) / (0.25 * np.log(2))))


@pytest.mark.parametrize("ties", [0.0, 0.3])
def test_who_looks_after_every_judgement_is_rarely_wrong(ties):
    """At a mean of ½ a false alarm at any of 300 looks comes in at most 5 % of evaluations.

    Looking as often at ordinary 95 % intervals errs in about 40 %.
    """
    rng = np.random.default_rng(11)
    wrong = ordinary = 0
    for _ in range(RUNS):
        x = scores_of(rng, 0.5, ties, LOOKS)
        wrong += decision(confidence_sequence(x.tolist())).is_made
        n = np.arange(1, LOOKS + 1)
        mean = np.cumsum(x) / n
        error = np.sqrt(np.maximum(np.cumsum(x**2) / n - mean**2, 1e-9) / n)
        ordinary += bool((np.abs(mean - 0.5) > 1.96 * error)[20:].any())
    assert wrong / RUNS <= 0.05
    assert ordinary / RUNS > 0.25


def test_the_interval_holds_the_truth_at_all_looks_at_once():
    rng = np.random.default_rng(12)
    held = 0
    for _ in range(RUNS):
        found = confidence_sequence(scores_of(rng, 0.62, 0.1, LOOKS).tolist())
        held += bool(((found.low <= 0.62) & (found.high >= 0.62)).all())
    assert held / RUNS >= 0.95


@pytest.mark.parametrize(("rate", "enough", "runs"), [(0.6, 1000, 30), (0.7, 160, 60)])
def test_how_many_judgements_it_takes(rate, enough, runs):
    """Nine in ten evaluations are decided, and rightly, within so many."""
    rng = np.random.default_rng(13)
    right = 0
    for _ in range(runs):
        made = decision(confidence_sequence(scores_of(rng, rate, 0.0, enough).tolist()))
        assert made.prefers >= 0
        right += made.prefers > 0
    assert right / runs >= 0.9


def test_it_is_the_same_from_the_other_side():
    x = scores_of(np.random.default_rng(14), 0.7, 0.2, 200)
    one, other = confidence_sequence(x.tolist()), confidence_sequence((1 - x).tolist())
    assert one.low == pytest.approx(1 - other.high)
    assert decision(one).prefers == -decision(other).prefers != 0
    assert decision(one).at == decision(other).at


def test_before_anything_is_seen_nothing_is_known():
    found = confidence_sequence([])
    assert found.last == (0.0, 1.0)
    assert not decision(found).is_made


def test_with_a_margin_it_can_be_decided_that_they_are_equal():
    x = [1.0, 0.0] * 600
    assert not decision(confidence_sequence(x)).is_made
    made = decision(confidence_sequence(x), margin=0.1)
    assert made.is_made
    assert made.prefers == 0


# -- from judgements --------------------------------------------------------------------------


def test_a_prompt_counts_once_it_has_all_its_judgements_and_never_changes():
    early = [[(1.0, 1.0), (5.0, 0.0)], [(2.0, 0.0)], [(3.0, 0.5), (4.0, 0.5)]]
    seen = stream(early, judgements=2)
    assert (seen.times, seen.scores) == ([4.0, 5.0], [0.5, 0.5])
    later = [[*early[0], (9.0, 0.0)], [*early[1], (8.0, 0.0)], early[2]]
    seen = stream(later, judgements=2)
    assert seen.scores == [0.5, 0.5, 0.0]  # the third judgement of the first comes too late


def standing_of(said, *, equal=0, judgements=1, margin=0.0):
    return standing(
        said,
        [((), 0.0)] * len(said),
        equal=equal,
        judgements=judgements,
        judges=1,
        alpha=0.05,
        margin=margin,
    )


def test_equal_answers_pull_towards_a_half_and_change_no_decision():
    said = [[(float(at), 1.0)] for at in range(40)]
    alone, halved = standing_of(said), standing_of(said, equal=40)
    assert alone.decided
    assert halved.decided
    assert halved.win_rate.value == 0.75
    assert halved.low == pytest.approx(0.25 + alone.low / 2)
    assert halved.path[-1][1] == 0.75
    assert halved.prompts == 80


def test_where_every_answer_is_the_same_there_is_nothing_to_judge():
    found = standing_of([], equal=12)
    assert found.decided
    assert found.prefers == 0
    assert (found.low, found.high) == (0.5, 0.5)


def test_prompts_that_wait_are_left_and_do_not_count():
    found = standing_of([[(1.0, 1.0)], [], []])
    assert (found.judged, found.complete, found.prompts) == (1, 1, 3)
    assert not found.is_complete
    assert found.win_rate.value == 1.0
