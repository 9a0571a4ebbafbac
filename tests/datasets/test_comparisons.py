"""What several judgements of a task amount to, and the comparisons it gives."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.datasets.rules.comparisons import (
    Outcome,
    Pairs,
    Vote,
    by_adjudication,
    by_majority,
    by_posterior,
    comparisons,
    mean_strength,
    strict_rankings,
)


def votes(*ranks):
    return [Vote(tuple(each)) for each in ranks]


def taken(judged, pairs=Pairs.ALL):
    return [
        (each.chosen, each.rejected)
        for each in comparisons(by_majority(judged), judged, pairs=pairs)
    ]


def test_two_of_three_people_decide_a_pair():
    judged = votes([1, 2], [1, 2], [2, 1])
    (comparison,) = comparisons(by_majority(judged), judged, pairs=Pairs.ALL)
    assert (comparison.chosen, comparison.rejected, comparison.votes) == (0, 1, 3)
    assert comparison.p == comparison.agreement == pytest.approx(2 / 3)


def test_half_of_a_tie_counts_for_each_side():
    judged = votes([2, 1], [1, 1])
    (comparison,) = comparisons(by_majority(judged), judged, pairs=Pairs.ALL)
    assert (comparison.chosen, comparison.p, comparison.agreement) == (1, 0.75, 0.5)


def test_an_even_vote_is_unresolved_and_never_a_preference():
    judged = votes([1, 2], [2, 1])
    assert by_majority(judged).outcome is Outcome.UNRESOLVED
    assert taken(judged) == []


def test_a_pair_that_all_call_equal_is_a_tie_and_not_unresolved():
    assert by_majority(votes([1, 1], [1, 1])).outcome is Outcome.TIE
    assert taken(votes([1, 1])) == []


def test_a_ranking_gives_all_pairs_or_neighbours_or_the_ends():
    ranking = votes([2, 1, 4, 2])
    assert taken(ranking) == [(0, 2), (1, 0), (1, 2), (1, 3), (3, 2)]
    assert taken(ranking, Pairs.ADJACENT) == [(0, 2), (1, 0), (1, 3), (3, 2)]
    assert taken(ranking, Pairs.BEST_WORST) == [(1, 2)]


def test_a_cycle_prefers_nothing_and_is_flagged():
    judged = votes([1, 2, 3], [3, 1, 2], [2, 3, 1])
    assert by_majority(judged).is_cyclic
    assert taken(judged) == []


@given(
    st.integers(2, 5).flatmap(
        lambda size: st.lists(
            st.lists(st.integers(1, size), min_size=size, max_size=size), min_size=1, max_size=6
        )
    )
)
def test_every_comparison_has_a_majority_behind_it_and_no_pair_comes_twice(rankings):
    judged = votes(*rankings)
    found = comparisons(by_majority(judged), judged, pairs=Pairs.ALL)
    assert len({frozenset((each.chosen, each.rejected)) for each in found}) == len(found)
    for each in found:
        wins = sum(vote.ranks[each.chosen] < vote.ranks[each.rejected] for vote in judged)
        losses = sum(vote.ranks[each.chosen] > vote.ranks[each.rejected] for vote in judged)
        assert wins > losses
        assert each.p == pytest.approx((wins + (len(judged) - wins - losses) / 2) / len(judged))
        assert each.agreement == pytest.approx(wins / len(judged))


@given(st.lists(st.permutations([1, 2, 3]), min_size=1, max_size=5))
def test_the_order_in_which_people_judged_changes_nothing(rankings):
    outcomes = {
        (by_majority(votes(*order)).ranks, by_majority(votes(*order)).agreement)
        for order in permutations(rankings)
    }
    assert len(outcomes) == 1


def test_a_reviewer_settles_against_the_votes_and_agreement_says_so():
    judged = votes([1, 2], [1, 2], [2, 1])
    settled = by_adjudication((2, 1), judged)
    (comparison,) = comparisons(settled, judged, pairs=Pairs.ALL)
    assert (comparison.chosen, comparison.p) == (1, 1.0)
    assert comparison.agreement == pytest.approx(1 / 3)
    assert by_adjudication((1, 1), judged).outcome is Outcome.TIE
    assert by_adjudication((1, 2), []).agreement == 1.0


def test_a_posterior_decides_even_against_the_number_of_votes():
    judged = votes([1, 2], [1, 2], [2, 1])  # two careless people and one careful one
    settled = by_posterior({(0, 1): (0.2, 0.1, 0.7)}, judged)
    (comparison,) = comparisons(settled, judged, pairs=Pairs.ALL)
    assert (comparison.chosen, comparison.p) == (1, pytest.approx(0.75))
    assert by_posterior({(0, 1): (0.4, 0.2, 0.4)}, judged).outcome is Outcome.UNRESOLVED


def test_a_pair_that_the_model_calls_equal_is_a_tie_also_if_somebody_preferred_one():
    judged = votes([1, 1], [1, 1], [1, 2])
    settled = by_posterior({(0, 1): (0.2, 0.7, 0.1)}, judged)
    assert (settled.outcome, settled.ranks) == (Outcome.TIE, (1, 1))
    of_three = {(0, 1): (0.4, 0.2, 0.4), (0, 2): (0.1, 0.8, 0.1), (1, 2): (0.1, 0.8, 0.1)}
    assert by_posterior(of_three, votes([1, 2, 2])).outcome is Outcome.UNRESOLVED
    of_three[1, 2] = (0.1, 0.2, 0.7)
    assert by_posterior(of_three, votes([1, 2, 2])).outcome is Outcome.DECIDED


def test_strength_is_signed_towards_the_chosen_response_and_a_tie_is_zero():
    judged = [Vote((1, 2), 3), Vote((1, 2), 2), Vote((2, 1), 1), Vote((1, 1))]
    assert mean_strength(judged, chosen=0, rejected=1) == 1.0
    assert mean_strength(judged, chosen=1, rejected=0) == -1.0


def test_without_any_strength_there_is_no_mean():
    assert mean_strength([Vote((1, 2)), Vote((1, 1))], chosen=0, rejected=1) is None


def test_who_gave_no_strength_does_not_pull_the_mean_towards_zero():
    assert mean_strength([Vote((1, 2), 3), Vote((1, 2))], chosen=0, rejected=1) == 3.0


@pytest.mark.parametrize(
    ("ranks", "strict"),
    [
        ((1, 2, 2), [(0, 1), (0, 2)]),
        ((1, 1, 3, 3), [(0, 2), (1, 3)]),
        ((2, 1, 3), [(1, 0, 2)]),
        ((1, 1, 1), []),
    ],
)
def test_a_ranking_with_ties_becomes_strict_ones_that_use_every_response(ranks, strict):
    assert strict_rankings(ranks) == strict
