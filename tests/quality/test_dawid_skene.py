"""Dawid–Skene on planted truth, against a plain reading of the paper, and at its edges."""

import numpy as np
import pytest

from app.quality.rules.dawid_skene import FIRST, SECOND, TIE, dawid_skene


def planted(rng, *, n_items=400, accuracies=(0.95, 0.9, 0.55, 0.55, 0.5)):
    """Everybody judges everything; truth is first or second, people err at their own rate."""
    truth = rng.choice([FIRST, SECOND], n_items)
    item = np.repeat(np.arange(n_items), len(accuracies))
    annotator = np.tile(np.arange(len(accuracies)), n_items)
    right = rng.random(len(item)) < np.array(accuracies)[annotator]
    vote = np.where(right, truth[item], SECOND - truth[item])
    return truth, item, annotator, vote


def test_careful_people_outvote_a_careless_majority():
    truth, item, annotator, vote = planted(np.random.default_rng(0))
    fitted = dawid_skene(item, annotator, vote, n_items=len(truth), n_annotators=5)
    answer = np.where(fitted.posterior[:, FIRST] > fitted.posterior[:, SECOND], FIRST, SECOND)
    firsts = np.bincount(item, vote == FIRST)
    majority = np.where(firsts > 2.5, FIRST, SECOND)
    assert (answer == truth).mean() > 0.93
    assert (answer == truth).mean() > (majority == truth).mean() + 0.05
    assert fitted.correct[:, 0] == pytest.approx([0.95, 0.9, 0.55, 0.55, 0.5], abs=0.08)


def test_one_step_after_another_it_is_the_em_of_the_paper():
    """The same maths in plain loops, from the same start, until it stands still."""
    rng = np.random.default_rng(1)
    n_items, n_people = 12, 3
    item = np.repeat(np.arange(n_items), n_people)
    annotator = np.tile(np.arange(n_people), n_items)
    vote = rng.integers(0, 3, len(item))
    fitted = dawid_skene(item, annotator, vote, n_items=n_items, n_annotators=n_people)
    rows = list(zip(item, annotator, vote, strict=True))
    belief = [[0.1, 0.1, 0.1] for _ in range(n_items)]
    for i, _, v in rows:
        belief[i][v] += 1
    belief = [[x / sum(row) for x in row] for row in belief]
    for _ in range(500):
        matrix = []
        for a in range(n_people):
            hit, tied, miss, seen, unseen = 4.0, 0.75, 0.75, 2.0, 1.0
            for i, who, v in rows:
                if who == a:
                    first, tie, second = belief[i]
                    hit += {FIRST: first, SECOND: second}.get(v, 0)
                    miss += {FIRST: second, SECOND: first}.get(v, 0)
                    tied += first + second if v == TIE else 0
                    seen += tie if v == TIE else 0
                    unseen += tie if v != TIE else 0
            total, ties = hit + tied + miss, seen + unseen
            h, t, m, u = hit / total, tied / total, miss / total, seen / ties
            matrix.append([[h, t, m], [(1 - u) / 2, u, (1 - u) / 2], [m, t, h]])
        of_ties = (sum(row[TIE] for row in belief) + 1) / (n_items + 2)
        prior = [(1 - of_ties) / 2, of_ties, (1 - of_ties) / 2]
        belief = []
        for i in range(n_items):
            joint = list(prior)
            for j, who, v in rows:
                if j == i:
                    joint = [joint[k] * matrix[who][k][v] for k in range(3)]
            belief.append([x / sum(joint) for x in joint])
    assert fitted.posterior == pytest.approx(np.array(belief), abs=1e-4)


def test_which_response_is_stored_first_changes_nothing():
    _, item, annotator, vote = planted(np.random.default_rng(2), n_items=60)
    there = dawid_skene(item, annotator, vote, n_items=60, n_annotators=5)
    flipped = np.random.default_rng(3).random(60) < 0.5
    mirrored = np.where(flipped[item], SECOND - vote, vote)
    back = dawid_skene(item, annotator, mirrored, n_items=60, n_annotators=5)
    expected = np.where(flipped[:, None], there.posterior[:, ::-1], there.posterior)
    assert back.posterior == pytest.approx(expected, abs=1e-9)


def test_ties_are_an_answer_of_their_own():
    item, annotator = np.repeat(np.arange(30), 3), np.tile(np.arange(3), 30)
    vote = np.where(item < 15, TIE, FIRST)
    fitted = dawid_skene(item, annotator, vote, n_items=30, n_annotators=3)
    assert (fitted.posterior[:15].argmax(axis=1) == TIE).all()
    assert (fitted.posterior[15:].argmax(axis=1) == FIRST).all()
    assert fitted.share_of_ties == pytest.approx(0.5, abs=0.02)


def test_one_vote_leaves_doubt_and_an_even_vote_of_equals_stays_even():
    one = dawid_skene(
        np.array([0]), np.array([0]), np.array([FIRST]), n_items=1, n_annotators=1
    ).posterior[0]
    assert 0.5 < one[FIRST] < 1
    even = dawid_skene(
        np.array([0, 0]), np.array([0, 1]), np.array([FIRST, SECOND]), n_items=1, n_annotators=2
    ).posterior[0]
    assert even[FIRST] == pytest.approx(even[SECOND])
