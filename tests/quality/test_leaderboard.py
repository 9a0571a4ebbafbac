"""Standings of sources: order, intervals that keep their promise, and sides."""

import numpy as np
import pytest

from app.quality.rules.battles import Battles, battles_of, tables
from app.quality.rules.davidson import SECOND, Comparisons
from app.quality.rules.judgements import from_rankings
from app.quality.rules.leaderboard import MIDDLE, SCALE, standings

WORTH = np.array([0.8, 0.2, 0.0, -1.0])


def battles(rng, *, tasks, people, votes=3, home=0.0, taste=0.0):
    """Sources by their worth; on each task, and to each person, they seem better or worse."""
    worth = WORTH - WORTH.mean()
    of_person = rng.normal(0, taste, (people, len(worth)))
    rows, sources, display = [], [], []
    for task in range(tasks):
        pair = rng.choice(len(worth), 2, replace=False)
        for who in rng.choice(people, votes, replace=False):
            seen = [0, 1] if rng.random() < 0.5 else [1, 0]
            gap = np.subtract(*(worth[pair] + of_person[who, pair])) + (
                home if seen == [0, 1] else -home
            )
            p = np.exp([gap / 2, -0.7, -gap / 2])
            said = rng.choice(3, p=p / p.sum())
            rows.append((task, int(who), [[1, 2], [1, 1], [2, 1]][said]))
            sources.append(pair)
            display.append(seen)
    judgements = from_rankings(rows)
    judgements.display[:] = np.array(display, np.int16)
    return battles_of(judgements, np.array(sources), n_sources=len(worth))


@pytest.mark.parametrize(("people", "taste"), [(8, 0.0), (40, 0.5)])
def test_nine_of_ten_intervals_and_more_hold_the_truth(people, taste):
    """95 % are promised, also where people's tastes differ and there are enough of them."""
    truth = MIDDLE + SCALE * (WORTH - WORTH.mean())
    hits = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        found = standings(battles(rng, tasks=120, people=people, taste=taste))
        hits += [
            entry.score.low <= truth[entry.source] <= entry.score.high for entry in found.entries
        ]
    assert 0.89 < np.mean(hits) <= 0.99


def test_the_order_and_the_effect_of_sides_are_found():
    found = standings(battles(np.random.default_rng(1), tasks=600, people=9, home=0.4))
    assert found.entries[0].source == 0
    assert found.entries[-1].source == 3
    assert found.entries[0].rank == (1, 1)
    best, worst = found.entries[1].rank
    assert (best, worst) in {(2, 3), (2, 2)}
    assert found.left.low < 1 / (1 + np.exp(-0.4)) < found.left.high
    assert found.left.low > 0.5
    assert sum(entry.score.value for entry in found.entries) == pytest.approx(4 * MIDDLE)


def test_a_long_ranking_does_not_dominate():
    """One ranking of ten weighs nine, as it decides; not its forty-five pairs."""
    ranking = from_rankings([(0, 0, list(range(1, 11)))])
    found = battles_of(ranking, np.arange(10)[None, :], n_sources=10)
    assert len(found.comparisons) == 45
    assert found.comparisons.weight.sum() == pytest.approx(9)


def test_who_is_named_first_changes_nothing():
    rng = np.random.default_rng(2)
    given = battles(rng, tasks=60, people=6)
    wins, ties = tables(given.comparisons)
    one = standings(given)
    order = np.array([2, 0, 3, 1])
    whole = given.comparisons
    first, second = order[whole.first], order[whole.second]
    swap = first > second
    other = standings(
        Battles(
            Comparisons(
                np.where(swap, second, first),
                np.where(swap, first, second),
                np.where(swap, SECOND - whole.outcome, whole.outcome),
                whole.weight,
                np.where(swap, -whole.side, whole.side),
                n_items=4,
            ),
            given.task,
            given.annotator,
            given.judgement,
        )
    )
    assert [order[entry.source] for entry in one.entries] == [e.source for e in other.entries]
    assert [entry.score.low for entry in one.entries] == pytest.approx(
        [entry.score.low for entry in other.entries]
    )
    assert (wins.sum(), ties.sum() // 2) == (
        sum(entry.wins for entry in one.entries),
        sum(entry.ties for entry in one.entries) // 2,
    )
