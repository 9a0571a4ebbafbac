"""Comparisons as pages and over the API."""

import pytest
from sqlalchemy import select

from app.completions import addresses
from app.config import settings
from app.db import JobState
from app.evaluation import service
from app.evaluation.models import Evaluation, EvaluationPrompt, Promotion
from app.generation.models import Endpoint
from app.runs.models import RunKind
from tests.evaluation.factories import judge, make_evaluation, make_writers
from tests.factories import make_prompt
from tests.runs.factories import make_checkpoint


@pytest.fixture
def writers(session, project):
    made = make_writers(session, project)
    session.commit()
    return made


def pages_of(project):
    return f"/projects/{project.id}/evaluations"


def test_before_there_is_anything_it_says_what_to_do(session, sign_in, ada, project):
    browser = sign_in(ada)
    assert "Train a model" in browser.get(pages_of(project)).text
    assert "No model can write yet" in browser.get(f"{pages_of(project)}/new").text
    make_writers(session, project)
    session.commit()
    assert "Compare two models" in browser.get(pages_of(project)).text


def fields(a, b, **more):
    given = {"a": str(a.id), "b": str(b.id), "prompts": "10", "priority": "5", "stop": "true"}
    return given | {"temperature": "0.5", "top_p": "1", "max_new_tokens": "9", "seed": "1"} | more


def test_from_the_form_to_its_page(session, sign_in, ada, project, writers):
    a, b = writers
    make_prompt(session, project, "One")
    session.commit()
    browser = sign_in(ada)
    form = browser.get(f"{pages_of(project)}/new?a={a.id}").text
    assert f'value="{a.id}" selected' in form
    reply = browser.post(pages_of(project), data=fields(a, b))
    assert reply.status_code == 303
    page = browser.get(reply.headers["location"]).text
    assert "It waits for a worker" in page
    assert "Only 1 of the 10 prompts asked for fit." in page
    assert "DPO 2 against SFT 1" in browser.get(pages_of(project)).text
    evaluation = session.scalars(select(Evaluation)).one()
    assert evaluation.config["temperature"] == 0.5
    assert evaluation.config["stop"] is True


def test_a_form_that_does_not_fit_says_why_and_keeps_what_was_typed(
    session, sign_in, ada, project, writers
):
    a, b = writers
    browser = sign_in(ada)
    reply = browser.post(pages_of(project), data=fields(a, a, prompts="77"))
    assert reply.status_code == 422
    assert "the same checkpoint" in reply.text
    assert 'value="77"' in reply.text
    reply = browser.post(pages_of(project), data=fields(a, b, prompts="0"))
    assert "greater than or equal to 1" in reply.text
    assert "No prompt fits" in browser.post(pages_of(project), data=fields(a, b)).text


def test_the_page_says_who_is_preferred_and_offers_to_promote(
    session, sign_in, people, project, writers
):
    a, b = writers
    tags = [["code"], []]
    evaluation = make_evaluation(session, project, a, b, prompts=40, tags=tags)
    judge(session, evaluation, people.ana, [1] * 39 + [0.5])
    service.settle(session, evaluation=evaluation)
    session.commit()
    where = f"{pages_of(project)}/{evaluation.id}"
    page = sign_in(people.ada).get(where).text
    assert "People prefer DPO 2 over SFT 1 in 99 %" in page
    assert "That is enough to say that DPO 2 is better" in page
    assert "Promote DPO 2" in page
    assert 'data-chart="path"' in page
    assert 'data-chart="rates"' in page
    seen = sign_in(people.vic).get(where).text
    assert "People prefer DPO 2" in seen
    assert "Promote" not in seen
    assert "DPO 2 is better" in sign_in(people.vic).get(pages_of(project)).text


def test_promoting_by_button_and_taking_it_back(session, sign_in, people, project, writers):
    a, b = writers
    evaluation = make_evaluation(session, project, a, b, prompts=12)
    judge(session, evaluation, people.ana, [1] * 12)
    session.commit()
    browser = sign_in(people.ada)
    here = f"/projects/{project.id}/promotions"
    assert "No model is promoted yet" in browser.get(here).text
    given = {"checkpoint_id": str(a.id), "evaluation_id": str(evaluation.id)}
    assert browser.post(here, data=given).status_code == 303
    page = browser.get(here).text
    assert "By hand, after an evaluation." in page
    assert "100 % of 12 prompts" in page
    checkpoint = browser.get(f"/projects/{project.id}/checkpoints/{a.id}").text
    assert ">promoted</a>" in checkpoint
    assert ">promoted</a>" not in browser.get(f"/projects/{project.id}/checkpoints/{b.id}").text
    form = browser.get(f"/projects/{project.id}/generations/new").text
    assert f'value="checkpoint:{a.id}" selected' in form  # new responses are asked of it
    last = session.scalars(select(Promotion.id)).one()
    assert browser.post(f"{here}/undo", data={"promotion_id": str(last)}).status_code == 303
    assert "No model is promoted yet" in browser.get(here).text
    rule = {"demand": "not_worse", "threshold": "60", "margin": "2.5", "automatic": "true"}
    assert browser.post(f"{here}/rule", data=rule).status_code == 303
    assert "not worse than the promoted one by more than 2 %" in browser.get(here).text


def test_a_reward_model_and_people_side_by_side(session, sign_in, people, project, writers):
    a, b = writers
    reward = make_checkpoint(session, project, RunKind.REWARD)
    evaluation = make_evaluation(
        session, project, a, b, prompts=20, reward_checkpoint_id=reward.id, config={"best_of": 2}
    )
    rows = session.scalars(select(EvaluationPrompt).order_by(EvaluationPrompt.place)).all()
    for row in rows:
        row.a_score, row.b_score = 2.0 + row.place % 3, 1.0
        row.a_samples, row.b_samples = [1.0, 2.0 + row.place], [0.5, 1.0]
    rows[4].a_score = -3.0  # people prefer A there
    judge(session, evaluation, people.ana, [1] * 20)
    session.commit()
    page = sign_in(people.ada).get(f"{pages_of(project)}/{evaluation.id}").text
    assert "The reward model scores DPO 2 higher than SFT 1 by" in page
    assert "It agrees with people in 95 %" in page
    assert "Where do people and the reward model differ?" in page
    assert "What is 4?" in page.split("Where do people")[1]
    assert 'data-chart="best"' in page
    found = sign_in(people.ada).get(f"/api/v1/evaluations/{evaluation.id}").json()
    assert found["models"]["scores"]["agreement_with_people"]["value"] == 0.95
    assert [point["n"] for point in found["models"]["best_of"]["a"]] == [1, 2]


def test_stopping_and_asking_on_by_button(session, sign_in, ada, project, writers):
    evaluation = make_evaluation(session, project, *writers, prompts=3)
    session.commit()
    where = f"{pages_of(project)}/{evaluation.id}"
    browser = sign_in(ada)
    assert browser.post(f"{where}/close").status_code == 303
    assert "Stopped by Ada." in browser.get(where).text
    assert browser.post(f"{where}/close").status_code == 409
    assert browser.post(f"{where}/reopen").status_code == 303
    assert "Stop asking" in browser.get(where).text


def test_over_the_api(session, sign_in, people, project, writers):
    a, b = writers
    make_prompt(session, project, "One")
    session.commit()
    browser = sign_in(people.ada)
    calls = f"/api/v1/projects/{project.id}"
    body = {"a": {"checkpoint": str(a.id)}, "b": {"checkpoint": str(b.id)}, "prompts": 1}
    made = browser.post(f"{calls}/evaluations", json=body)
    assert made.status_code == 202
    assert made.json()["state"] == JobState.QUEUED
    assert made.json()["b"] == {"checkpoint": str(b.id)}
    evaluation = make_evaluation(session, project, a, None, prompts=12, equal=2)
    judge(session, evaluation, people.ana, [1] * 10 + [0.5, 0])
    session.commit()
    found = browser.get(f"/api/v1/evaluations/{evaluation.id}").json()
    assert found["b"] == {"data": "best"}
    verdict = found["verdict"]
    assert (verdict["wins"], verdict["ties"], verdict["losses"]) == (10, 3, 1)
    assert verdict["win_rate"]["value"] == pytest.approx((10 + 1.5) / 14, abs=1e-6)
    assert verdict["always"]["low"] < verdict["win_rate"]["value"]
    listed = browser.get(f"{calls}/evaluations?limit=1").json()
    assert len(listed["items"]) == 1
    after = browser.get(f"{calls}/evaluations?limit=1&cursor={listed['next_cursor']}").json()
    assert {listed["items"][0]["id"], after["items"][0]["id"]} == {
        made.json()["id"],
        str(evaluation.id),
    }
    rule = browser.put(f"{calls}/promotion-rule", json={"demand": "by_more", "threshold": 0.6})
    assert rule.json()["sentence"].endswith("more than 60 % of prompts.")
    given = {"checkpoint_id": str(a.id), "evaluation_id": str(evaluation.id), "reason": "Good."}
    promoted = browser.post(f"{calls}/promotions", json=given)
    assert promoted.status_code == 201
    assert browser.get(f"{calls}/promotions").json()["promoted"] == str(a.id)
    undone = browser.post(f"{calls}/promotions/{promoted.json()['id']}/undo")
    assert undone.json()["checkpoint_id"] is None
    wrong = browser.post(f"{calls}/promotions", json=given | {"checkpoint_id": str(b.id)})
    assert wrong.status_code == 422


def test_a_model_is_not_found_from_another_project(session, sign_in, people, project, writers):
    evaluation = make_evaluation(session, project, *writers)
    session.commit()
    assert sign_in(people.sam).get(f"/api/v1/evaluations/{evaluation.id}").status_code == 404


def test_an_endpoint_is_chosen_in_the_form_and_named_on_the_page(
    session, sign_in, people, project, writers, monkeypatch
):
    allowed = settings.model_copy(update={"endpoints": "127.0.0.1:9"})
    monkeypatch.setattr(addresses, "settings", allowed)
    lab = Endpoint(project_id=project.id, name="Lab", base_url="http://127.0.0.1:9/v1", model="m")
    session.add(lab)
    make_prompt(session, project, "One")
    session.commit()
    browser = sign_in(people.ada)
    form = browser.get(f"{pages_of(project)}/new?b=endpoint:{lab.id}").text
    assert f'value="endpoint:{lab.id}" selected' in form
    reply = browser.post(
        pages_of(project), data=fields(writers[0], lab) | {"b": f"endpoint:{lab.id}"}
    )
    assert reply.status_code == 303
    page = browser.get(reply.headers["location"]).text
    assert 'B: Lab <span class="badge">endpoint</span>' in page
    assert "What Lab was trained on is not known here" in page
    assert "DPO 2 against Lab" in browser.get(pages_of(project)).text
    made = session.scalars(select(Evaluation)).one()
    told = browser.get(f"/api/v1/evaluations/{made.id}").json()
    assert (told["a"], told["b"]) == ({"checkpoint": str(writers[0].id)}, {"endpoint": str(lab.id)})
    wrong = browser.post(pages_of(project), data=fields(lab, lab) | {"a": "data"})
    assert "A is a checkpoint or an endpoint" in wrong.text


def test_an_endpoint_that_people_prefer_is_not_offered_for_promotion(
    session, sign_in, people, project, writers
):
    lab = Endpoint(project_id=project.id, name="Lab", base_url="http://127.0.0.1:9/v1", model="m")
    session.add(lab)
    evaluation = make_evaluation(session, project, *writers, prompts=12)
    evaluation.a_checkpoint_id, evaluation.a_endpoint_id = None, lab.id
    judge(session, evaluation, people.ana, [1] * 12)
    session.commit()
    page = sign_in(people.ada).get(f"{pages_of(project)}/{evaluation.id}").text
    assert "People prefer Lab over SFT 1" in page
    assert "Only a model of this project can be promoted" in page
    assert 'id="promote-a"' not in page
