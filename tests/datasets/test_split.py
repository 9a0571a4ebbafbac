"""The split: nothing of the test side is ever seen in training, and neither side is empty."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.datasets.rules.identity import Split, essence, moved_over, split_of
from tests.datasets.judged import assembled, judged_prompt, judged_task

WORDS = [
    "How",
    "do",
    "I",
    "boil",
    "eggs",
    "Straße",
    "ﬁsh",
    "naïve",
    "喝茶",
    "स्ते",
    "🥚",
    "!?",
    "x+1",
]
BLANKS = [" ", "  ", "\n", "\t", "\u00a0", "\u2028", "\u3000", ""]
UNSEEN = ["\u200b", "\u200d", "\ufeff", "\u2060", "\u00ad", "\u3164", "\ufe0f"]


@st.composite
def conversations(draw):
    """Few words and many spellings, so that prompts begin alike, differ in form and continue."""
    words = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=3))

    def spelled():
        blank = draw(st.sampled_from(BLANKS[:-1]))
        case = draw(st.sampled_from([str, str.upper, str.lower, str.title]))
        unseen = draw(st.sampled_from(["", *UNSEEN]))
        return draw(st.sampled_from(BLANKS)) + case(blank.join(words)) + unseen

    messages = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": draw(st.sampled_from(["Brief.", "Kind."]))})
    if draw(st.integers(0, 4)) == 0:
        messages.append({"role": "assistant", "content": "Hello, I am here."})
    messages.append({"role": "user", "content": spelled()})
    for turn in range(draw(st.integers(0, 2))):
        messages.append({"role": "assistant", "content": f"Reply {turn}"})
        messages.append({"role": "user", "content": draw(st.sampled_from(WORDS))})
    return messages


def seen_as(messages):
    """A conversation as a reader would compare it: no case, no blank, no system prompt."""
    return [
        (message["role"], "".join(message["content"].casefold().split()))
        for message in messages
        if message["role"] != "system"
    ]


def leaks(test, train):
    a, b = seen_as(test), seen_as(train)
    return a == b[: len(a)] or b == a[: len(b)]


@given(st.lists(conversations(), min_size=2, max_size=12), st.integers(0, 3))
def test_no_prompt_of_the_test_split_is_trained_on_in_any_spelling_or_beginning(talks, seed):
    prompts = [judged_prompt(messages) for messages in talks]
    made, _ = assembled(prompts, test_share=0.5, seed=seed)
    sides = {side: [] for side in Split}
    for each in made:
        for rows in each.made.rows.values():
            for row in rows:
                if "prompt" in row:
                    sides[each.split].append(row["prompt"])
                elif "messages" in row:
                    sides[each.split].append(row["messages"][:-1])
    assert not any(leaks(test, train) for test in sides[Split.TEST] for train in sides[Split.TRAIN])


@pytest.mark.parametrize(
    "other",
    [
        "  what   IS\n\nit? ",
        "What is it",
        "What is it?!",
        "What\u200b is\u2060 it?",
        "Ｗｈａｔ is it?",
        "“What is it?”",
        "Whatisit?",
        "What is it? \u3164",
    ],
)
def test_these_ask_the_same(other):
    assert essence(other) == essence("What is it?") == "whatisit"


def test_a_text_without_letters_is_told_apart_by_its_signs():
    assert essence("👍") != essence("👎")
    assert essence("? !") == essence("?!\u200b") != essence("!?")
    assert essence("") == essence(" \n") == ""


def test_another_system_prompt_does_not_move_a_conversation():
    for number in range(50):
        user = [{"role": "user", "content": f"Question {number}"}]
        told = [{"role": "system", "content": f"Be like {number}"}, *user]
        greeted = [{"role": "assistant", "content": "Hello"}, *user]
        sides = {split_of(each, test_share=0.5, seed=0) for each in (user, told, greeted)}
        assert len(sides) == 1


def sides_of(made):
    return {each.split for each in made}


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(6))
def test_a_small_dataset_has_both_sides(share, seed):
    prompts = [judged_prompt(f"Question {number}") for number in range(4)]
    made, assembly = assembled(prompts, test_share=share, seed=seed)
    assert sides_of(made) == set(Split)
    rows = assembly.counts.as_json()["rows"]["preference"]
    assert rows["train"] >= 1
    assert rows["test"] >= 1
    again, _ = assembled(reversed(prompts), test_share=share, seed=seed)
    assert {each.prompt_id: each.split for each in made} == {
        each.prompt_id: each.split for each in again
    }


def test_whoever_changes_over_takes_the_whole_conversation_along():
    base = [{"role": "user", "content": "Hello"}]
    longer = [*base, {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "So?"}]
    made, _ = assembled(
        [judged_prompt(base), judged_prompt(longer), judged_prompt("Another")], test_share=0.01
    )
    assert len({each.split for each in made[:2]}) == 1
    assert sides_of(made) == set(Split)


def test_comparisons_are_seen_to_first():
    """One prompt of many is not judged: it must not be the only one to be tested on."""
    judged = [judged_prompt(f"Question {number}") for number in range(2)]
    prompts = [judged_prompt(f"Open {number}", judged_task()) for number in range(20)]
    for seed in range(5):
        _, assembly = assembled(judged + prompts, test_share=0.1, seed=seed)
        rows = assembly.counts.as_json()["rows"]["preference"]
        assert rows == {"train": 1, "test": 1}


def test_without_a_test_share_or_with_one_conversation_nothing_moves():
    prompts = [judged_prompt(f"Question {number}") for number in range(4)]
    assert sides_of(assembled(prompts, test_share=0)[0]) == {Split.TRAIN}
    assert len(sides_of(assembled(prompts[:1], test_share=0.5)[0])) == 1
    assert moved_over([5, 5], test_share=0.5) is None
    assert moved_over([1, 2, 3], test_share=0.9) == 3
    assert moved_over([2**63, 2**64 - 1], test_share=0.1) == 2**63


def test_the_draw_alone_decides_in_a_large_dataset():
    prompts = [judged_prompt(f"Question {number}") for number in range(600)]
    made, _ = assembled(prompts, test_share=0.2)
    for each, prompt in zip(made, prompts, strict=True):
        assert each.split is split_of(prompt.messages, test_share=0.2, seed=0)
