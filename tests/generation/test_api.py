"""New responses and endpoints over the API."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.models import User
from app.completions import KEYS, addresses
from app.config import settings
from app.db import JobState
from app.generation.models import Endpoint, Generation, Writer
from app.projects.models import Project
from app.runs.models import RunKind
from tests.factories import make_prompt
from tests.runs.factories import make_checkpoint

Api = Callable[[User], TestClient]
LAB = {"name": "Lab", "base_url": "http://gpu-1:8000/v1", "model": "some/model", "key_name": "LAB"}


@pytest.fixture
def client(api: Api, ada: User, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    allowed = settings.model_copy(update={"endpoints": "gpu-1:8000"})
    monkeypatch.setattr(addresses, "settings", allowed)
    return api(ada)


def test_an_endpoint_is_added_listed_and_removed_and_never_tells_its_key(
    client: TestClient, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    its = f"/api/v1/projects/{project.id}/endpoints"
    monkeypatch.setenv(KEYS + "LAB", "sk-secret")
    answer = client.post(its, json=LAB)
    assert answer.status_code == 201
    assert (answer.json()["key_name"], answer.json()["has_key"]) == ("LAB", True)
    assert client.post(its, json=LAB).status_code == 409
    assert "sk-secret" not in client.get(its).text
    assert [each["name"] for each in client.get(its).json()["items"]] == ["Lab"]
    one = f"/api/v1/endpoints/{answer.json()['id']}"
    assert client.delete(one).status_code == 200
    assert client.delete(one).status_code == 409
    assert client.get(its).json()["items"] == []
    assert client.post(its, json=LAB).status_code == 201  # the name is free again


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"base_url": "http://127.0.0.1:5432/v1"}, "not on the list"),
        ({"key_name": "DATABASE_URL; x"}, "pattern"),
        ({"name": "<b>"}, "pattern"),
        ({"key": "sk-secret"}, "Extra inputs"),
    ],
)
def test_what_is_wrong_with_an_endpoint_is_told(
    client: TestClient, project: Project, fields: dict[str, str], sentence: str
) -> None:
    answer = client.post(f"/api/v1/projects/{project.id}/endpoints", json=LAB | fields)
    assert answer.status_code == 422
    assert sentence in answer.text


def test_one_writer_in_the_body_or_several_beside_each_other(
    client: TestClient, session: Session, project: Project
) -> None:
    writer = make_checkpoint(session, project)
    session.commit()
    client.post(f"/api/v1/projects/{project.id}/endpoints", json=LAB)
    its = f"/api/v1/projects/{project.id}/generations"
    old = client.post(its, json={"checkpoint_id": str(writer.id), "n": 3, "temperature": 0.5})
    assert old.status_code == 202
    assert old.json()["checkpoint_id"] == str(writer.id)
    assert (old.json()["config"]["n"], old.json()["config"]["temperature"]) == (3, 0.5)
    assert [each["temperatures"] for each in old.json()["writers"]] == [[0.5]]
    lab = client.post(its, json={"endpoint": "Lab", "n": 2}).json()
    assert (lab["checkpoint_id"], lab["writers"][0]["source"]) == (None, "endpoint:Lab")
    several = [
        {"endpoint": "Lab", "n": 2, "temperature": [0.2, 1]},
        {"checkpoint_id": str(writer.id), "n": 1, "system": "Be brief"},
    ]
    both = client.post(its, json={"writers": several, "max_prompts": 5}).json()
    assert [each["n"] for each in both["writers"]] == [2, 1]
    assert both["checkpoint_id"] == str(writer.id)
    listed = client.get(its, params={"limit": 2}).json()
    rest = client.get(its, params={"cursor": listed["next_cursor"]}).json()
    found = [each["id"] for each in [*listed["items"], *rest["items"]]]
    assert sorted(found) == sorted([old.json()["id"], lab["id"], both["id"]])
    assert client.get(f"/api/v1/generations/{lab['id']}/problems").json() == {"items": []}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "a checkpoint_id or an endpoint"),
        ({"endpoint": "Nobody", "n": 2}, "no endpoint “Nobody”"),
        ({"endpoint": "Lab", "n": 2, "temperature": 0}, "raise it, or set n to 1"),
        ({"endpoint": "Lab", "n": 3, "temperature": [0, 1]}, "raise it, or set n to 1"),
        ({"endpoint": "Lab", "n": 2, "writers": [{"endpoint": "Lab"}]}, "not both"),
        ({"writers": 2 * [{"endpoint": "Lab", "n": 5}]}, "8 responses to a prompt at most"),
        ({"writers": 5 * [{"endpoint": "Lab", "n": 1}]}, "at most 4"),
        ({"endpoint": "Lab", "n": 2, "select": {"by": "novelty"}}, "how many prompts"),
        ({"endpoint": "Lab", "select": {"by": "uncertainty"}}, "needs a reward_checkpoint_id"),
        (
            {"endpoint": "Lab", "max_prompts": 3,
             "select": {"by": "uncertainty", "reward_checkpoint_id": str(uuid4())}},
            "needs a reward model of this project",
        ),
        ({"endpoint": "Lab", "select": {"sources": {"web": 0}}}, "a share above 0"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_told(
    client: TestClient, session: Session, project: Project, body: dict[str, object], sentence: str
) -> None:
    client.post(f"/api/v1/projects/{project.id}/endpoints", json=LAB)
    answer = client.post(f"/api/v1/projects/{project.id}/generations", json=body)
    assert answer.status_code == 422
    assert sentence in answer.text
    assert session.scalars(select(Writer)).all() == []


@pytest.mark.parametrize(
    ("temperature", "field"),
    [(-1, ""), ("hot", ""), ([], ""), (None, ""), ({"a": 1}, ""), ([1, 3], ".1"), (["hot"], ".0")],
)
def test_a_wrong_temperature_is_named_as_it_was_sent(
    client: TestClient, project: Project, temperature: object, field: str
) -> None:
    its = f"/api/v1/projects/{project.id}/generations"
    writer = {"endpoint": "Lab", "n": 2, "temperature": temperature}
    for body, within in ((writer, ""), ({"writers": [writer]}, "writers.0.")):
        answer = client.post(its, json=body)
        assert answer.status_code == 422
        named = [each["field"] for each in answer.json()["errors"]]
        assert named == [f"{within}temperature{field}"]


def test_a_finished_generation_is_not_resumed(
    client: TestClient, session: Session, project: Project
) -> None:
    client.post(f"/api/v1/projects/{project.id}/endpoints", json=LAB)
    its = f"/api/v1/projects/{project.id}/generations"
    made = client.post(its, json={"endpoint": "Lab", "n": 2}).json()["id"]
    for state, ended, sentence in (
        (JobState.RUNNING, None, "This generation is running already."),
        (
            JobState.SUCCEEDED,
            func.now(),
            "This generation has succeeded; there is nothing to resume.",
        ),
    ):
        session.execute(update(Generation).values(state=state, finished_at=ended))
        session.commit()
        answer = client.post(f"/api/v1/generations/{made}/resume")
        assert (answer.status_code, answer.json()["detail"]) == (409, sentence)


def test_writers_of_other_projects_are_not_there(
    client: TestClient, session: Session, project: Project
) -> None:
    other = Project(name="Other", created_by=project.created_by)
    session.add(other)
    session.flush()
    theirs = make_checkpoint(session, other, RunKind.SFT)
    lab = Endpoint(project_id=other.id, name="Lab", base_url="http://gpu-1:8000/v1", model="m")
    session.add(lab)
    session.commit()
    its = f"/api/v1/projects/{project.id}/generations"
    for body in ({"checkpoint_id": str(theirs.id)}, {"endpoint": str(lab.id)}):
        answer = client.post(its, json=body | {"n": 2})
        assert answer.status_code == 422
        assert "project" in answer.json()["detail"]


def test_prompts_are_counted_as_they_would_be_chosen(
    client: TestClient, session: Session, project: Project
) -> None:
    for number in range(5):
        prompt = make_prompt(session, project, f"Question {number}?")
        prompt.source, prompt.tags = ("web" if number % 2 else None), [f"tag {number % 3}"]
    session.commit()
    its = f"/api/v1/projects/{project.id}/generations/count"
    assert client.post(its, json={}).json() == {"prompts": 5, "by_source": {"": 3, "web": 2}}
    web = client.post(its, json={"sources": {"web": 1, "": 0}}).json()
    assert web == {"prompts": 2, "by_source": {"web": 2}}
    assert client.post(its, json={"tags": ["tag 0"]}).json()["prompts"] == 2
