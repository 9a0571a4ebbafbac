"""Runs beside each other: what differs, and who may see it."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.models import User
from app.datasets.models import Snapshot
from app.projects.models import Project
from app.runs.formats import Side, charts_together, figures_of, settings_of
from app.runs.models import Run, RunKind
from tests.factories import make_project
from tests.runs.evaluations import evaluated_run
from tests.runs.factories import make_run, make_snapshot

SignIn = Callable[[User], TestClient]


def side(**fields: Any) -> Side:
    empty: dict[str, Any] = {"id": "1", "name": "A", "kind": "dpo", "config": {}, "inputs": {}}
    return Side(**(empty | {"metrics": {}, "evaluation": None} | fields))


def test_settings_are_lined_up_by_name() -> None:
    one = side(config={"beta": 0.1, "seed": 1}, inputs={"snapshot": "S"})
    two = side(config={"seed": 1, "kl_coef": 0.2}, inputs={"snapshot": "S"})
    lines = {line.name: line for line in settings_of([one, two])}
    assert list(lines) == ["snapshot", "beta", "seed", "kl_coef"]
    assert (lines["beta"].values, lines["beta"].differs) == ([0.1, None], True)
    assert not lines["seed"].differs
    assert not lines["snapshot"].differs


def test_figures_of_the_curves_come_first_and_the_rest_is_not_lost() -> None:
    one = side(metrics={"a_note": 2.0, "eval_loss": 0.5, "loss": 0.4, "time": 9.0, "ok": True})
    two = side(metrics={"loss": None})
    lines = figures_of([one, two])
    assert [line.name for line in lines] == ["loss", "eval_loss", "a_note"]
    assert lines[0].values == [0.4, None]


def test_kinds_share_the_charts_they_share() -> None:
    titles = [chart.title for chart in charts_together([side(kind="sft"), side(kind="reward")])]
    assert titles.count("Is it learning?") == 1
    assert "Does it agree with people?" in titles
    assert titles[-1] == "Speed"


@pytest.fixture
def pair(session: Session, project: Project) -> list[Run]:
    first = evaluated_run(session, project)
    first.config = {"seed": 1, "lora_r": 0}
    snapshot = session.get_one(Snapshot, first.snapshot_id)
    config = {"seed": 2, "lora_r": 0}
    second = make_run(session, snapshot, RunKind.REWARD, name="Second <b>", config=config)
    session.commit()
    return [first, second]


def test_two_runs_on_one_page(
    sign_in: SignIn, people: Any, project: Project, pair: list[Run]
) -> None:
    query = "&".join(f"run={run.id}" for run in pair)
    page = sign_in(people.vic).get(f"/projects/{project.id}/runs/compare?{query}").text
    assert "Second &lt;b&gt;" in page
    assert page.count("data-run=") == 2
    same = page[page.index("data-same hidden") :]
    assert "lora_r" in same
    assert "74.0 %" in page  # of the one that was evaluated
    alone = sign_in(people.vic).get(f"/projects/{project.id}/runs/compare?run={pair[0].id}").text
    assert "Choose two runs or more" in alone


def test_the_same_as_json(
    api: Callable[[User], TestClient], people: Any, project: Project, pair: list[Run]
) -> None:
    address = f"/api/v1/projects/{project.id}/runs/compare"
    query = "&".join(f"run={run.id}" for run in reversed(pair))
    found = api(people.vic).get(f"{address}?{query}").json()
    assert [run["id"] for run in found["runs"]] == [str(pair[1].id), str(pair[0].id)]
    differing = {line["name"]: line["values"] for line in found["settings"] if line["differs"]}
    assert differing == {"seed": [2, 1]}
    assert found["evaluation"][0] == {
        "name": "agrees with people",
        "values": [None, 0.74],
        "differs": True,
    }
    assert api(people.vic).get(address).status_code == 422


def test_runs_of_other_projects_are_not_there(
    session: Session, sign_in: SignIn, ada: User, project: Project, pair: list[Run]
) -> None:
    other = make_run(session, make_snapshot(session, make_project(session, "Other", by=ada)))
    session.commit()
    address = f"/projects/{project.id}/runs/compare?run={pair[0].id}"
    for strange in (other.id, uuid4()):
        answer = sign_in(ada).get(f"{address}&run={strange}")
        assert answer.status_code == 404
        assert "not in this project" in answer.text


def test_more_than_ten_are_told(
    session: Session, sign_in: SignIn, ada: User, project: Project
) -> None:
    snapshot = make_snapshot(session, project)
    runs = [make_run(session, snapshot, name=f"Number {n}") for n in range(12)]
    session.commit()
    query = "&".join(f"run={run.id}" for run in runs)
    page = sign_in(ada).get(f"/projects/{project.id}/runs/compare?{query}").text
    assert "Number 10, Number 11 are left out" in page


def test_the_list_leads_to_the_comparison(
    sign_in: SignIn, ada: User, project: Project, pair: list[Run]
) -> None:
    page = sign_in(ada).get(f"/projects/{project.id}/runs").text
    for run in pair:
        assert f'name="run" value="{run.id}" form="compare"' in page
        assert f'<a href="/projects/{project.id}/runs/{run.id}">' in page
