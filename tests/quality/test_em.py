"""Dawid and Skene's EM on their own data, against plain loops, and with sides and known truth."""

import numpy as np
import pytest

from app.quality.rules import em
from app.quality.rules.dawid_skene import FIRST, SECOND, TIE, dawid_skene
from tests.quality.published import ANAESTHETISTS


def plain(votes, *, n_items, n_annotators, n_classes, steps):
    """The equations 2.3–2.5 of the paper in loops, from the shares of the votes."""
    belief = [[0.0] * n_classes for _ in range(n_items)]
    for i, _, said in votes:
        belief[i][said] += 1
    belief = [[x / sum(row) for x in row] for row in belief]
    for _ in range(steps):
        shares = [sum(row[k] for row in belief) / n_items for k in range(n_classes)]
        error = [[[0.0] * n_classes for _ in range(n_classes)] for _ in range(n_annotators)]
        for i, who, said in votes:
            for k in range(n_classes):
                error[who][k][said] += belief[i][k]
        for matrix in error:
            for row in matrix:
                total = sum(row)
                row[:] = [x / total if total else 1 / n_classes for x in row]
        belief = [list(shares) for _ in range(n_items)]
        for i, who, said in votes:
            for k in range(n_classes):
                belief[i][k] *= error[who][k][said]
        belief = [[x / sum(row) for x in row] for row in belief]
    return np.array(belief), np.array(error), np.array(shares)


def estimate(votes, *, n_items, n_annotators, n_classes, **options):
    item, annotator, said = np.array(votes).T
    sides = np.zeros(len(item), np.bool_)
    given = em.Votes(item, annotator, said, sides, n_items, n_annotators, n_classes)
    prior = em.Prior(
        matrices=np.zeros((n_annotators, n_classes, n_classes)),
        shares=np.zeros(n_classes),
        even=np.zeros(n_annotators, np.bool_),
        is_even=False,
    )
    return em.estimate(given, prior, **options)


def anaesthetists():
    return [
        (patient, observer, said - 1)
        for patient, row in enumerate(ANAESTHETISTS)
        for observer, said in zip((0, 0, 0, 1, 2, 3, 4), map(int, row), strict=True)
    ]


def test_the_anaesthetists_of_1979():
    votes, sizes = anaesthetists(), {"n_items": 45, "n_annotators": 5, "n_classes": 4}
    fitted = estimate(votes, **sizes, close=1e-15)
    assert fitted.shares == pytest.approx([0.40, 0.42, 0.11, 0.07], abs=0.005)
    assert fitted.shares == pytest.approx(fitted.posterior.mean(axis=0), abs=1e-9)
    belief, error, shares = plain(votes, **sizes, steps=2_000)
    assert fitted.posterior == pytest.approx(belief, abs=1e-9)
    assert fitted.shares == pytest.approx(shares, abs=1e-9)
    used = error.sum(axis=2) > 0
    assert fitted.matrices[used] == pytest.approx(error[used], abs=1e-9)


def test_alike_items_are_one_item_many_times():
    """Ten copies of the patients change no estimate."""
    votes = anaesthetists()
    sizes = {"n_annotators": 5, "n_classes": 4, "close": 1e-15}
    once = estimate(votes, n_items=45, **sizes)
    many = [(45 * copy + i, who, said) for copy in range(10) for i, who, said in votes]
    np.random.default_rng(0).shuffle(many)
    assert estimate(many, n_items=450, **sizes).posterior[45:90] == pytest.approx(
        once.posterior, abs=1e-8
    )


def shown(rng, accuracies, *, n_items=1_500, clickers=2, share_of_ties=0.0):
    """Everybody judges everything on random sides; the last `clickers` take the left one."""
    n_people = len(accuracies) + clickers
    truth = rng.choice(
        [FIRST, TIE, SECOND],
        n_items,
        p=[(1 - share_of_ties) / 2, share_of_ties, (1 - share_of_ties) / 2],
    )
    item = np.repeat(np.arange(n_items), n_people)
    annotator = np.tile(np.arange(n_people), n_items)
    mirrored = rng.random(len(item)) < 0.5
    right = rng.random(len(item)) < np.append(accuracies, [0] * clickers)[annotator]
    other = (truth[item] + rng.integers(1, 3, len(item))) % 3 if share_of_ties else 2 - truth[item]
    said = np.where(right, truth[item], other)
    said = np.where(annotator >= len(accuracies), np.where(mirrored, SECOND, FIRST), said)
    return truth, item, annotator, said, mirrored, n_people


def test_who_always_takes_the_left_one_says_nothing():
    truth, item, annotator, said, mirrored, n = shown(np.random.default_rng(2), [0.85, 0.8])
    sizes = {"n_items": len(truth), "n_annotators": n}
    sided = dawid_skene(
        item, annotator, said, **sizes, mirrored=mirrored, two_sided=np.ones(n, np.bool_)
    )
    assert (sided.matrices[-1][[FIRST, SECOND], 0] > 0.97).all()
    answer = np.where(sided.posterior[:, FIRST] > sided.posterior[:, SECOND], FIRST, SECOND)
    without = dawid_skene(
        *(column[annotator < 2] for column in (item, annotator, said)),
        n_items=len(truth),
        n_annotators=2,
    )
    alone = np.where(without.posterior[:, FIRST] > without.posterior[:, SECOND], FIRST, SECOND)
    decided = np.abs(without.posterior[:, FIRST] - without.posterior[:, SECOND]) > 1e-3
    assert (answer == alone)[decided].mean() > 0.97


def test_sides_swapped_everywhere_swap_the_matrix():
    truth, item, annotator, said, mirrored, n = shown(
        np.random.default_rng(3), [0.9, 0.7, 0.6], n_items=300, share_of_ties=0.2
    )
    sizes = {"n_items": len(truth), "n_annotators": n, "two_sided": np.ones(n, np.bool_)}
    there = dawid_skene(item, annotator, said, mirrored=mirrored, **sizes, close=1e-14)
    back = dawid_skene(item, annotator, said, mirrored=~mirrored, **sizes, close=1e-14)
    assert back.posterior == pytest.approx(there.posterior, abs=1e-6)
    assert back.matrices == pytest.approx(there.matrices[:, ::-1, ::-1], abs=1e-6)


def test_planted_errors_and_ties_are_found():
    accuracies = [0.92, 0.85, 0.75, 0.65]
    truth, item, annotator, said, mirrored, n = shown(
        np.random.default_rng(4), accuracies, clickers=0, share_of_ties=0.25
    )
    fitted = dawid_skene(
        item,
        annotator,
        said,
        n_items=len(truth),
        n_annotators=n,
        mirrored=mirrored,
        two_sided=np.ones(n, np.bool_),
    )
    found = np.einsum("akk->a", fitted.matrices) / 3
    assert found == pytest.approx(accuracies, abs=0.05)
    assert fitted.share_of_ties == pytest.approx(0.25, abs=0.05)


def test_known_truth_is_counted_as_it_is():
    """Two people who always differ: gold says who is right."""
    item, annotator = np.repeat(np.arange(20), 2), np.tile([0, 1], 20)
    said = np.where(annotator == 0, FIRST, SECOND)
    known = np.zeros((2, 3, 3))
    known[0, FIRST, FIRST] = known[1, FIRST, SECOND] = 10
    fitted = dawid_skene(item, annotator, said, n_items=20, n_annotators=2, known=known)
    assert (fitted.posterior[:, FIRST] > 0.9).all()


def test_without_ties_nothing_is_one():
    item, annotator = np.array([0, 0, 1]), np.array([0, 1, 0])
    fitted = dawid_skene(
        item, annotator, np.array([FIRST, SECOND, FIRST]), n_items=2, n_annotators=2, ties=False
    )
    assert fitted.posterior[:, TIE].max() < 1e-200
    assert fitted.posterior.sum(axis=1) == pytest.approx([1, 1])


def test_nobody_has_judged():
    nothing = np.zeros(0, np.int64)
    fitted = dawid_skene(nothing, nothing, nothing, n_items=0, n_annotators=0)
    assert fitted.posterior.shape == (0, 3)
