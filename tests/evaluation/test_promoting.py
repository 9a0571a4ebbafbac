"""At most one promoted writer, by a rule, with its history and a way back."""

import pytest
from sqlalchemy import select

from app.accounts.models import AuditEvent
from app.errors import Conflict, Invalid
from app.evaluation import queries, service
from app.evaluation.rules import promoting
from app.evaluation.schemas import RuleBody
from app.runs import queries as runs
from app.runs.models import RunKind
from tests.evaluation.factories import judge, make_evaluation, make_writers
from tests.factories import make_project
from tests.runs.factories import make_checkpoint


@pytest.fixture
def writers(session, project):
    return make_writers(session, project)


def promote(session, project, checkpoint, by, **more):
    return service.promote(session, project=project, checkpoint=checkpoint, by=by, **more)


def automatically(session, project, by, **rule):
    body = RuleBody(automatic=True, **rule)
    return service.set_rule(session, project=project, body=body, by=by)


def test_one_is_promoted_and_the_way_there_is_kept(session, project, ada, writers):
    a, b = writers
    assert queries.promoted(session, project=project) is None
    promote(session, project, b, ada, because="The first.")
    promote(session, project, a, ada)
    assert queries.promoted(session, project=project) == a
    rows = queries.promotions_of(session, project=project)
    assert [(row.checkpoint_id, row.by) for row in rows] == [(a.id, ada.id), (b.id, ada.id)]
    assert [row.reason for row in rows] == ["By hand.", "The first."]
    actions = session.scalars(select(AuditEvent.action).order_by(AuditEvent.id.desc()).limit(2))
    assert list(actions) == ["promotion.promote"] * 2


def test_undo_goes_back_to_the_former_one_and_forth_again(session, project, ada, writers):
    a, b = writers
    promote(session, project, b, ada)
    last = promote(session, project, a, ada)
    undone = service.undo_promotion(session, project=project, promotion=last, by=ada)
    assert queries.promoted(session, project=project) == b
    assert (undone.undoes, undone.reason) == (last.id, "Undone: back to “SFT 1”.")
    with pytest.raises(Conflict, match="only the last change"):
        service.undo_promotion(session, project=project, promotion=last, by=ada)
    service.undo_promotion(session, project=project, promotion=undone, by=ada)
    assert queries.promoted(session, project=project) == a


def test_the_first_can_be_undone_too(session, project, ada, writers):
    only = promote(session, project, writers[0], ada)
    undone = service.undo_promotion(session, project=project, promotion=only, by=ada)
    assert queries.promoted(session, project=project) is None
    assert undone.reason == "Undone: back to no promoted model."


def test_what_cannot_be_promoted(session, project, ada, writers):
    promote(session, project, writers[0], ada)
    with pytest.raises(Conflict, match="already"):
        promote(session, project, writers[0], ada)
    with pytest.raises(Invalid, match="reward model"):
        promote(session, project, make_checkpoint(session, project, RunKind.REWARD), ada)
    other = make_project(session, "Elsewhere", by=ada)
    with pytest.raises(Invalid, match="no checkpoint"):
        promote(session, project, make_checkpoint(session, other), ada)


def test_a_clean_up_leaves_whatever_was_promoted_or_is_compared(session, project, ada, writers):
    a, b = writers
    other = make_checkpoint(session, project)
    promote(session, project, a, ada)
    make_evaluation(session, project, b, None)
    needed = runs.needs(session, checkpoint_ids=[a.id, b.id, other.id])
    assert set(needed) == {a.id, b.id}
    assert needed[a.id] == ["was promoted"]


# -- by the rule ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("demand", "low", "passes"),
    [
        ("better", 0.5, True),
        ("better", 0.49, False),
        ("by_more", 0.54, False),
        ("by_more", 0.551, True),
        ("not_worse", 0.46, True),
        ("not_worse", 0.44, False),
    ],
)
def test_the_lower_bound_decides(demand, low, passes):
    terms = {"demand": demand, "threshold": 0.55, "margin": 0.05}
    assert promoting.passes(low, **terms) is passes
    assert ("all of it above" in promoting.because(low, 0.9, **terms)) is True
    assert promoting.in_words(demand, threshold=0.55, margin=0.05)


def test_by_itself_once_people_surely_prefer_it(session, project, ada, ana, writers):
    a, b = writers
    automatically(session, project, ada)
    promote(session, project, b, ada)
    evaluation = make_evaluation(session, project, a, b, prompts=40)
    judge(session, evaluation, ana, [1, 0, 1])
    assert not service.settle(session, evaluation=evaluation)
    assert queries.promoted(session, project=project) == b
    judge(session, evaluation, ana, [1] * 37, first=3)
    assert service.settle(session, evaluation=evaluation)
    assert queries.promoted(session, project=project) == a
    last = queries.promotions_of(session, project=project)[0]
    assert (last.by, last.evaluation_id) == (None, evaluation.id)
    assert last.evidence["prefers"] == "a"
    assert last.evidence["former"] == str(b.id)
    assert last.reason.startswith("By the project’s rule. The win rate lies between")


def test_not_by_itself_unless_the_project_says_so(session, project, ana, writers):
    evaluation = make_evaluation(session, project, *writers, prompts=40)
    judge(session, evaluation, ana, [1] * 40)
    assert service.settle(session, evaluation=evaluation)
    assert queries.promoted(session, project=project) is None
    found = queries.verdict(session, evaluation=evaluation)
    assert service.earns(session, evaluation=evaluation, found=found)  # a button offers it


def test_not_the_loser_and_not_who_met_somebody_else(session, project, ada, ana, writers):
    a, b = writers
    automatically(session, project, ada)
    lost = make_evaluation(session, project, a, b, prompts=30)
    judge(session, lost, ana, [0] * 30)
    assert service.settle(session, evaluation=lost)
    assert queries.promoted(session, project=project) is None
    promote(session, project, make_checkpoint(session, project), ada)
    besides = make_evaluation(session, project, a, b, prompts=30)
    judge(session, besides, ana, [1] * 30)
    assert service.settle(session, evaluation=besides)
    assert queries.promoted(session, project=project).name == "sft checkpoint"


def test_the_rule_is_kept_and_audited(session, project, ada):
    assert not queries.rule_of(session, project=project).automatic
    automatically(session, project, ada, demand="by_more", threshold=0.6)
    rule = automatically(session, project, ada, demand="not_worse", margin=0.02)
    assert (rule.demand, rule.margin, rule.threshold) == ("not_worse", 0.02, 0.55)
    event = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc())).first()
    assert event.action == "promotion.rule"
