"""The second round's model meets the first one's, and is promoted only if people prefer it."""

import pytest

from app.evaluation import queries as evaluations
from app.evaluation.models import Evaluation
from app.rounds import rules, service
from app.rounds.models import RoundState
from app.rounds.rules import Step
from tests.factories import make_prompt
from tests.rounds.factories import (
    QUICK,
    finish_generation,
    finish_runs,
    finish_snapshot,
    judge_evaluation,
    judge_everything,
    look,
    make_round,
)

PROMPTS = 40


@pytest.fixture
def second(session, project, ada, ana):
    """A second round whose models are trained, and the first one's model promoted."""
    judge_everything(session, project, ana)
    for number in range(PROMPTS):
        make_prompt(session, project, f"How many eggs are {number} eggs?")
    policy = QUICK | {"evaluate": {"prompts": PROMPTS, "seen_too": True}}
    first = make_round(session, project, ada, policy=policy)
    look(session, first)
    finish_snapshot(session, first)
    look(session, first)
    finish_runs(session, first)
    look(session, first)
    promoted = evaluations.promoted(session, project=project)
    assert promoted.id == first.writer_checkpoint_id
    round_ = make_round(session, project, ada)
    look(session, round_)
    finish_generation(session, round_)
    look(session, round_)
    service.begin_step(session, round_=round_, by=ada)
    look(session, round_)
    finish_snapshot(session, round_)
    look(session, round_)
    finish_runs(session, round_)
    look(session, round_)
    return round_


def test_the_new_model_meets_the_one_before(session, second):
    assert (second.step, second.is_under_way) == (Step.EVALUATE, True)
    row = session.get_one(Evaluation, second.evaluation_id)
    assert row.a_checkpoint_id == second.writer_checkpoint_id
    assert row.b_checkpoint_id == second.former_checkpoint_id
    assert look(session, second) == 0  # people have not said anything


@pytest.mark.parametrize(
    ("wins", "is_promoted", "begins"),
    [(PROMPTS, True, "It got better"), (PROMPTS // 2, False, "Not shown"), (0, False, "It got w")],
)
def test_it_is_promoted_only_if_people_prefer_it(
    session, project, ana, second, wins, is_promoted, begins
):
    judge_evaluation(session, second, ana, wins=wins)
    look(session, second)
    assert second.state is RoundState.SUCCEEDED
    assert second.is_promoted is is_promoted
    promoted = evaluations.promoted(session, project=project)
    assert (promoted.id == second.writer_checkpoint_id) is is_promoted
    assert rules.told(second.figures["win"]).startswith(begins)
    assert second.figures["win"]["value"] == wins / PROMPTS


def test_an_admin_may_promote_against_the_figures(session, project, ada, ana, second):
    second.policy = second.policy | {"by_hand": ["promote"]}
    judge_evaluation(session, second, ana, wins=PROMPTS // 2)
    look(session, second)
    assert (second.step, second.is_promoted) == (Step.PROMOTE, None)
    service.begin_step(session, round_=second, by=ada)
    look(session, second)
    assert second.is_promoted is True
    reason = evaluations.promotions_of(session, project=project)[0].reason
    assert "Not shown" in reason


def test_a_comparison_that_is_skipped_asks_nobody_any_more(session, project, ada, ana, second):
    row = session.get_one(Evaluation, second.evaluation_id)
    service.skip_step(session, round_=second, by=ada)
    look(session, second)
    session.refresh(row)
    assert row.state == "cancelled"
    assert (second.state, second.is_promoted) == (RoundState.SUCCEEDED, False)


def test_a_third_round_sets_out_from_what_was_promoted(session, project, ada, ana, second):
    judge_evaluation(session, second, ana, wins=0)
    look(session, second)
    third = make_round(session, project, ada)
    look(session, third)
    assert third.former_checkpoint_id == second.former_checkpoint_id
