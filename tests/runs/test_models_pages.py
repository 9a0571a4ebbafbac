"""Which models contain this? Asked of people, guidelines, prompts, snapshots; and storage."""

import pytest
from sqlalchemy import select

from app.corpus.models import Prompt, Response
from app.runs.models import CleanUp, Retention, RunKind
from app.runs.queries.story import story_of
from app.tasks.models import TaskResponse
from tests.datasets.frozen import freeze
from tests.factories import make_annotation, make_task
from tests.runs.factories import make_checkpoint, make_run
from tests.runs.test_descendants import mark_written, trained


@pytest.fixture
def loop(session, people):
    """Ana judged; a model learned from it and wrote; Rui alone judged that; another learned."""
    project = people.project
    tasks = [make_task(session, project, prompt=f"first {n}", wanted=2) for n in range(2)]
    for task in tasks:
        make_annotation(session, task, people.ana, ranks=[1, 2])
    first = freeze(session, project)
    model = trained(session, first, project)
    model.name = "The first model"
    later = make_task(session, project, prompt="second", wanted=2)
    mark_written(session, [later.id], model.id)
    make_annotation(session, later, people.rui, ranks=[2, 1])
    session.commit()
    second = freeze(session, project, exclude_annotators=[str(people.ana.id)])
    child = trained(session, second, project, RunKind.DPO)
    child.name = "The second model"
    waiting = make_run(session, second, RunKind.REWARD, name="On the way")
    session.commit()
    return {"first": first, "second": second, "model": model, "child": child, "run": waiting}


def names(answer):
    assert answer.status_code == 200
    return sorted(each["name"] for each in answer.json()["checkpoints"])  # made at one moment


def test_her_work_is_in_models_trained_on_what_hers_wrote(loop, api, people, sign_in):
    base = f"/api/v1/projects/{people.project.id}"
    ada = api(people.ada)
    both = ["The first model", "The second model"]
    assert names(ada.get(f"{base}/annotators/{people.ana.id}/models")) == both
    assert names(ada.get(f"{base}/annotators/{people.rui.id}/models")) == ["The second model"]
    assert names(ada.get(f"{base}/guidelines/1/models")) == both
    assert names(ada.get(f"{base}/guidelines/7/models")) == []
    assert names(ada.get(f"/api/v1/snapshots/{loop['second'].id}/descendants")) == both[1:]
    assert names(ada.get(f"/api/v1/checkpoints/{loop['model'].id}/descendants")) == both[1:]
    told = ada.get(f"{base}/annotators/{people.ana.id}/models").json()
    held = {(each["judgements"], each["is_written"]) for each in told["snapshots"]}
    assert held == {(2, False), (None, True)}
    assert {"written", "data", "made"} <= {link["how"] for link in told["links"]}


def test_a_prompt_leads_to_the_snapshots_that_hold_it(loop, session, api, people):
    prompts = {each.messages[0]["content"]: each.id for each in session.scalars(select(Prompt))}
    ada = api(people.ada)
    first = names(ada.get(f"/api/v1/prompts/{prompts['first 0']}/models"))
    assert first == ["The first model", "The second model"]
    assert names(ada.get(f"/api/v1/prompts/{prompts['second']}/models")) == ["The second model"]


def test_the_page_draws_it_and_names_what_is_on_the_way(loop, people, sign_in):
    base = f"/projects/{people.project.id}"
    page = sign_in(people.ada).get(f"{base}/annotators/{people.ana.id}/models").text
    assert "holds what such a model wrote" in page
    assert "lineage-written" in page
    assert "On the way" in page
    nothing = sign_in(people.ada).get(f"{base}/guidelines/7/models").text
    assert "No snapshot holds judgements of it" in nothing


def test_the_lineage_of_a_model_names_who_wrote_what_was_judged(loop, api, people):
    told = api(people.ada).get(f"/api/v1/checkpoints/{loop['child'].id}/lineage").json()
    [snapshot] = told["snapshots"]
    assert snapshot["written_by"] == [
        {"checkpoint_id": str(loop["model"].id), "name": "The first model", "judgements": 1}
    ]


def test_the_lineage_and_the_card_name_an_endpoint_that_wrote(session, people, sign_in, api):
    task = make_task(session, people.project, prompt="elsewhere", wanted=1)
    written = select(TaskResponse.response_id).where(TaskResponse.task_id == task.id).limit(1)
    response = session.get_one(Response, session.scalars(written).one())
    response.source, response.sampling = "endpoint:Lab", {"endpoint": "its id"}
    make_annotation(session, task, people.ana, ranks=[1, 2])
    session.commit()
    model = trained(session, freeze(session, people.project), people.project)
    session.commit()
    told = api(people.ada).get(f"/api/v1/checkpoints/{model.id}/lineage").json()
    [snapshot] = told["snapshots"]
    assert snapshot["written_by"] == [{"endpoint": "Lab", "name": "Lab", "judgements": 1}]
    page = sign_in(people.ada).get(f"/projects/{people.project.id}/checkpoints/{model.id}").text
    assert "Lab, elsewhere" in page
    assert story_of(session, run_id=model.run_id).written_by == ["Lab"]


def test_how_long_things_are_kept_is_set_on_a_page(session, people, sign_in, api):
    base = f"/projects/{people.project.id}/storage"
    browser = sign_in(people.ada)
    assert "Nothing: everything is needed" in browser.get(base).text
    wrong = browser.post(base, data={"saved_days": "soon"})
    assert wrong.status_code == 422
    assert "whole numbers" in wrong.text
    done = browser.post(base, data={"saved_days": "7", "failed_days": "", "checkpoint_days": "60"})
    assert done.status_code == 303
    kept = session.scalars(select(Retention)).one()
    assert (kept.saved_days, kept.failed_days, kept.checkpoint_days) == (7, None, 60)
    told = api(people.ada).get(f"/api/v1/projects/{people.project.id}/retention").json()
    assert told == {"saved_days": 7, "failed_days": None, "checkpoint_days": 60}
    for _ in range(2):  # the second adds nothing
        assert browser.post(f"{base}/clean-up").status_code == 303
    assert len(session.scalars(select(CleanUp)).all()) == 1
    assert "waits for a worker" in browser.get(base).text


def test_weights_are_removed_on_the_page_and_it_says_so(session, people, sign_in):
    checkpoint = make_checkpoint(session, people.project)
    session.commit()
    address = f"/projects/{people.project.id}/checkpoints/{checkpoint.id}"
    browser = sign_in(people.ada)
    assert "Remove the weights" in browser.get(address).text
    assert "Remove the weights" not in sign_in(people.vic).get(address).text
    assert browser.post(f"{address}/remove").status_code == 303
    page = browser.get(address).text
    assert "Its weights were removed on" in page
    assert "Write new responses" not in page
