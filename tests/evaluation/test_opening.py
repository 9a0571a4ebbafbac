"""What an evaluation may be asked for, and which prompts it draws."""

import hashlib
from datetime import timedelta

import pytest
from pydantic import ValidationError
from sqlalchemy import select, text

from app.accounts.models import AuditEvent
from app.corpus.models import Prompt
from app.datasets.rules.identity import Split, split_of
from app.db import JobState, database_now
from app.errors import Conflict, Invalid
from app.evaluation import queries, service
from app.evaluation.models import EvaluationPrompt
from app.evaluation.schemas import EvaluationBody
from app.runs.models import RunKind
from tests.evaluation.factories import make_writers
from tests.factories import make_annotation, make_project, make_prompt, make_task
from tests.runs.factories import make_checkpoint, make_run, make_snapshot


@pytest.fixture
def writers(session, project):
    return make_writers(session, project)


def ask(session, project, writers, by=None, **fields):
    a, b = writers
    given = {"a": {"checkpoint": a.id}, "b": {"checkpoint": b.id}} | fields
    body = EvaluationBody.model_validate(given)
    return service.open_evaluation(session, project=project, body=body, by=by)


def prompts_of(session, evaluation):
    return session.scalars(
        select(EvaluationPrompt.prompt_id)
        .where(EvaluationPrompt.evaluation_id == evaluation.id)
        .order_by(EvaluationPrompt.place)
    ).all()


def test_it_draws_by_seed_and_queues_the_writing(session, project, ada, writers):
    for number in range(12):
        make_prompt(session, project, f"Prompt {number}")
    one = ask(session, project, writers, by=ada, prompts=5)
    same = ask(session, project, writers, prompts=5)
    other = ask(session, project, writers, prompts=5, seed=7)
    assert prompts_of(session, one) == prompts_of(session, same) != prompts_of(session, other)
    assert one.state is JobState.QUEUED
    assert one.name == "DPO 2 against SFT 1"
    jobs = "SELECT count(*) FROM procrastinate_jobs WHERE args ->> 'evaluation_id' = :id"
    assert session.scalars(text(jobs), {"id": str(one.id)}).one() == 1
    event = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc())).first()
    assert (event.action, event.user_id) == ("evaluation.open", ada.id)


def test_the_draw_is_the_same_wherever_the_data_was_imported(session, ada):
    drawn = []
    for name, numbers in (("Here", range(12)), ("There", reversed(range(12)))):
        project = make_project(session, name, by=ada)
        for number in numbers:
            hashed = hashlib.sha256(bytes([number])).digest()
            make_prompt(session, project, f"Prompt {number}", content_hash=hashed)
        found = ask(session, project, make_writers(session, project), prompts=5)
        rows = [session.get_one(Prompt, each) for each in prompts_of(session, found)]
        drawn.append([row.messages for row in rows])
    assert drawn[0] == drawn[1]


def test_only_prompts_with_the_tag_and_of_the_source(session, project, writers):
    chosen = make_prompt(session, project, "One", tags=["code"], source="web")
    make_prompt(session, project, "Two", tags=["code"])
    make_prompt(session, project, "Three", source="web")
    found = ask(session, project, writers, tag="code", source="web", prompts=3)
    assert prompts_of(session, found) == [chosen.id]
    assert found.warnings == ["Only 1 of the 3 prompts asked for fit."]
    assert queries.tags_of(session, project=project) == ["code"]
    assert queries.sources_of(session, project=project) == ["web"]


def teach(session, project, checkpoint, *, test_share):
    """A snapshot frozen in a while that the checkpoint learnt from."""
    later = database_now(session) + timedelta(hours=1)
    recipe = {"test_share": test_share, "seed": 5}
    snapshot = make_snapshot(session, project, recipe=recipe, created_at=later)
    run = make_run(session, snapshot, RunKind(checkpoint.kind))
    checkpoint.run_id = run.id
    session.flush()
    return snapshot


def test_no_prompt_that_a_contestant_learnt_from(session, project, writers):
    prompts = [make_prompt(session, project, f"Prompt {number}") for number in range(40)]
    teach(session, project, writers[1], test_share=0.4)
    unseen = {
        prompt.id
        for prompt in prompts
        if split_of(prompt.messages, test_share=0.4, seed=5) is Split.TEST
    }
    found = ask(session, project, writers)
    assert set(prompts_of(session, found)) == unseen
    assert f"{40 - len(unseen)} more were passed by" in found.warnings[0]
    flattered = ask(session, project, writers, allow_seen=True)
    assert len(prompts_of(session, flattered)) == 40
    assert flattered.warnings[0].startswith(f"{40 - len(unseen)} of 40 prompts may have been")


def test_what_a_model_was_trained_on_top_of_taught_it_as_well(session, project, writers):
    make_prompt(session, project, "Known to the grandparent")
    parent = make_checkpoint(session, project, RunKind.SFT)
    teach(session, project, parent, test_share=0.0)
    writers[0].parent_id = parent.id
    session.flush()
    with pytest.raises(Invalid, match="may have been in the training"):
        ask(session, project, writers)


def test_prompts_that_came_after_the_training_are_fresh(session, project, writers):
    snapshot = teach(session, project, writers[0], test_share=0.0)
    snapshot.created_at = database_now(session) - timedelta(hours=1)
    fresh = make_prompt(session, project, "New")
    assert prompts_of(session, ask(session, project, writers)) == [fresh.id]


def test_the_test_split_of_a_snapshot(session, project, writers):
    prompts = [make_prompt(session, project, f"Prompt {number}") for number in range(30)]
    later = database_now(session) + timedelta(hours=1)
    recipe = {"test_share": 0.5, "seed": 3}
    snapshot = make_snapshot(session, project, recipe=recipe, created_at=later)
    found = ask(session, project, writers, snapshot_id=snapshot.id)
    assert set(prompts_of(session, found)) == {
        prompt.id
        for prompt in prompts
        if split_of(prompt.messages, test_share=0.5, seed=3) is Split.TEST
    }
    without = make_snapshot(session, project, recipe={"test_share": 0})
    with pytest.raises(Invalid, match="no test split"):
        ask(session, project, writers, snapshot_id=without.id)


def test_the_best_in_the_data_is_what_people_put_first(session, project, ana, rui, writers):
    task = make_task(session, project, prompt="Judged", responses=("a", "b", "c"), wanted=2)
    make_annotation(session, task, ana, ranks=[2, 1, 3])
    make_annotation(session, task, rui, ranks=[1, 2, 3])
    again = make_task(session, project, prompt="Other", responses=("x", "y"))
    make_annotation(session, again, ana, ranks=[2, 1])
    make_prompt(session, project, "Never judged")
    found = ask(session, project, writers, b={"data": "best"})
    assert len(prompts_of(session, found)) == 2
    best = queries.best_judged(
        session, prompt_ids=[again.prompt_id, task.prompt_id], not_by=writers[0]
    )
    from app.corpus.models import Response

    assert session.get_one(Response, best[again.prompt_id]).text == "y"
    assert session.get_one(Response, best[task.prompt_id]).text in {"a", "b"}


def test_what_cannot_be_compared_is_named(session, project, writers, sam):
    a, b = writers
    make_prompt(session, project, "One")
    judge = make_checkpoint(session, project, RunKind.REWARD)
    with pytest.raises(Invalid, match="a: “reward checkpoint” is a reward model"):
        ask(session, project, (judge, b))
    with pytest.raises(Invalid, match="reward_checkpoint_id: “SFT 1” writes"):
        ask(session, project, writers, reward_checkpoint_id=b.id)
    with pytest.raises(Invalid, match="b: there is no checkpoint"):
        ask(session, project, writers, b={"checkpoint": project.id})
    with pytest.raises(Invalid, match="No prompt fits"):
        ask(session, project, writers, tag="nothing")
    with pytest.raises(Invalid, match="judge some tasks first"):
        ask(session, project, writers, b={"data": "best"})
    for wrong in (
        {"b": {"checkpoint": a.id}},
        {"a": {"data": "best"}},
        {"b": {}},
        {"best_of": 4},
        {"best_of": 1, "reward_checkpoint_id": judge.id},
        {"best_of": 4, "reward_checkpoint_id": judge.id, "temperature": 0},
    ):
        with pytest.raises(ValidationError):
            ask(session, project, writers, **wrong)


def test_cancelling_and_going_on(session, project, ada, writers):
    make_prompt(session, project, "One")
    evaluation = ask(session, project, writers)
    with pytest.raises(Conflict, match="Nobody is asked yet"):
        service.close_evaluation(session, evaluation=evaluation, by=ada)
    service.cancel_evaluation(session, evaluation=evaluation, by=ada)
    assert evaluation.state is JobState.CANCELLED
    with pytest.raises(Conflict):
        service.cancel_evaluation(session, evaluation=evaluation, by=ada)
    service.resume_evaluation(session, evaluation=evaluation, by=ada)
    assert evaluation.state is JobState.QUEUED
    with pytest.raises(Conflict):
        service.resume_evaluation(session, evaluation=evaluation, by=ada)
