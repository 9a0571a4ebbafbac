"""Which prompts are chosen and what each writer is asked, against closed forms."""

import math
from collections import Counter

import numpy as np
import pytest

from app.generation import rules
from app.generation.rules import Turn


def test_responses_take_the_temperatures_in_turn() -> None:
    assert rules.turns_of(n=3, temperatures=[0.8], seed=42) == [Turn(0, 3, 0.8, 42)]
    turns = rules.turns_of(n=5, temperatures=[0.2, 0.9], seed=42)
    assert [(turn.n, turn.temperature) for turn in turns] == [(3, 0.2), (2, 0.9)]
    seeds = [turn.seed + k for turn in turns for k in range(turn.n)]
    assert len(set(seeds)) == 5  # also where each response of an endpoint has its own
    assert [t.n for t in rules.turns_of(n=1, temperatures=[0.2, 0.9], seed=1)] == [1]
    assert all(t.seed < 2**31 for t in rules.turns_of(n=8, temperatures=[0, 1], seed=2**31 - 1))


def test_no_writer_stands_first_more_often() -> None:
    first = Counter(
        rules.mixed(f"generation {number}", ["by a", "by b", "by c"])[0] for number in range(3000)
    )
    assert all(abs(count - 1000) < 4 * math.sqrt(3000 * 2 / 9) for count in first.values())
    texts = ["x", "y", "z"]
    order = [texts[place] for place in rules.mixed("k", texts)]
    turned = ["z", "x", "y"]
    assert [turned[place] for place in rules.mixed("k", turned)] == order  # who wrote it is nothing


@pytest.mark.parametrize(
    ("shares", "total", "there", "given"),
    [
        ({"a": 1, "b": 1}, 10, {"a": 50, "b": 50}, {"a": 5, "b": 5}),
        ({"a": 3, "b": 1}, 4, {"a": 50, "b": 50}, {"a": 3, "b": 1}),
        ({"a": 1, "b": 1, "c": 1}, 10, {"a": 9, "b": 9, "c": 9}, {"a": 4, "b": 3, "c": 3}),
        ({"a": 1, "b": 1}, 10, {"a": 2, "b": 50}, {"a": 2, "b": 8}),  # what a lacks, b gives
        ({"a": 1, "b": 1}, 10, {"a": 2, "b": 3}, {"a": 2, "b": 3}),
        ({"a": 1, "b": 0}, 4, {"a": 1, "b": 9}, {"a": 1, "b": 0}),
        ({"a": 1}, 4, {}, {"a": 0}),
    ],
)
def test_quotas_by_largest_remainders(
    shares: dict[str, float], total: int, there: dict[str, int], given: dict[str, int]
) -> None:
    assert rules.quotas(shares, total=total, there=there) == given


def test_the_random_arm_is_never_forgotten() -> None:
    assert [rules.random_arm(wanted, 0.2) for wanted in (1, 2, 10, 12)] == [1, 1, 2, 3]
    assert rules.random_arm(10, 0) == 0


def test_the_farthest_first_are_far_from_all_that_is_known_and_from_each_other() -> None:
    eggs = [f"How many eggs are in box {n}?" for n in range(5)]
    texts = [*eggs, "Who sang the oldest song?", "Who sang the oldest song, please?"]
    chosen = rules.most_novel(texts, ["How many eggs are in box 77?"], wanted=7)
    assert sorted(place for place, _ in chosen) == list(range(7))
    assert chosen[0][0] in {5, 6}  # one of the songs, and the other no more than eggs
    assert chosen[0][1] > 0.9
    distances = [distance for _, distance in chosen]
    assert distances == sorted(distances, reverse=True)
    assert {chosen[1][0], chosen[0][0]} != {5, 6}
    same = rules.most_novel(["A b c"], ["a B, c!"], wanted=1)
    assert same == [(0, pytest.approx(0, abs=1e-6))]
    assert rules.most_novel([], ["x"], wanted=3) == []


def test_vectors_are_of_length_one_and_know_words_alone() -> None:
    found = rules.vectors(["Eggs, eggs and tea", "EGGS and tea eggs", "something else"])
    assert np.linalg.norm(found, axis=1) == pytest.approx([1, 1, 1], abs=1e-6)
    assert found[0] @ found[1] == pytest.approx(1, abs=1e-6)
    assert abs(found[0] @ found[2]) < 0.1


def test_doubt_is_how_close_bradley_and_terry_have_the_pair() -> None:
    assert rules.doubt([1.0, 1.0], None) == 1.0
    sigmoid = 1 / (1 + math.exp(-2.0))
    assert rules.doubt([0.0, 2.0], None) == pytest.approx(1 - abs(2 * sigmoid - 1), abs=1e-6)
    assert rules.doubt([0.0, 50.0], None) == pytest.approx(0, abs=1e-6)
    sure, unsure = rules.doubt([0.0, 2.0], [0.0, 0.0]), rules.doubt([0.0, 2.0], [2.0, 2.0])
    assert sure is not None
    assert unsure is not None
    assert unsure > sure  # an ensemble that disagrees
    assert rules.doubt([1.0, None], None) is None
    three = [rules.doubt([a, b], None) or 0 for a, b in ((0.0, 1.0), (0.0, 3.0), (1.0, 3.0))]
    assert rules.doubt([0.0, 1.0, 3.0], None) == pytest.approx(sum(three) / 3, abs=1e-6)


def test_what_people_made_of_a_task() -> None:
    facts = rules.task_facts([[1, 2], [1, 2], [1, 1]], [5.0, 1.0])
    assert facts.judgements == 3
    assert facts.decisive == pytest.approx(2 / 3)
    assert facts.disagreement == pytest.approx(2 / 3)  # two of three pairs of people
    assert facts.overruled == 0
    assert rules.task_facts([[2, 1]], [5.0, 1.0]).overruled == 1
    assert rules.task_facts([[2, 1]], None).overruled is None
    assert rules.task_facts([[1, 2], [2, 1]], [5.0, 1.0]).overruled is None  # nobody has it
    alone = rules.task_facts([[1, 2, 2]], [1.0, None, 0.0])
    assert (alone.disagreement, alone.overruled) == (None, 0)
    assert alone.decisive == pytest.approx(2 / 3)
