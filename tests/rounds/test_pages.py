"""The page of rounds, its settings, and the same over HTTP for programs."""

import pytest

from app.accounts.models import UserKind
from app.rounds import queries
from app.rounds.models import RoundState
from app.rounds.schemas import Policy, PolicyForm
from tests.factories import make_member, make_prompt, make_user
from tests.rounds.factories import (
    QUICK,
    finish_runs,
    finish_snapshot,
    judge_everything,
    look,
    make_round,
)
from tests.runs.factories import make_checkpoint


def where(project):
    return f"/projects/{project.id}/rounds"


def test_without_a_round_the_page_says_how_one_goes(session, project, ada, sign_in):
    page = sign_in(ada).get(where(project)).text
    assert "No round has begun" in page
    assert "import prompts" in page
    make_prompt(session, project, "Why?")
    session.commit()
    assert "Begin the first round" in sign_in(ada).get(where(project)).text


def test_a_round_is_begun_and_driven_by_buttons(session, project, ada, ana, sign_in):
    judge_everything(session, project, ana)
    session.commit()
    browser = sign_in(ada)
    assert browser.post(where(project)).status_code == 303
    round_ = queries.last_round(session, project=project)
    page = browser.get(where(project)).text
    assert "Round 1: Rank" in page
    acted = browser.post(f"{where(project)}/{round_.id}/begin", data={"turn": str(round_.turn)})
    assert acted.status_code == 303
    again = browser.post(f"{where(project)}/{round_.id}/begin", data={"turn": "1"})
    assert again.status_code == 409
    assert "moved on meanwhile" in again.text


def test_a_viewer_sees_it_and_finds_no_buttons(session, project, ada, ana, vic, sign_in):
    judge_everything(session, project, ana)
    round_ = make_round(session, project, ada)
    session.commit()
    page = sign_in(vic).get(where(project)).text
    assert "Round 1: Rank" in page
    assert "Pause" not in page
    assert sign_in(vic).get(f"{where(project)}/{round_.id}").status_code == 200


def test_what_failed_is_told_with_a_button(session, project, ada, ana, sign_in):
    judge_everything(session, project, ana)
    round_ = make_round(session, project, ada, policy=QUICK)
    look(session, round_)
    finish_snapshot(session, round_).files = []
    look(session, round_)
    session.commit()
    assert round_.state is RoundState.FAILED
    page = sign_in(ada).get(where(project)).text
    assert "Try this step again" in page
    assert "this one has none" in page


def test_a_finished_round_says_what_is_shown(session, project, ada, ana, rui, sign_in, api):
    judge_everything(session, project, ana, rui)
    round_ = make_round(session, project, ada, policy=QUICK)
    look(session, round_)
    finish_snapshot(session, round_)
    look(session, round_)
    finish_runs(session, round_)
    look(session, round_)
    session.commit()
    page = sign_in(ada).get(where(project)).text
    assert "nothing yet to compare it with" in page
    assert "Begin round 2" in page
    told = api(ada).get(f"/api/v1/rounds/{round_.id}").json()
    assert told["is_promoted"] is True
    assert told["figures"]["judgements"] == 4
    assert told["checkpoint_id"] == str(round_.writer_checkpoint_id)


def test_the_settings_come_back_as_they_were_sent(session, project, ada, sign_in):
    sent = {
        "by_itself": ["generate", "rank", "freeze"], "sets_out_from": "newest", "goes_on": "true",
        "generate_prompts": "7", "generate_n": "3", "generate_include_existing": "0",
        "generate_temperature": "1.1", "generate_max_new_tokens": "32", "rank_judgements": "12",
        "rank_min_agreement": "0.4", "recipe_min_annotations": "2", "recipe_min_agreement": "0.5",
        "train_kinds": ["sft", "dpo"], "train_size": "small", "train_reward": "former",
        "train_configs": "dpo.beta = 0.2\nsft.max_steps = 5", "evaluate_prompts": "9",
        "evaluate_temperature": "0.5", "evaluate_seen_too": "true",
    }  # fmt: skip
    answer = sign_in(ada).post(f"{where(project)}/settings", data=sent)
    assert answer.status_code == 303
    kept = queries.policy_of(session, project=project)
    assert [step.value for step in kept.by_hand] == ["train", "evaluate", "promote"]
    assert kept.train.configs == {"dpo": {"beta": 0.2}, "sft": {"max_steps": 5}}
    assert (kept.rank.judgements, kept.rank.min_agreement, kept.goes_on) == (12, 0.4, True)
    assert PolicyForm.of(kept).policy(Policy()) == kept


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"generate_n": "9"}, "8"),
        ({"train_configs": "beta: 1"}, "is no setting"),
        ({"train_configs": "dpo.bta = 1"}, "bta"),
        ({"train_kinds": ["reward"]}, "needs a model that writes"),
    ],
)
def test_settings_that_cannot_be_are_refused_and_the_rest_is_not_lost(
    session, project, ada, sign_in, wrong, said
):
    sent = PolicyForm.of(Policy()).model_dump(mode="json") | {"generate_prompts": "7"} | wrong
    answer = sign_in(ada).post(f"{where(project)}/settings", data=sent)
    assert answer.status_code == 422
    assert said in answer.text
    assert 'value="7"' in answer.text
    assert queries.policy_of(session, project=project) == Policy()


def test_simulated_annotators_are_asked_only_where_there_are_some(
    session, project, ada, ana, sign_in
):
    from app.accounts.models import Role

    judge_everything(session, project, ana)
    make_round(session, project, ada)
    session.commit()
    browser = sign_in(ada)
    assert "simulated" not in browser.get(where(project)).text
    assert browser.post(f"{where(project)}/simulated").status_code == 409
    robot = make_user(session, "Simulated: careful", kind=UserKind.SIMULATED)
    make_member(session, project, robot, Role.ANNOTATOR)
    session.commit()
    assert "Let the simulated annotators judge" in browser.get(where(project)).text
    assert browser.post(f"{where(project)}/simulated").status_code == 303
    assert "are judging" in browser.get(where(project)).text


def test_programs_open_watch_and_move_rounds(session, project, ada, ana, api):
    make_checkpoint(session, project)
    judge_everything(session, project, ana)
    session.commit()
    program = api(ada)
    base = f"/api/v1/projects/{project.id}/rounds"
    policy = program.get(f"{base}/policy").json() | {"by_hand": ["generate"]}
    assert program.put(f"{base}/policy", json=policy).json()["by_hand"] == ["generate"]
    opened = program.post(base)
    assert (opened.status_code, opened.json()["step"]) == (201, "generate")
    assert "waits for an admin" in opened.json()["waits_for"]
    assert program.post(base).status_code == 409
    path = f"/api/v1/rounds/{opened.json()['id']}"
    assert program.post(f"{path}/skip", json={"turn": 1}).json()["step"] == "rank"
    assert program.post(f"{path}/skip", json={"turn": 1}).status_code == 409
    assert program.post(f"{path}/pause").json()["paused_at"]
    assert [event["kind"] for event in program.get(f"{path}/events").json()] == [
        "opened", "skipped", "paused",
    ]  # fmt: skip
    assert program.post(f"{path}/dance").status_code == 404
    listed = program.get(base, params={"limit": 1}).json()
    assert [item["number"] for item in listed["items"]] == [1]


def test_rounds_of_another_project_are_not_there(session, project, ada, sam, sign_in, api):
    make_prompt(session, project, "Why?")
    round_ = make_round(session, project, ada)
    session.commit()
    assert api(sam).get(f"/api/v1/rounds/{round_.id}").status_code == 404


def test_deeds_are_audited(session, project, ada, ana, api):
    from sqlalchemy import select

    from app.accounts.models import AuditEvent

    judge_everything(session, project, ana)
    session.commit()
    program = api(ada)
    opened = program.post(f"/api/v1/projects/{project.id}/rounds").json()
    program.post(f"/api/v1/rounds/{opened['id']}/pause")
    program.post(f"/api/v1/rounds/{opened['id']}/end")
    actions = session.scalars(
        select(AuditEvent.action).where(AuditEvent.project_id == project.id).order_by(AuditEvent.id)
    ).all()
    assert actions[-3:] == ["round.open", "round.pause", "round.end"]
