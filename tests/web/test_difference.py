"""What two texts have in common, word by word."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.difference import MOST_WORDS, difference, is_by_words


def unmarked(html, *, drop="del"):
    text = re.sub(rf"<{drop}>.*?</{drop}>", "", str(html), flags=re.DOTALL)
    text = re.sub(r"</?(ins|del)>", "", text)
    for entity, sign in (("&lt;", "<"), ("&gt;", ">"), ("&#34;", '"'), ("&#39;", "'")):
        text = text.replace(entity, sign)
    return text.replace("&amp;", "&")


def test_words_that_only_one_has_are_marked():
    ours, theirs = "Nine minutes in hot water, then cool.", "Eight minutes in boiling water."
    assert difference(ours, theirs) == (
        "<ins>Nine</ins> minutes in <ins>hot</ins> water<ins>, then cool</ins>."
    )
    both = difference(ours, theirs, with_other=True)
    assert "<del>Eight </del>" in both
    assert "<del>boiling </del>" in both
    assert difference(ours, ours) == ours


texts = st.text(st.sampled_from("ab <>&'\"\n\t.é漢字é"), max_size=60)


@given(texts, texts)
def test_nothing_of_the_text_is_lost_and_nothing_is_html(ours, theirs):
    html = difference(ours, theirs, with_other=True)
    assert unmarked(html) == ours
    assert not re.search(r"<(?!/?(ins|del)>)", str(html))


def test_scripts_without_spaces_are_compared_by_character():
    assert difference("我喜欢茶", "我喜欢水") == "我喜欢<ins>茶</ins>"


def test_long_texts_are_compared_by_line():
    ours = "same line here\n" * MOST_WORDS + "mine"
    assert not is_by_words("short", ours)
    assert is_by_words("word " * MOST_WORDS)
    html = difference(ours, "same line here\n" * MOST_WORDS + "yours")
    assert html.count("<ins>") == 1
    assert unmarked(html) == ours


@pytest.mark.parametrize(("many", "kinds"), [(40_000, 199), (100_000, 7)])
def test_texts_made_to_be_slow_still_end(many, kinds):
    ours = "\n".join(f"a b c {n % kinds}" for n in range(many))
    theirs = "\n".join(f"a b c {n * 7 % kinds}" for n in range(many))
    assert unmarked(difference(ours, theirs)) == ours  # the first took nine minutes once


def test_what_hides_is_marked_here_too():
    assert "invisible-mark" in difference("a\u202eb", "a c")
