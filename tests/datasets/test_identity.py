"""Ids, canonical JSON and the split: content decides, nothing else."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from app.datasets.rules.identity import (
    Split,
    canonical_json,
    first_user_turn,
    normalised,
    sha256,
    split_of,
)

any_text = st.text(st.characters())  # lone surrogates, NUL, bidi and all


def user(text):
    return [{"role": "user", "content": text}]


@given(any_text)
@example("\ud800")
@example("\x00\u202e\u2028👩‍👩‍👧")
def test_any_text_survives_canonical_json_on_one_line_of_utf8(text):
    line = canonical_json({"text": text})
    assert json.loads(line) == {"text": text}
    assert b"\n" not in line


@given(any_text, any_text, any_text, any_text)
def test_a_hash_tells_its_parts_apart(a, b, c, d):
    assert (sha256(a, b) == sha256(c, d)) == ((a, b) == (c, d))


@given(any_text, st.integers(0, 5))
def test_case_and_white_space_never_move_a_prompt_to_the_other_side(text, seed):
    here = split_of(user(text), test_share=0.5, seed=seed)
    for variant in (f" {text}\n", text.upper().lower(), text.replace(" ", " \t ")):
        if normalised(variant) == normalised(text):
            assert split_of(user(variant), test_share=0.5, seed=seed) is here


def test_people_see_the_same_prompt_in_these():
    assert normalised("  Ｗhat\u00a0IS\n\nit? ") == normalised("what is it?")
    assert normalised("Straße") == normalised("STRASSE")


@given(any_text, st.lists(st.tuples(st.sampled_from(["user", "assistant"]), any_text)))
def test_a_conversation_and_its_continuation_stand_on_one_side(text, continuation):
    turns = [{"role": role, "content": content} for role, content in continuation]
    longer = [{"role": "system", "content": "Be brief."}, *user(text), *turns]
    assert split_of(longer, test_share=0.3, seed=1) is split_of(user(text), test_share=0.3, seed=1)


def test_the_test_share_is_about_as_asked_and_zero_means_none():
    prompts = [user(f"Question {number}") for number in range(4_000)]
    sides = [split_of(prompt, test_share=0.1, seed=0) for prompt in prompts]
    assert 300 < sides.count(Split.TEST) < 500
    assert all(split_of(prompt, test_share=0, seed=0) is Split.TRAIN for prompt in prompts)


def test_another_seed_draws_another_split():
    prompts = [user(f"Question {number}") for number in range(100)]
    zero, one = ([split_of(each, test_share=0.5, seed=seed) for each in prompts] for seed in (0, 1))
    assert zero != one


def test_a_conversation_without_a_user_starts_from_its_first_message():
    assert first_user_turn([{"role": "assistant", "content": "Hello"}]) == "Hello"
    assert first_user_turn([]) == ""
