from collections.abc import Callable

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.models import User
from app.db import JobState
from app.generation.models import Generation
from app.projects.models import Project
from app.runs.models import RunKind
from tests.runs.factories import make_checkpoint

SignIn = Callable[[User], TestClient]


def test_ada_asks_for_new_responses(
    session: Session, sign_in: SignIn, ada: User, project: Project
) -> None:
    writer = make_checkpoint(session, project, RunKind.DPO)
    judge = make_checkpoint(session, project, RunKind.REWARD)
    session.commit()
    browser = sign_in(ada)
    page = browser.get(f"/projects/{project.id}/generations/new?checkpoint={writer.id}").text
    assert f"checkpoint:{writer.id}" in page
    assert f"checkpoint:{judge.id}" not in page  # it cannot write
    fields = {"checkpoint_id": str(writer.id), "n": "2", "max_prompts": ""}
    answer = browser.post(f"/projects/{project.id}/generations", data=fields)
    assert answer.status_code == 303
    generation = session.scalars(
        select(Generation).where(Generation.project_id == project.id)
    ).one()
    assert generation.config["max_prompts"] is None
    assert "It waits for a worker" in browser.get(answer.headers["location"]).text
    assert browser.post(answer.headers["location"] + "/cancel").status_code == 303
    session.refresh(generation)
    assert generation.state is JobState.CANCELLED


def test_prompts_that_were_left_out_are_told(
    session: Session, sign_in: SignIn, ada: User, project: Project
) -> None:
    generation = Generation(
        project_id=project.id,
        checkpoint_id=make_checkpoint(session, project, RunKind.DPO).id,
        config={"n": 2},
        state=JobState.SUCCEEDED,
        finished_at=func.now(),
        done=5,
        total=5,
    )
    session.add(generation)
    session.commit()
    page = f"/projects/{project.id}/generations/{generation.id}"
    assert "left out" not in sign_in(ada).get(page).text
    generation.total = 8
    session.commit()
    assert "3 prompts were left out" in sign_in(ada).get(page).text


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"n": "1", "include_existing": "0"}, "a task has 2 to 10 responses"),
        ({"n": "2", "temperature": "0"}, "every response to a prompt is the same"),
        ({"n": "many"}, "valid integer"),
    ],
)
def test_what_makes_no_task_is_refused(
    session: Session,
    sign_in: SignIn,
    ada: User,
    project: Project,
    fields: dict[str, str],
    sentence: str,
) -> None:
    writer = make_checkpoint(session, project)
    session.commit()
    answer = sign_in(ada).post(
        f"/projects/{project.id}/generations", data={"checkpoint_id": str(writer.id)} | fields
    )
    assert answer.status_code == 422
    assert sentence in answer.text


def test_a_reward_model_writes_nothing(
    session: Session, api: Callable[[User], TestClient], ada: User, project: Project
) -> None:
    judge = make_checkpoint(session, project, RunKind.REWARD)
    session.commit()
    answer = api(ada).post(
        f"/api/v1/projects/{project.id}/generations", json={"checkpoint_id": str(judge.id)}
    )
    assert answer.status_code == 422
    assert "does not write" in answer.json()["detail"]
