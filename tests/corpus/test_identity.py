"""What makes prompts and responses the same."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.corpus.rules import canonical_order, prompt_hash, response_hash, weak_order

texts = st.text(st.characters(exclude_categories=["Cs"]))


def canonical(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@given(st.none() | texts, st.lists(st.tuples(st.sampled_from(["user", "assistant"]), texts)))
def test_a_prompts_hash_is_that_of_its_canonical_json(system, turns):
    messages = [{"role": role, "content": content} for role, content in turns]
    expected = canonical([system, [list(turn) for turn in turns]])
    assert prompt_hash(system=system, messages=messages) == hashlib.sha256(expected).digest()


@given(st.binary(min_size=32, max_size=32), texts, st.none() | texts)
def test_a_responses_hash_is_that_of_its_canonical_json(prompt, text, source):
    expected = canonical([prompt.hex(), text, source])
    digest = response_hash(prompt=prompt, text=text, source=source)
    assert digest == hashlib.sha256(expected).digest()


def test_half_of_a_surrogate_pair_has_no_hash():
    with pytest.raises(UnicodeEncodeError):
        prompt_hash(system=None, messages=[{"role": "user", "content": "\ud800"}])


def test_no_two_ways_of_cutting_a_text_are_the_same_prompt():
    def user(*contents):
        return [{"role": "user", "content": content} for content in contents]

    assert prompt_hash(system=None, messages=user('a"],["user","b')) != prompt_hash(
        system=None, messages=user("a", "b")
    )
    assert prompt_hash(system="a", messages=user("b")) != prompt_hash(
        system=None, messages=user("a", "b")
    )


@given(
    st.lists(st.binary(min_size=32, max_size=32), unique=True, min_size=2).flatmap(
        lambda hashes: st.tuples(st.just(hashes), st.permutations(hashes))
    )
)
def test_the_canonical_order_does_not_depend_on_the_order_in_the_file(both):
    hashes, shuffled = both
    assert [hashes[n] for n in canonical_order(hashes)] == [
        shuffled[n] for n in canonical_order(shuffled)
    ]


@given(st.lists(st.integers(0, 5), min_size=2, max_size=10))
def test_ranks_with_gaps_keep_the_order_they_were_given_in(ranks):
    ordered = weak_order(ranks)
    for i, a in enumerate(ranks):
        assert ordered[i] == 1 + sum(b < a for b in ranks)
        for j, b in enumerate(ranks):
            assert (a < b) == (ordered[i] < ordered[j])
