"""A comparison in words."""

import pytest

from app.datasets.formats.told import configs_told, headline, moves, why_told
from app.datasets.rules.differences import Kind
from app.datasets.rules.settings import changed_settings
from app.datasets.schemas import Recipe


def told(**configs):
    usual = {"before": 0, "after": 0, "same": 0, "changed": 0, "came": 0, "went": 0}
    rest = {"what": {}, "moved": {"to_train": 0, "to_test": 0}, "why": {}}
    summary = {"configs": {name.replace("_", "-"): usual | rest | t for name, t in configs.items()}}
    return configs_told(summary, before="A", after="B")


@pytest.mark.parametrize(
    ("tally", "words"),
    [
        ({"same": 2}, "They hold the same rows."),
        ({"same": 1, "went": 2}, "1 comparison is the same, 2 went."),
        ({"changed": 1, "what": {"reversed": 1}, "came": 1_000},
         "No comparison is the same, 1 changed (1 of them reversed), 1,000 came."),
    ],
)  # fmt: skip
def test_one_sentence_says_what_differs(tally, words):
    assert headline(told(preference=tally)) == words
    assert headline(told(sft={"same": 2, "came": 1})) == "2 sft rows are the same, 1 came."


def test_what_moved_is_told_by_prompts_and_by_rows():
    assert moves(told(preference={"same": 1})) is None
    to_test = {"changed": 2, "moved": {"to_train": 0, "to_test": 2}}
    assert moves(told(preference=to_test)) == "2 preference rows moved from train to test."
    both = {"changed": 4, "moved": {"to_train": 1, "to_test": 3}}
    assert moves(told(preference=both, hh_rlhf=both, prompts=both)) == (
        "1 prompt moved from test to train and 3 prompts from train to test (4 rows of preference)."
    )


def test_a_reason_names_the_snapshot_that_lacks_the_row():
    said = [
        why_told("low_agreement", kind, before="A", after="B") for kind in (Kind.CAME, Kind.WENT)
    ]
    assert said == ["“A” asks for more agreement", "“B” asks for more agreement"]
    assert why_told("newer reason", Kind.WENT, before="A", after="B") == "newer reason"


def test_settings_that_differ_are_named_in_words():
    old = Recipe(exclude_annotators=("a",)).as_json()
    new = Recipe(exclude_annotators=("b",), min_agreement=0.7, exclude_failed_gold=False).as_json()
    del old["configs"]  # frozen before there was such a setting
    found = {each.key: (each.before, each.after) for each in changed_settings(old, new)}
    assert found == {
        "min_agreement": ("0", "0.7"),
        "exclude_failed_gold": ("yes", "no"),
        "exclude_annotators": ("1 person", "1 person, others"),
    }
