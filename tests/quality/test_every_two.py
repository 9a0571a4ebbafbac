"""Every two people at once say what each two alone would."""

from dataclasses import replace

import numpy as np
import pytest

from app.quality.rules.every_two import MOST_PEOPLE, agreement_of_each, side_by_side
from app.quality.rules.fields import FIGURES, field_agreement
from app.quality.rules.judgements import Judgements, from_rankings
from app.quality.rules.scales import Field, Scale, ranking_field, rating_field, strength_field

FIRST, SECOND = [1, 2], [2, 1]
SCALE = Scale(1, 5)


def crowd(*, people: int = 4, tasks: int = 120, sizes: tuple[int, ...] = (2,)) -> Judgements:
    """People with gaps: not everybody judges everything, gives a strength or rates a response."""
    chance = np.random.default_rng(7)
    rows, strength = [], []
    for task in range(tasks):
        size = sizes[task % len(sizes)]
        for person in range(people):
            if chance.random() < 0.7:
                rows.append((task, person, chance.integers(1, 4, size).tolist()))
                strength.append(None if chance.random() < 0.2 else int(chance.integers(1, 4)))
    judgements = from_rankings(rows, strength=strength)
    ratings = chance.integers(1, 6, judgements.ranks.shape).astype(float)
    ratings[(judgements.ranks == 0) | (chance.random(ratings.shape) < 0.3)] = np.nan
    return replace(judgements, ratings={"help": ratings})


def alone(judgements: Judgements, one: int, other: int) -> Judgements:
    """What the two have both judged."""
    tasks = [set(judgements.task[judgements.annotator == each].tolist()) for each in (one, other)]
    theirs = np.isin(judgements.annotator, [one, other])
    return judgements.where(theirs & np.isin(judgements.task, list(tasks[0] & tasks[1])))


@pytest.mark.parametrize("sizes", [(2,), (2, 4, 3)])
@pytest.mark.parametrize(
    "field", [ranking_field(), strength_field(levels=3), rating_field("help", SCALE)]
)
def test_the_figures_are_those_of_the_two_alone(field: Field, sizes: tuple[int, ...]):
    judgements = crowd(sizes=sizes)
    beside = side_by_side(judgements)
    assert beside.people.tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    chance = np.random.default_rng(1)
    found = list(agreement_of_each(beside, field, rng=chance, resamples=1000))
    for two, figures in zip(beside.people, found, strict=True):
        part = alone(judgements, *two)
        expected = field_agreement(part, field, rng=np.random.default_rng(2), resamples=1000)
        for name in ("n_tasks", "n_annotations", "n_annotators", "n_shared_tasks"):
            assert getattr(figures, name) == getattr(expected, name)
        for name in FIGURES:
            mine, other = getattr(figures, name), getattr(expected, name)
            assert mine.value == pytest.approx(other.value, abs=1e-9), name
            if mine.value is None:
                assert mine.reason == other.reason
            assert mine.low == pytest.approx(other.low, abs=0.12), name
            assert mine.high == pytest.approx(other.high, abs=0.12), name


def test_two_who_rated_nothing_in_common_are_not_defined():
    judgements = from_rankings([(0, 0, FIRST), (0, 1, FIRST), (1, 0, FIRST), (1, 1, SECOND)])
    ratings = np.array([[3, np.nan], [np.nan, 2], [np.nan, np.nan], [np.nan, np.nan]])
    judgements = replace(judgements, ratings={"help": ratings})
    field = rating_field("help", SCALE)
    chance = np.random.default_rng(1)
    (figures,) = agreement_of_each(side_by_side(judgements), field, rng=chance, resamples=10)
    assert (figures.n_tasks, figures.n_annotations, figures.n_shared_tasks) == (1, 2, 1)
    assert "No response has been rated by two" in figures.krippendorff_alpha.reason
    assert "nothing in common" in figures.cohen_kappa.reason
    (strength,) = agreement_of_each(
        side_by_side(judgements), strength_field(levels=3), rng=chance, resamples=10
    )
    assert (strength.n_tasks, strength.krippendorff_alpha.value) == (0, None)


def test_only_shared_tasks_lie_side_by_side_and_repeats_do_not():
    judgements = from_rankings(
        [(0, 1, FIRST), (0, 0, FIRST), (1, 0, FIRST), (2, 1, FIRST), (2, 2, FIRST), (2, 2, FIRST)]
    )
    judgements = replace(judgements, repeat=np.array([False] * 5 + [True]))
    beside = side_by_side(judgements)
    found = {
        tuple(two): beside.judgements.task[beside.one[start : start + number]].tolist()
        for two, start, number in zip(
            beside.people.tolist(), beside.start, beside.number, strict=True
        )
    }
    assert found == {(0, 1): [0], (1, 2): [2]}
    assert side_by_side(from_rankings([])).people.shape == (0, 2)


def test_the_busiest_are_paired():
    rows = [(task, person, FIRST) for task in (0, 1) for person in range(MOST_PEOPLE)]
    beside = side_by_side(from_rankings([*rows, (0, MOST_PEOPLE, FIRST)]))
    assert len(beside.people) == MOST_PEOPLE * (MOST_PEOPLE - 1) // 2
    assert beside.people.max() == MOST_PEOPLE - 1
