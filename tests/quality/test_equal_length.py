"""Scores at equal length: other ways to the maximum, a planted taste for length, and what fails."""

import numpy as np
import pytest
from scipy.optimize import minimize

from app.evaluation.rules.length import length_controlled
from app.evaluation.rules.winning import Judged
from app.quality.rules import davidson
from app.quality.rules.battles import battles_of
from app.quality.rules.davidson import FIRST, SECOND, TIE, Comparisons
from app.quality.rules.equal_length import APART, SAME, at_equal_length
from app.quality.rules.judgements import from_rankings
from app.quality.rules.leaderboard import standings

SAID = {FIRST: [1, 2], TIE: [1, 1], SECOND: [2, 1]}


def boards(*, worth=(0.0, 0.0), taste=0.0, more=0.0, ties=0.0, tasks=400, seed=1):
    """Pairs of two sources, of which 0 writes `more` characters on average; each is judged once."""
    chance = np.random.default_rng(seed)
    lengths = chance.normal([[500 + more, 500]], 150, (tasks, 2)).round().astype(int)
    gap = lengths[:, 0] - lengths[:, 1]
    pull = worth[0] - worth[1] + taste * np.tanh(gap / np.sqrt(np.mean(gap**2)))
    p = np.stack([np.exp(pull / 2), np.full(tasks, ties), np.exp(-pull / 2)], axis=1)
    p /= p.sum(axis=1, keepdims=True)
    said = (chance.random(tasks)[:, None] > p.cumsum(axis=1)).sum(axis=1)
    judgements = from_rankings([(task, 0, SAID[int(each)]) for task, each in enumerate(said)])
    sources = np.tile([0, 1], (tasks, 1))
    return battles_of(judgements, sources, n_sources=2, characters=lengths), said, gap


def test_another_way_to_the_same_maximum():
    chance = np.random.default_rng(3)
    n = 600
    first = chance.integers(0, 4, n)
    second = (first + chance.integers(1, 4, n)) % 4
    longer, side = chance.uniform(-1, 1, n), chance.choice([-1, 0, 1], n)
    outcome, weight = chance.integers(0, 3, n), chance.choice([1.0, 0.5], n)
    data = Comparisons(first, second, outcome, weight, side, n_items=4, longer=longer)
    fitted = davidson.fit(data, home=True, length=True)

    def cost(theta):
        pull = theta[first] - theta[second] + theta[4] * side + theta[5] * longer
        utility = np.stack([pull / 2, np.full(n, theta[6]), -pull / 2], axis=1)
        chosen = utility[np.arange(n), outcome] - np.log(np.exp(utility).sum(axis=1))
        return -(weight * chosen).sum() + theta[:4].sum() ** 2

    found = minimize(cost, np.zeros(7), options={"gtol": 1e-8}).x
    assert fitted.log_worth == pytest.approx(found[:4], abs=1e-5)
    assert fitted.effects == pytest.approx(found[4:6], abs=1e-5)
    assert fitted.log_tie == pytest.approx(found[6], abs=1e-5)
    plain = davidson.fit(data)
    alone = Comparisons(first, second, outcome, weight, side, n_items=4, longer=np.zeros(n))
    assert davidson.fit(alone).log_worth == pytest.approx(plain.log_worth)


def test_two_models_without_ties_are_the_comparison_of_two_models():
    """The logistic regression of AlpacaEval 2, where lengths differ as often either way."""
    battles, said, gap = boards(worth=(0.5, 0.0), taste=1.0)
    longer = gap - gap.mean()  # then the standard deviation is the root mean square
    usual = float(longer.std())
    battles.comparisons.longer[:] = np.tanh(longer / usual)
    found = at_equal_length(battles, standings(battles))
    other = length_controlled(
        [Judged((float(s == FIRST),), (), each) for s, each in zip(said, longer, strict=True)]
    )
    (best, _) = found.standings.entries
    assert best.source == 0
    rate, slope = other.win_rate, other.slope
    for end in ("value", "low", "high"):
        share = getattr(best.better_than_next, end)
        assert share == pytest.approx(getattr(rate, end), abs=2e-3 if end != "value" else 1e-6)
    by = np.tanh(1.0) * slope.value
    assert found.longer.value == pytest.approx(1 / (1 + np.exp(-by)), abs=1e-6)


def test_who_leads_by_length_alone_does_not_lead_at_equal_length():
    battles, _, _ = boards(worth=(0.0, 0.3), taste=2.5, more=150, ties=0.3, tasks=1_500)
    plain = standings(battles)
    assert plain.entries[0].source == 0
    assert plain.entries[0].better_than_next.low > 0.5
    found = at_equal_length(battles, plain)
    assert found.standings.entries[0].source == 1
    truth = 1 / (1 + np.exp(-0.3))
    better = found.standings.entries[0].better_than_next
    assert better.low < truth < better.high
    assert found.longer.low > 0.5
    assert found.longer.low < 1 / (1 + np.exp(-2.5 * np.tanh(1.0))) < found.longer.high


def test_length_without_effect_leaves_the_scores():
    wrong = 0
    for seed in range(40):
        battles, _, _ = boards(worth=(0.4, 0.0), more=100, seed=seed)
        longer = at_equal_length(battles, standings(battles)).longer
        wrong += not longer.low <= 0.5 <= longer.high
    assert wrong <= 5


def test_what_cannot_be_told_apart_says_so():
    battles, _, _ = boards()
    battles.comparisons.longer[:] = 1.0  # the first source is the longer one by as much each time
    assert at_equal_length(battles, standings(battles)).longer.reason == APART
    judgements = from_rankings([(0, 0, [1, 2]), (1, 0, [2, 1])])
    same = battles_of(
        judgements, np.tile([0, 1], (2, 1)), n_sources=2, characters=np.full((2, 2), 7)
    )
    assert at_equal_length(same, standings(same)).standings.reason == SAME
    never = battles_of(
        from_rankings([(0, 0, [1, 2])]), np.array([[0, 1]]), n_sources=2,
        characters=np.array([[7, 9]]),
    )  # fmt: skip
    assert "Each pair" in standings(never).reason or "never" in standings(never).reason
    assert at_equal_length(never, standings(never)).longer.value is None
