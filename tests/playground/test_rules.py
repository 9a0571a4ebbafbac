"""What the figures of the playground mean."""

import pytest
from scipy.stats import norm

from app.playground import rules


def test_a_score_is_placed_among_those_of_the_snapshot():
    found = rules.placed(0.9, {"eval_score_mean": 0.4, "eval_score_std": 0.25})
    assert found == {"z": 2.0, "below": pytest.approx(norm.cdf(2.0), abs=1e-4)}


@pytest.mark.parametrize(
    "metrics", [{}, {"eval_score_mean": 1.0}, {"eval_score_mean": 0.0, "eval_score_std": 0.0},
                {"eval_score_mean": None, "eval_score_std": 1.0}],
)  # fmt: skip
def test_without_a_known_scale_a_score_stays_raw(metrics):
    assert rules.placed(0.9, metrics) == {}


def test_a_title_is_one_line_and_short():
    assert rules.title_of("  How\n many \t eggs?") == "How many eggs?"
    long = rules.title_of("egg " * 90)
    assert len(long) == rules.TITLE
    assert long.endswith("egg…")


def test_what_a_model_said_ends_where_it_speaks_for_the_other_side():
    tokens = [{"text": " Three."}, {"text": "\n\nHu"}, {"text": "man: And"}]
    assert rules.spoken(tokens) == " Three."


@pytest.mark.parametrize(
    ("answers", "why_not"),
    [
        ([("succeeded", "a")], "two answers"),
        ([("succeeded", "a"), ("cancelled", "b")], "to their end"),
        ([("succeeded", "a"), ("succeeded", "  ")], "not empty"),
        ([("succeeded", "a"), ("succeeded", " a ")], "the same"),
        ([("succeeded", "a"), ("succeeded", "b")], None),
        ([("succeeded", "a"), ("failed", ""), ("succeeded", "b")], None),
    ],
)
def test_a_task_needs_two_whole_and_different_answers(answers, why_not):
    found = rules.may_be_sent(answers)
    assert why_not in found if why_not else found == ""
