"""All answers at once: the same as task by task, and what reviewers and gold tell."""

import numpy as np
import pytest

from app.quality.rules.answers import BINS, KnownVote, answers
from app.quality.rules.consensus import majority
from app.quality.rules.dawid_skene import FIRST, SECOND
from app.quality.rules.judgements import from_rankings
from app.quality.rules.pairs import copeland, implied_pairs, preferred_by_majority, vote_counts

DEFAULTS = {"adjudicated": {}, "known": [], "ties": True, "confidence": 0.8}


def crowd(rng, *, tasks, people, sizes=(2, 3, 5), most=4):
    rows = []
    for task in range(tasks):
        size = int(rng.choice(sizes))
        judges = rng.choice(people, rng.integers(1, most + 1), replace=False)
        rows += [(task, int(who), rng.integers(1, size + 1, size).tolist()) for who in judges]
    return rows


def test_majorities_of_all_tasks_are_those_of_each():
    rows = crowd(np.random.default_rng(0), tasks=150, people=6)
    pairs = implied_pairs(from_rankings(rows))
    ranks = copeland(pairs, preferred_by_majority(vote_counts(pairs)))
    for place, task in enumerate(pairs.names):
        alone = majority([given for number, _, given in rows if number == task])
        assert tuple(ranks[place, : pairs.sizes[place]]) == alone.ranks
        assert (ranks[place, pairs.sizes[place] :] == 0).all()


def test_counts_add_up_on_any_data():
    rows = crowd(np.random.default_rng(1), tasks=80, people=5)
    settled = {0: [1, 2], 3: [1, 1, 1]}
    settled = {task: given for task, _, given in rows if task in settled}
    found = answers(from_rankings(rows), n_annotators=5, **(DEFAULTS | {"adjudicated": settled}))
    methods = found.methods
    assert (methods.adjudicated, found.n_open) == (2, 78)
    assert methods.same + methods.differ + methods.unresolved == found.n_open
    assert methods.resolved <= methods.unresolved
    assert found.histogram.sum() == found.n_open
    assert len(found.histogram) == BINS
    posteriors = [answer.posterior for answer in found.uncertain]
    assert posteriors == sorted(posteriors)
    assert len(posteriors) == found.n_open
    assert not {answer.task for answer in found.uncertain} & set(settled)
    assert sum(person.n_annotations for person in found.people) == len(rows)


def test_a_majority_is_never_decided_by_the_order_of_responses():
    found = answers(from_rankings([(0, 0, [1, 2]), (0, 1, [2, 1])]), n_annotators=2, **DEFAULTS)
    (only,) = found.uncertain
    assert only.majority is None
    assert list(only.ranks) == [1, 1]
    assert (found.methods.unresolved, found.methods.resolved) == (1, 0)


def test_a_tie_by_all_is_an_answer():
    rows = [(task, who, [1, 1]) for task in range(6) for who in range(3)]
    found = answers(from_rankings(rows), n_annotators=3, **DEFAULTS)
    assert (found.methods.same, found.methods.unresolved) == (6, 0)


def test_settled_tasks_are_held_against_model_and_majority():
    rows = [(task, who, [1, 2]) for task in range(10) for who in range(3)]
    settled = {0: [1, 2], 1: [2, 1]}
    found = answers(from_rankings(rows), n_annotators=3, **(DEFAULTS | {"adjudicated": settled}))
    methods = found.methods
    assert (methods.adjudicated_as_majority, methods.adjudicated_as_model) == (1, 1)
    everything = {task: [2, 1] for task in range(10)}
    wrong = answers(from_rankings(rows), n_annotators=3, **(DEFAULTS | {"adjudicated": everything}))
    assert (wrong.n_open, wrong.uncertain) == (0, [])
    assert [person.accuracy.value for person in wrong.people] == [0, 0, 0]


def test_gold_counts_as_known_truth():
    rows = [(task, who, [1, 2] if who else [2, 1]) for task in range(8) for who in range(2)]
    known = [KnownVote(0, FIRST, FIRST, None)] * 9 + [KnownVote(1, FIRST, SECOND, None)] * 9
    found = answers(from_rankings(rows), n_annotators=2, **(DEFAULTS | {"known": known}))
    assert {tuple(answer.ranks) for answer in found.uncertain} == {(2, 1)}
    first, second = found.people
    assert (first.n_known, second.n_known) == (9, 9)
    assert first.accuracy.value > 0.8
    assert second.accuracy.value < 0.3


def test_a_left_clicker_looks_like_one_and_weighs_nothing():
    rng = np.random.default_rng(5)
    n = 400
    truth = rng.integers(0, 2, n)
    rows, left = [], []
    for task in range(n):
        for who, accuracy in enumerate([0.9, 0.85, None]):
            shown_left = int(rng.random() < 0.5)
            pick = shown_left if accuracy is None else abs(truth[task] - (rng.random() > accuracy))
            rows.append((task, who, [1, 2] if pick == 0 else [2, 1]))
            left.append([0, 1] if shown_left == 0 else [1, 0])
    judgements = from_rankings(rows)
    judgements.display[:] = np.array(left, np.int16)
    found = answers(judgements, n_annotators=3, **(DEFAULTS | {"ties": False}))
    careful, _, clicker = found.people
    assert careful.two_sided
    assert clicker.two_sided
    assert clicker.matrix[[0, 2], 0] == pytest.approx([1, 1], abs=0.05)
    assert careful.matrix[[0, 2], [0, 2]] == pytest.approx([0.9, 0.9], abs=0.06)
    right = {answer.task: list(answer.ranks) for answer in found.uncertain}
    share = np.mean([right[task] == ([1, 2] if truth[task] == 0 else [2, 1]) for task in range(n)])
    assert share > 0.84  # two careful people alone: where they agree, and the better one else


def test_one_person_one_task_and_nobody():
    one = answers(from_rankings([(0, 0, [2, 1])]), n_annotators=1, **DEFAULTS)
    assert list(one.uncertain[0].ranks) == [2, 1]
    assert 1 / 3 < one.uncertain[0].posterior < 1
    assert not one.people[0].two_sided
    nothing = answers(from_rankings([]), n_annotators=0, **DEFAULTS)
    assert (nothing.n_open, nothing.people, nothing.uncertain) == (0, [], [])
