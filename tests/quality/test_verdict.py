"""The headline of the dashboard follows from the evidence, undefined included."""

from dataclasses import replace

import pytest

from app.quality.rules.comparing import Difference
from app.quality.rules.intervals import Figure
from app.quality.rules.verdict import Change, Evidence, Span, Trust, judge, span_of

FINE = Evidence(
    n_annotations=600,
    n_shared_tasks=200,
    agreement=Figure(0.74, 0.70, 0.78),
    span=Span.ALL,
    change=None,
    n_failed=0,
    n_warned=0,
    failed_share=0.0,
    n_gold=20,
)


def test_usual_agreement_and_clean_gold_is_a_yes():
    verdict = judge(FINE)
    assert verdict.trust is Trust.YES
    assert verdict.sentence.startswith("Yes: people prefer the same response in 74 %")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"n_failed": 2, "failed_share": 0.25}, "2 people fail the gold questions and made 25 %"),
        ({"n_warned": 1}, "1 person is close to failing"),
        ({"n_gold": 0}, "There are no gold questions"),
        ({"agreement": Figure(0.62, 0.58, 0.66)}, "below what is usual"),
        ({"agreement": Figure(0.70, 0.55, 0.85)}, "anywhere from 55 % to 85 %"),
        (
            {"change": Change(0.61, 0.74, Difference(-0.13, -0.2, -0.06))},
            "Agreement has fallen: 61 % in the last 7 days, 74 % before.",
        ),
    ],
)
def test_whatever_speaks_against_it_is_named(changes: dict, reason: str):
    verdict = judge(replace(FINE, **changes))
    assert verdict.trust is Trust.MOSTLY
    assert any(reason in line for line in verdict.reasons)


def test_agreement_surely_below_the_floor_is_a_no():
    verdict = judge(replace(FINE, agreement=Figure(0.52, 0.47, 0.57)))
    assert verdict.trust is Trust.NO


def test_a_low_figure_that_may_be_chance_is_not_a_no():
    assert judge(replace(FINE, agreement=Figure(0.55, 0.40, 0.70))).trust is Trust.MOSTLY


def test_few_tasks_are_too_early_to_say():
    verdict = judge(replace(FINE, n_shared_tasks=8, agreement=Figure(0.9, reason="few")))
    assert verdict.trust is Trust.UNKNOWN
    assert "Only 8 tasks" in verdict.reasons[0]


def test_nothing_shared_says_what_to_do():
    verdict = judge(replace(FINE, n_shared_tasks=0, agreement=Figure(None, reason="No task.")))
    assert verdict.trust is Trust.UNKNOWN
    assert "Set the overlap" in verdict.reasons[0]


def test_an_empty_project_says_what_to_do():
    verdict = judge(replace(FINE, n_annotations=0, agreement=Figure(None, reason="Nothing.")))
    assert verdict.trust is Trust.UNKNOWN
    assert "Import prompts" in verdict.reasons[0]


def test_a_change_that_may_be_chance_is_no_reason():
    change = Change(0.71, 0.74, Difference(-0.03, -0.09, 0.03))
    assert judge(replace(FINE, change=change)).trust is Trust.YES


def test_it_is_about_the_newest_stretch_with_enough_tasks():
    assert span_of(today=30, week=100) is Span.TODAY
    assert span_of(today=29, week=30) is Span.WEEK
    assert span_of(today=0, week=29) is Span.ALL
    today = judge(replace(FINE, span=Span.TODAY)).sentence
    assert "74 % of decisive comparisons today" in today
    week = judge(replace(FINE, span=Span.WEEK)).sentence
    assert "74 % of decisive comparisons in the last 7 days" in week
