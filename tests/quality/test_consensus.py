"""One answer per task: nothing is ever broken by the order of the responses."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.quality.rules.consensus import majority

JUDGEMENTS = st.integers(2, 5).flatmap(
    lambda n: st.lists(st.lists(st.integers(1, n), min_size=n, max_size=n), min_size=1, max_size=6)
)


@pytest.mark.parametrize(
    ("votes", "preferred"),
    [
        ([[1, 2], [1, 2], [2, 1]], 1),
        ([[2, 1], [2, 1], [1, 2]], -1),
        ([[1, 2], [2, 1]], 0),
        ([[1, 1], [1, 1], [2, 1]], -1),  # ties are no votes: one decisive vote decides
        ([[1, 1], [1, 1]], 0),
    ],
)
def test_a_pair_goes_to_the_majority_of_decisive_votes(votes, preferred):
    consensus = majority(votes)
    assert consensus.votes[0, 1].preferred == preferred
    assert consensus.ranks == {1: (1, 2), -1: (2, 1), 0: (1, 1)}[preferred]


def test_an_even_vote_is_unresolved_and_not_a_tie_people_gave():
    even, tied = majority([[1, 2], [2, 1]]), majority([[1, 1], [1, 1]])
    assert not even.is_decided
    assert even.agreement == 0
    assert tied.agreement == 1


def test_wins_and_half_the_ties_make_the_soft_label():
    assert majority([[1, 2], [1, 2], [1, 1], [2, 1]]).votes[0, 1].p_first == 0.625


def test_a_ranking_is_ordered_by_pairs_won_less_pairs_lost():
    consensus = majority([[1, 2, 3], [1, 3, 2], [2, 1, 3]])
    assert consensus.ranks == (1, 2, 3)
    assert not consensus.is_cyclic


def test_a_cycle_is_flagged_and_its_members_tie():
    consensus = majority([[1, 2, 3], [3, 1, 2], [2, 3, 1]])
    assert consensus.is_cyclic
    assert consensus.ranks == (1, 1, 1)


def test_a_cycle_below_the_winner_is_flagged_as_well():
    consensus = majority([[1, 2, 3, 4], [1, 4, 2, 3], [1, 3, 4, 2]])
    assert consensus.is_cyclic
    assert consensus.ranks == (1, 2, 2, 2)


@given(JUDGEMENTS, st.randoms(use_true_random=False))
def test_neither_people_nor_responses_have_a_privileged_place(rankings, random):
    size = len(rankings[0])
    order = list(range(size))
    random.shuffle(order)
    people = list(rankings)
    random.shuffle(people)
    before = majority(rankings)
    after = majority([[ranks[place] for place in order] for ranks in people])
    assert after.ranks == tuple(before.ranks[place] for place in order)
    assert after.is_cyclic == before.is_cyclic


@given(st.lists(st.integers(1, 4), min_size=2, max_size=4))
def test_the_consensus_of_one_person_is_her_own_order(ranks):
    consensus = majority([ranks])
    mine = tuple(1 + sum(other < rank for other in ranks) for rank in ranks)
    assert consensus.ranks == mine
    assert consensus.agreement == 1


def test_every_strict_order_shared_by_most_is_the_consensus():
    for order in permutations((1, 2, 3)):
        assert majority([order, order, (1, 1, 1)]).ranks == order
