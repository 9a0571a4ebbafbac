"""Prompts that are almost alike are found, told of, and kept together or left out."""

import random

import pytest

from app.datasets.rules.near import Sketches, all_but_one, groups, one_place, words
from app.datasets.schemas import Recipe
from app.datasets.service import preview
from tests.datasets.frozen import freeze, rows_of
from tests.datasets.true import true_task
from tests.factories import make_annotation, make_prompt

WORDS = [f"word{number}" for number in range(5_000)]


def said(rng, length):
    return [rng.choice(WORDS) for _ in range(length)]


def likeness(one, other):
    """Jaccard of the triples of words, ends included, counted plainly."""
    first, second = (
        set(zip([None, *each], each, [*each[1:], None], strict=False)) for each in (one, other)
    )
    return len(first & second) / len(first | second)


def found_among(texts):
    sketches = Sketches()
    for text in texts:
        sketches.add(text)
    return set(sketches.pairs())


def test_near_copies_are_found_and_nothing_else():
    rng = random.Random(5)
    texts = [said(rng, rng.randint(8, 200)) for _ in range(300)]
    for number in range(150):
        copy = list(texts[number])
        for _ in range(rng.randint(0, max(1, len(copy) // 12))):
            copy[rng.randrange(len(copy))] = rng.choice(WORDS)
        texts.append(copy)
    alike = [likeness(texts[n], texts[300 + n]) for n in range(150)]
    clear = {(n, 300 + n) for n in range(150) if alike[n] > 0.85}
    doubtful = {(n, 300 + n) for n in range(150) if 0.55 < alike[n] <= 0.85}
    found = found_among([" ".join(text) for text in texts])
    assert len(clear) > 40
    assert found >= clear
    assert found <= clear | doubtful


def test_of_short_texts_likeness_is_exact():
    ten = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    texts = [ten, [*ten, "please"], [*ten[:9], "eleven"], [*ten[:4], "x", *ten[5:]]]
    alike = {(0, n) for n in (1, 2, 3) if likeness(texts[0], texts[n]) >= 0.7}
    assert found_among([" ".join(text) for text in texts]) & {(0, 1), (0, 2), (0, 3)} == alike
    assert alike == {(0, 1)}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is it?", "  what IS, it"),
        ("DIE STRASSE da", "die straße da"),
        ("", ""),
        ("?!", "?!"),
        ("\ud800", "\ud800"),
        ("今日は良い天気ですね何をしますか", "今日は良い天気ですね。何をしますか!"),
    ],
)
def test_spelling_makes_no_difference(one, other):
    assert found_among([one, other]) == {(0, 1)}


def test_signs_of_scripts_without_blanks_are_words():
    assert words("今日 ok") == [each.encode() for each in ("今", "日", "ok")]


def test_a_crowd_hangs_together_though_not_each_is_compared_with_each():
    pairs = found_among(["the same words again"] * 500)
    assert len(pairs) < 500 * 6
    assert groups(pairs) == [list(range(500))]


def test_who_is_no_near_copy_of_any_that_stays_stays():
    rng = random.Random(1)
    first = said(rng, 40)
    second = [*said(rng, 3), *first[3:]]
    third = [*second[:37], *said(rng, 3)]
    assert likeness(first, second) > 0.7 < likeness(second, third)
    assert likeness(first, third) < 0.75
    sketches = Sketches()
    for text in (first, second, [*said(rng, 12), *third[12:]]):
        sketches.add(" ".join(text))
    sketches.pairs()
    assert all_but_one([0, 1, 2], sketches)[0] == [1]
    assert all_but_one([0, 1, 2], sketches, budget=0)[0] == [1, 2]


def test_the_place_of_a_group_is_one_of_its_own_and_no_likelier_low():
    rng = random.Random(3)
    low = 0
    for _ in range(2_000):
        draws = [rng.randrange(2**64) for _ in range(3)]
        place = one_place(draws)
        assert place in draws
        assert place == one_place(reversed(draws))
        low += place < 2**63
    assert 900 < low < 1_100


@pytest.fixture
def copies(session, project, ana, rui):
    """Forty pairs of prompts that differ in one word of many; of each the second is judged more."""
    rng = random.Random(7)
    for number in range(40):
        text = said(rng, 30)
        for which in ("first", "second"):
            asked = " ".join([which, *text[1:]])
            answers = [f"good {number}", f"bad {number}"]
            task, _ = true_task(session, project, asked, answers, wanted=2)
            make_annotation(session, task, ana, ranks=[1, 2])
            if which == "second":
                make_annotation(session, task, rui, ranks=[1, 2])
    session.flush()


def asked(snapshot, split):
    return {row["prompt"][-1]["content"] for row in rows_of(snapshot, "preference", split)}


def beginnings(texts):
    return {text.partition(" ")[2] for text in texts}


def test_they_are_told_of_and_kept_on_one_side_if_asked(session, project, copies):
    as_they_come = freeze(session, project, test_share=0.5)
    told = as_they_come.counts["near_copies"]
    assert (told["looked_at"], told["prompts"], told["groups"]) == (80, 80, 40)
    straddling = beginnings(asked(as_they_come, "train")) & beginnings(asked(as_they_come, "test"))
    assert told["on_both_sides"] == len(straddling) > 5

    together = freeze(session, project, test_share=0.5, near_duplicates="together")
    train, test = asked(together, "train"), asked(together, "test")
    assert not beginnings(train) & beginnings(test)
    assert len(train) + len(test) == 80
    assert min(len(train), len(test)) > 10
    assert together.counts["near_copies"]["on_both_sides"] == 0


def test_all_but_the_most_judged_are_left_out_if_asked(session, project, copies):
    snapshot = freeze(session, project, test_share=0.5, near_duplicates="drop")
    assert snapshot.counts["prompts_excluded"] == {"near_duplicate": 40}
    kept = asked(snapshot, "train") | asked(snapshot, "test")
    assert len(kept) == 40
    assert {text.split()[0] for text in kept} == {"second"}
    seen = preview(session, project=project, recipe=Recipe(near_duplicates="drop", test_share=0.5))
    assert seen.counts == snapshot.counts


def test_what_goes_on_differently_is_not_left_out(session, project, ana):
    rng = random.Random(9)
    long = " ".join(said(rng, 40))
    turns = [{"role": "user", "content": long}, {"role": "assistant", "content": "Yes."}]
    ends = ("And then what happens next?", "and then, what happens NEXT", "Why?", long)
    for number, text in enumerate(ends):
        messages = [*turns, {"role": "user", "content": text}]
        prompt = make_prompt(session, project, text)
        prompt.messages = messages
        task, _ = true_task(session, project, prompt, [f"a {number}", "b"])
        make_annotation(session, task, ana, ranks=[1, 2])
    snapshot = freeze(session, project, test_share=0.5, near_duplicates="drop")
    assert snapshot.counts["prompts_excluded"] == {"near_duplicate": 1}


def test_one_that_the_recipe_leaves_out_takes_nobody_along(session, project, copies):
    """The more judged of each pair is of another source: the other one stays."""
    from app.corpus.models import Prompt

    for prompt in session.query(Prompt).where(Prompt.project_id == project.id):
        prompt.source = prompt.messages[0]["content"].split()[0]
    snapshot = freeze(session, project, near_duplicates="drop", sources=["first"])
    assert snapshot.counts["prompts_excluded"] == {"other_source": 40}
    assert snapshot.counts["prompts"] == 40
