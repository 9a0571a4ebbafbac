"""From labels on the screen to ranks of canonical responses, and back."""

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.annotation import rules
from app.errors import Invalid


def weak_orders(size):
    """A ranking of `size` labels, as groups best first."""
    labels = rules.labels(size)

    def grouped(ranks):
        groups = {}
        for label, rank in zip(labels, ranks, strict=True):
            groups.setdefault(rank, []).append(label)
        return [groups[rank] for rank in sorted(groups)]

    return st.lists(st.integers(0, size), min_size=size, max_size=size).map(grouped)


@given(st.integers(2, 10).flatmap(weak_orders), st.randoms())
def test_what_was_shown_comes_back_as_it_was_given(ranking, rng):
    size = sum(map(len, ranking))
    order = rng.sample(range(size), size)
    rules.require_ranking(ranking, size=size, allow_ties=True)
    ranks = rules.canonical_ranks(ranking, order)
    assert rules.shown_ranking(ranks, order) == ranking
    assert rules.standard_ranks(ranks) == ranks
    assert min(ranks) == 1


def test_ranks_are_those_of_the_responses_and_not_of_the_screen():
    # Shown as A = response 2, B = response 0, C = response 1; B best, then A and C alike.
    assert rules.canonical_ranks([["B"], ["A", "C"]], [2, 0, 1]) == [1, 2, 2]


@pytest.mark.parametrize(
    ("ranking", "sentence"),
    [
        ([["A"], ["B"]], "Response C is missing"),
        ([["A", "B"], ["B"], ["C"]], "Response B stands in the ranking twice"),
        ([["A"], ["B"], ["C"], ["D"]], "There is no response D"),
        ([["A"], [], ["B", "C"]], "A place of the ranking is empty"),
        ([["A"], ["B", "C"]], "does not allow ties"),
        ([], "Response A is missing"),
    ],
)
def test_what_is_no_ranking_of_what_was_shown_is_refused(ranking, sentence):
    with pytest.raises(Invalid, match=sentence):
        rules.require_ranking(ranking, size=3, allow_ties=False)


@pytest.mark.parametrize(
    ("strength", "ranking", "size", "levels", "expected"),
    [
        (2, [["A"], ["B"]], 2, 3, 2),
        (None, [["A"], ["B"]], 2, 3, None),
        (0, [["A", "B"]], 2, 3, None),
        (0, [["A"], ["B"]], 2, 3, "goes from 1 to 3"),
        (4, [["A"], ["B"]], 2, 3, "goes from 1 to 3"),
        (1, [["A", "B"]], 2, 3, "A tie has no strength"),
        (1, [["A"], ["B"], ["C"]], 3, 3, "belongs to a pair"),
        (1, [["A"], ["B"]], 2, 0, "does not ask for a strength"),
    ],
)
def test_strength_belongs_to_a_decided_pair(strength, ranking, size, levels, expected):
    def applied():
        return rules.applicable_strength(strength, ranking=ranking, size=size, levels=levels)

    if isinstance(expected, str):
        with pytest.raises(Invalid, match=expected):
            applied()
    else:
        assert applied() == expected


def test_ratings_go_to_the_responses_and_stay_on_their_scale():
    criteria = [{"key": "clear", "label": "Clarity", "min": 1, "max": 5}]

    def placed(ratings):
        return rules.canonical_ratings(ratings, criteria=criteria, display_order=[1, 0])

    assert placed({"clear": {"A": 5, "B": 1}}) == {"clear": [1, 5]}
    assert placed({"clear": {"B": 2}}) == {"clear": [2, None]}
    assert placed({"clear": {}}) == {}
    for wrong, sentence in [
        ({"clear": {"A": 6}}, "rated from 1 to 5"),
        ({"kind": {"A": 1}}, "no criterion “kind”"),
        ({"clear": {"C": 1}}, "no response C"),
    ]:
        with pytest.raises(Invalid, match=sentence):
            placed(wrong)


def test_times_never_exceed_what_really_passed():
    assert rules.plausible_times(wall_ms=900, visible_ms=5000, active_ms=800) == (900, 800)
    assert rules.plausible_times(wall_ms=900, visible_ms=500, active_ms=800) == (500, 500)
    assert rules.plausible_times(wall_ms=900, visible_ms=None, active_ms=None) == (None, None)


def test_sources_are_told_from_people_by_their_names():
    for name in ("dataset:hh-rlhf", "model:llama", "Dataset/x", "checkpoint:12"):
        assert rules.is_source(name)
    for name in ("ana", "annotator-1", "17", "my dataset", "modeller"):
        assert not rules.is_source(name)


def test_the_posterior_of_the_leading_answer_is_bayes_rule():
    """Counted out by hand: three answers, votes right with 0.7, else one of two others."""
    alone = 0.7
    assert rules.leading_posterior([(0, 0.7)], answers=3) == pytest.approx(alone)
    two = 0.7**2 / (0.7**2 + 2 * 0.15**2)
    assert rules.leading_posterior([(0, 0.7)] * 2, answers=3) == pytest.approx(two)
    split = (0.7 * 0.15) / (2 * 0.7 * 0.15 + 0.15**2)
    assert rules.leading_posterior([(0, 0.7), (-1, 0.7)], answers=3) == pytest.approx(split)
    assert rules.leading_posterior([], answers=3) == pytest.approx(1 / 3)


def test_the_posterior_agrees_with_simulated_votes():
    rng = random.Random(5)
    right = leads = 0
    for _ in range(20_000):
        truth = rng.randrange(3)
        votes = []
        for accuracy in (0.8, 0.6, 0.6):
            is_right = rng.random() < accuracy
            other = rng.choice([each for each in range(3) if each != truth])
            votes.append((truth if is_right else other, accuracy))
        if [answer for answer, _ in votes] == [0, 0, 1]:
            leads += 1
            right += truth == 0
    expected = rules.leading_posterior([(0, 0.8), (0, 0.6), (1, 0.6)], answers=3)
    assert right / leads == pytest.approx(expected, abs=0.04)


def by_enumeration(votes, answers):
    """Bayes over every possible truth, without logarithms and with exact fractions."""
    joint = []
    for truth in range(answers):
        p = Fraction(1, answers)
        for answer, accuracy in votes:
            right = Fraction(accuracy)
            p *= right if answer == truth else (1 - right) / (answers - 1)
        joint.append(p)
    return float(max(joint) / sum(joint))


@given(
    st.integers(2, 5).flatmap(
        lambda answers: st.tuples(
            st.just(answers),
            st.lists(
                st.tuples(st.integers(0, answers - 1), st.floats(0.05, 0.95)),
                max_size=9,
            ),
        )
    )
)
def test_the_posterior_is_what_enumeration_gives(case):
    answers, votes = case
    posterior = rules.leading_posterior(votes, answers=answers)
    assert posterior == pytest.approx(by_enumeration(votes, answers))


def test_the_posterior_of_a_pair_depends_on_the_lead_alone():
    """The closed form for equal accuracies: the odds are (p / (1 − p)) to the power of the lead."""
    for first, second, p in [(3, 1, 0.7), (2, 0, 0.7), (5, 3, 0.7), (4, 0, 0.6)]:
        votes = [(0, p)] * first + [(1, p)] * second
        odds = (p / (1 - p)) ** (first - second)
        posterior = rules.leading_posterior(votes, answers=2)
        assert posterior == pytest.approx(odds / (1 + odds))


def test_expected_accuracy_follows_the_gold_answers():
    assert rules.expected_accuracy(gold_seen=0, gold_passed=0) == pytest.approx(4 / 5.5)
    assert rules.expected_accuracy(gold_seen=20, gold_passed=20) > 0.9
    assert rules.expected_accuracy(gold_seen=20, gold_passed=8) < 0.5
