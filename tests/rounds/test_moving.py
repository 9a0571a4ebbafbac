"""A round goes from step to step, each once, and says what it did."""

import pytest

from app.annotation.models import Annotation
from app.db import database_now
from app.errors import Conflict, Invalid
from app.generation.models import Generation
from app.quality.service import summary
from app.rounds import queries, service
from app.rounds.models import RoundState
from app.rounds.rules import Step
from app.runs.models import Checkpoint, Run
from tests.factories import make_annotation, make_prompt, make_task
from tests.rounds.factories import (
    QUICK,
    finish_generation,
    finish_runs,
    finish_snapshot,
    judge_everything,
    look,
    make_round,
)
from tests.runs.factories import jobs_for, make_checkpoint


def said(session, round_):
    return [
        (event.step.value, event.kind) for event, _ in queries.events_of(session, round_=round_)
    ]


def trained(session, project, ada, ana, rui):
    """A first round up to its trained models."""
    judge_everything(session, project, ana, rui)
    round_ = make_round(session, project, ada, policy=QUICK)
    look(session, round_)
    finish_snapshot(session, round_)
    look(session, round_)
    finish_runs(session, round_)
    look(session, round_)
    return round_


def test_the_first_round_begins_with_the_ranking_of_what_was_imported(
    session, project, ada, ana, rui
):
    judge_everything(session, project, ana)
    round_ = make_round(session, project, ada)
    assert (round_.number, round_.step, round_.is_under_way) == (1, Step.RANK, False)
    look(session, round_)
    assert round_.figures["judgements"] == 2


def test_a_project_without_prompts_has_nothing_to_begin_with(session, project, ada):
    with pytest.raises(Invalid, match="import some first"):
        make_round(session, project, ada)


def test_one_round_at_a_time(session, project, ada):
    make_prompt(session, project, "Why?")
    make_round(session, project, ada)
    with pytest.raises(Conflict, match="Round 1 is not finished"):
        make_round(session, project, ada)


def test_it_waits_for_the_last_judgement_and_then_freezes_by_itself(
    session, project, ada, ana, rui
):
    task = make_task(session, project, wanted=2)
    make_annotation(session, task, ana, ranks=[1, 2])
    round_ = make_round(session, project, ada)
    assert look(session, round_) == 0
    assert "1 task still want" in queries.waits_for(session, round_=round_).replace("wants", "want")
    make_annotation(session, task, rui, ranks=[1, 2])
    look(session, round_)
    assert (round_.step, round_.is_under_way) == (Step.FREEZE, True)
    assert round_.snapshot_id is not None


@pytest.fixture(params=["small", "large"])
def size(request, monkeypatch):
    """Of a large project, figures are computed by a job, and pages show older ones meanwhile."""
    if request.param == "large":
        monkeypatch.setattr(summary, "INLINE", 0)


def revise(session, annotation, ranks):
    annotation.is_current = False
    session.flush()
    names = ("project_id", "task_id", "assignment_id", "user_id", "guidelines_version", "counted")
    kept = {name: getattr(annotation, name) for name in names}
    session.add(Annotation(**kept, ranks=ranks, revision=annotation.revision + 1))
    session.flush()


@pytest.mark.usefixtures("size")
def test_a_round_keeps_the_agreement_of_all_its_judgements(session, project, ada, ana, rui):
    judge_everything(session, project, ana, rui)
    summary.recompute(session, project=project)
    late = make_task(session, project, prompt="A last one?", wanted=2)
    make_annotation(session, late, ana, ranks=[1, 2])
    make_annotation(session, late, rui, ranks=[2, 1])
    round_ = make_round(session, project, ada)
    look(session, round_)
    assert round_.step is Step.FREEZE
    of_all = summary.recompute(session, project=project).figures["fields"]["ranking"]
    assert round_.figures["agreement"] == of_all["krippendorff_alpha"]
    assert round_.figures["agreement"]["value"] < 1


@pytest.mark.usefixtures("size")
def test_agreement_that_is_too_low_is_looked_at_again_after_a_correction(
    session, project, ada, ana, rui
):
    judge_everything(session, project, ana, rui)
    task = make_task(session, project, prompt="A slip?", wanted=2)
    make_annotation(session, task, ana, ranks=[2, 1])
    slip = make_annotation(session, task, rui, ranks=[1, 2])
    round_ = make_round(session, project, ada, policy={"rank": {"min_agreement": 0.9}})
    look(session, round_)
    assert "people agree too little" in queries.waits_for(session, round_=round_)
    revise(session, slip, [2, 1])
    look(session, round_)
    summary.recompute(session, project=project)  # as the job does that this look asked for
    look(session, round_)
    assert round_.step is Step.FREEZE


def test_a_first_round_from_ranking_to_the_promotion_of_the_first_model(
    session, project, ada, ana, rui
):
    round_ = trained(session, project, ada, ana, rui)
    assert round_.state is RoundState.SUCCEEDED
    assert round_.is_promoted is True
    dpo = session.get_one(Run, round_.run_ids["dpo"])
    assert session.get_one(Checkpoint, round_.writer_checkpoint_id).run_id == dpo.id
    assert said(session, round_) == [
        ("rank", "opened"), ("rank", "began"), ("rank", "done"), ("freeze", "began"),
        ("freeze", "done"), ("train", "began"), ("train", "done"), ("evaluate", "skipped"),
        ("promote", "began"), ("promote", "done"),
    ]  # fmt: skip


def test_the_second_round_sets_out_from_the_model_of_the_first(session, project, ada, ana, rui):
    first = trained(session, project, ada, ana, rui)
    make_checkpoint(session, project)  # a newer one, which nobody promoted
    second = make_round(session, project, ada)
    assert (second.number, second.step) == (2, Step.GENERATE)
    assert second.judged_since == first.finished_at
    look(session, second)
    generation = session.get_one(Generation, second.generation_id)
    assert generation.checkpoint_id == first.writer_checkpoint_id == second.former_checkpoint_id
    finish_generation(session, second)
    look(session, second)
    assert second.step is Step.RANK
    service.begin_step(session, round_=second, by=ada)  # enough, she says
    look(session, second)
    finish_snapshot(session, second)
    look(session, second)
    sft = session.get_one(Run, second.run_ids["sft"])
    assert sft.parent_checkpoint_id == first.writer_checkpoint_id
    assert sft.base == {"checkpoint": str(first.writer_checkpoint_id)}


def test_a_step_that_is_done_by_hand_waits_for_the_button(session, project, ada, ana, rui):
    judge_everything(session, project, ana, rui)
    round_ = make_round(session, project, ada, policy=QUICK | {"by_hand": ["freeze", "train"]})
    look(session, round_)
    assert (round_.step, round_.is_under_way) == (Step.FREEZE, False)
    assert "waits for an admin" in queries.waits_for(session, round_=round_)
    service.begin_step(session, round_=round_, by=ada)
    finish_snapshot(session, round_)
    look(session, round_)
    assert (round_.step, round_.is_under_way, round_.run_ids) == (Step.TRAIN, False, {})


def test_a_training_that_fails_stops_the_round_and_is_tried_again(session, project, ada, ana, rui):
    judge_everything(session, project, ana, rui)
    round_ = make_round(session, project, ada, policy=QUICK)
    look(session, round_)
    finish_snapshot(session, round_)
    look(session, round_)
    finish_runs(session, round_, but="dpo")
    look(session, round_)
    assert round_.state is RoundState.FAILED
    assert "“DPO, round 1” failed. Out of memory." in round_.error
    assert look(session, round_) == 0  # said once
    service.try_again(session, round_=round_, by=ada)
    assert (round_.state, round_.error) == (RoundState.RUNNING, None)
    assert jobs_for(session, round_.run_ids["dpo"]) >= 1
    assert session.get_one(Run, round_.run_ids["reward"]).state == "succeeded"  # not again


def test_what_somebody_mends_elsewhere_goes_on_by_itself(session, project, ada, ana, rui):
    from app.runs import service as runs

    judge_everything(session, project, ana, rui)
    round_ = make_round(session, project, ada, policy=QUICK)
    look(session, round_)
    finish_snapshot(session, round_)
    look(session, round_)
    finish_runs(session, round_, but="dpo")
    look(session, round_)
    runs.resume(session, run=session.get_one(Run, round_.run_ids["dpo"]), by=ada)
    look(session, round_)
    assert round_.state is RoundState.RUNNING


def test_a_step_that_cannot_begin_says_why(session, project, ada, ana, rui):
    judge_everything(session, project, ana, rui)
    round_ = make_round(session, project, ada, policy=QUICK)
    look(session, round_)
    snapshot = finish_snapshot(session, round_)
    snapshot.files = []
    look(session, round_)
    assert round_.state is RoundState.FAILED
    assert "this one has none" in round_.error
    assert round_.run_ids == {}  # nothing of the chain was left behind


def test_paused_means_that_nothing_begins(session, project, ada, ana, rui):
    judge_everything(session, project, ana, rui)
    round_ = make_round(session, project, ada, policy=QUICK)
    service.pause(session, round_=round_, by=ada)
    assert look(session, round_) == 0
    with pytest.raises(Conflict, match="paused"):
        service.begin_step(session, round_=round_, by=ada)
    service.unpause(session, round_=round_, by=ada)
    assert look(session, round_) > 0


def test_a_late_click_does_not_move_what_has_moved_on(session, project, ada, ana, rui):
    judge_everything(session, project, ana, rui)
    round_ = make_round(session, project, ada, policy=QUICK)
    seen = round_.turn
    look(session, round_)
    with pytest.raises(Conflict, match="moved on meanwhile"):
        service.skip_step(session, round_=round_, by=ada, turn=seen)


def test_ending_a_round_stops_what_is_under_way(session, project, ada, ana, rui):
    judge_everything(session, project, ana, rui)
    round_ = make_round(session, project, ada, policy=QUICK)
    look(session, round_)
    finish_snapshot(session, round_)
    look(session, round_)
    service.end(session, round_=round_, by=ada)
    runs = queries.runs_of(session, round_=round_)
    assert {run.state.value for run in runs} <= {"cancelled", "failed"}
    assert (round_.state, round_.is_under_way) == (RoundState.CANCELLED, False)
    with pytest.raises(Conflict, match="over"):
        service.skip_step(session, round_=round_, by=ada)
    again = make_round(session, project, ada)
    assert again.judged_since == round_.finished_at  # its snapshot took what was judged


def test_skipping_the_freezing_trains_on_the_newest_snapshot(session, project, ada, ana, rui):
    from tests.runs.factories import make_snapshot

    judge_everything(session, project, ana, rui)
    round_ = make_round(session, project, ada, policy=QUICK | {"by_hand": ["freeze"]})
    look(session, round_)
    with pytest.raises(Conflict, match="no finished snapshot"):
        service.skip_step(session, round_=round_, by=ada)
    snapshot = make_snapshot(session, project)
    service.skip_step(session, round_=round_, by=ada)
    assert round_.snapshot_id == snapshot.id
    look(session, round_)
    assert (round_.step, len(round_.run_ids)) == (Step.TRAIN, 3)


def test_a_round_that_trains_nothing_compares_and_promotes_nothing(session, project, ada, ana, rui):
    judge_everything(session, project, ana, rui)
    round_ = make_round(session, project, ada, policy=QUICK | {"by_hand": ["train"]})
    look(session, round_)
    finish_snapshot(session, round_)
    look(session, round_)
    service.skip_step(session, round_=round_, by=ada)
    look(session, round_)
    assert (round_.state, round_.is_promoted) == (RoundState.SUCCEEDED, False)


def test_round_again_by_itself(session, project, ada, ana, rui):
    judge_everything(session, project, ana, rui)
    round_ = make_round(session, project, ada, policy=QUICK | {"goes_on": True})
    look(session, round_)
    finish_snapshot(session, round_)
    look(session, round_)
    finish_runs(session, round_)
    look(session, round_)
    following = queries.last_round(session, project=project)
    assert (following.number, following.step) == (2, Step.GENERATE)


def test_settings_that_a_run_would_refuse_are_refused_at_once(session, project, ada):
    with pytest.raises(Invalid, match="learning_rat"):
        make_round(
            session, project, ada, policy={"train": {"configs": {"dpo": {"learning_rat": 1}}}}
        )


def test_the_clock_is_the_databases(session, project, ada):
    make_prompt(session, project, "Why?")
    assert make_round(session, project, ada).created_at == database_now(session)
