"""When enough is judged, and what the figures show: told as they are."""

import pytest

from app.rounds import formats, rules
from app.rounds.rules import Judged, Step


def judged(number=10, *, done=1, tasks=4, agreement=None):
    return Judged(number, tasks_done=done, tasks=tasks, agreement=agreement)


@pytest.mark.parametrize(
    ("found", "asked", "enough"),
    [
        (judged(0, done=0), {}, False),
        (judged(10), {}, False),  # all tasks are wanted
        (judged(10, done=4), {}, True),
        (judged(10), {"judgements": 10}, True),
        (judged(9), {"judgements": 10}, False),
        (judged(9, done=4), {"judgements": 10}, True),  # there is nothing left to judge
        (judged(10, done=4, agreement=0.5), {"min_agreement": 0.4}, True),
        (judged(10, done=4, agreement=0.3), {"min_agreement": 0.4}, False),
        (judged(10, done=4), {"min_agreement": 0.4}, False),
        (judged(0, done=0, tasks=0), {}, False),
    ],
)
def test_when_enough_is_judged(found, asked, enough):
    said, wanted = rules.enough_judged(
        found, **({"judgements": None, "min_agreement": None} | asked)
    )
    assert said is enough
    assert bool(wanted) is not enough  # it says what is wanted


def win(value, low, high):
    return {"value": value, "low": low, "high": high, "n": 40, "of": "prompts"}


@pytest.mark.parametrize(
    ("found", "preferred", "begins"),
    [
        (win(0.62, 0.52, 0.71), True, "It got better: people preferred the new model in 62 %"),
        (win(0.31, 0.2, 0.44), False, "It got worse"),
        (win(0.62, 0.47, 0.75), None, "Not shown: people preferred the new model in 62 %"),
        (win(0.62, 0.5, 0.75), None, "Not shown"),  # an interval that touches 50 % includes it
        (win(0.62, None, None), None, "Not shown"),
        (None, None, "Not shown yet"),
    ],
)
def test_it_got_better_only_where_the_whole_interval_says_so(found, preferred, begins):
    assert rules.is_preferred(found) is preferred
    assert rules.told(found).startswith(begins)


def test_an_interval_across_the_middle_is_said_to_be_one():
    assert "the interval (47 % to 75 %) includes 50 %" in rules.told(win(0.62, 0.47, 0.75))


def test_without_a_model_before_there_is_nothing_to_compare():
    assert "nothing yet to compare" in rules.told(None, has_former=False)
    assert "skipped" in rules.told(None, is_skipped=True)
    assert "has not been compared" in rules.told(None)
    assert "nothing judged" in rules.told({"value": None, "n": 0, "of": "prompts"})


def test_a_round_takes_each_step_once_in_order():
    step, seen = Step.GENERATE, [Step.GENERATE]
    while (step := rules.after(step)) is not None:
        seen.append(step)
    assert seen == list(Step)


def test_the_picture_marks_the_present_step_alone():
    marks = rules.marks(Step.TRAIN, state="running", skipped=[Step.FREEZE], first=Step.RANK)
    assert [mark.state for mark in marks] == [
        "skipped", "done", "skipped", "here", "ahead", "ahead",
    ]  # fmt: skip
    failed = rules.marks(Step.TRAIN, state="failed")
    assert [mark.state for mark in failed].count("failed") == 1


def test_no_box_of_the_picture_lies_over_another_or_outside():
    ring = formats.loop(rules.marks(Step.RANK, state="running"))
    wide, high = ring.box
    for node in ring.nodes:
        assert wide / 2 <= node.x <= ring.width - wide / 2
        assert high / 2 <= node.y <= ring.height - high / 2
        for other in ring.nodes:
            apart = abs(node.x - other.x) > wide or abs(node.y - other.y) > high
            assert node is other or apart


def test_the_reward_model_stands_beside_what_people_allow():
    accuracy = {"value": 0.68, "low": 0.6, "high": 0.75, "n": 120}
    people = {"best": 0.86, "model": {"value": 0.64}}
    said = rules.accuracy_told(accuracy, people)
    assert "right on 68 % of 120" in said
    assert "takes 64 %" in said
    assert "would take 86 %" in said
    assert rules.accuracy_told(None, None) == ""
    assert "votes" not in rules.accuracy_told(accuracy, {"best": None})
