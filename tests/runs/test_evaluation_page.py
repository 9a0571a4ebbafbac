"""How good a reward model is, on the page of its run."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.models import User
from app.db import transaction
from app.projects.models import Project
from app.runs.models import RunKind
from tests.factories import PASSWORD
from tests.people import make_people
from tests.runs.evaluations import EVALUATION, evaluated_run
from tests.runs.factories import make_run, make_snapshot

SignIn = Callable[[User], TestClient]
HEADING = "How good is this reward model?"


def test_the_page_says_how_good_it_is_and_where_it_is_wrong(
    session: Session, sign_in: SignIn, api: SignIn, people: Any
) -> None:
    run = evaluated_run(session, people.project)
    session.commit()
    browser, address = sign_in(people.vic), f"/projects/{people.project.id}/runs/{run.id}"
    page = browser.get(address).text
    assert HEADING in page
    assert "It beats “the longer answer wins” (62 %) by 12 points" in page
    charts = re.findall(r'data-chart="(\w+)"', page)
    assert charts == [
        "standing", "people", "agreement", "strength", "length", "ensemble", "calibration",
    ]  # fmt: skip
    assert "best possible" in page
    assert "A &lt;b&gt;great&lt;/b&gt; many" in page
    assert "2 more" in page
    lines = browser.get(f"{address}/mistakes")
    assert lines.headers["content-disposition"].endswith('"mistakes.jsonl"')
    first = json.loads(lines.text.splitlines()[0])
    assert first.keys() >= {"prompt", "responses"}
    told = api(people.vic).get(f"/api/v1/runs/{run.id}/evaluation").json()
    assert told == EVALUATION


def test_an_evaluation_without_votes_members_or_criteria(
    session: Session, sign_in: SignIn, ada: User, project: Project
) -> None:
    absent = {"people": None, "by_agreement": [], "by_strength": [], "worst": []}
    told = EVALUATION["sentences"] | {"people": "Nobody knows how far people agree."}
    less = {k: v for k, v in EVALUATION.items() if k not in ("ensemble", "criteria")}
    evaluation = less | absent | {"sentences": told}
    run = evaluated_run(session, project, evaluation=evaluation)
    session.commit()
    page = sign_in(ada).get(f"/projects/{project.id}/runs/{run.id}").text
    assert re.findall(r'data-chart="(\w+)"', page) == ["standing", "length", "calibration"]
    assert "Nobody knows how far people agree." in page
    assert "most surely wrong" not in page


def test_other_runs_have_none(
    session: Session, sign_in: SignIn, api: SignIn, ada: User, project: Project
) -> None:
    snapshot = make_snapshot(session, project)
    runs = [make_run(session, snapshot, kind) for kind in (RunKind.SFT, RunKind.REWARD)]
    runs.append(evaluated_run(session, project, evaluation="broken"))
    session.commit()
    for run in runs:
        address = f"/projects/{project.id}/runs/{run.id}"
        assert HEADING not in sign_in(ada).get(address).text
        assert sign_in(ada).get(f"{address}/mistakes").status_code == 404
        assert api(ada).get(f"/api/v1/runs/{run.id}/evaluation").status_code == 404


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_pictures_are_drawn_and_fit(
    browser: Any, live_server: str, width: int, scheme: str
) -> None:
    with transaction() as session:
        project = make_people(session).project
        run = evaluated_run(session, project)
        address = f"{live_server}/projects/{project.id}/runs/{run.id}"
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda said: said.type == "error" and problems.append(said.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(address)
    page.get_by_label("E-mail").fill("ada@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name=HEADING).wait_for()
    charts = page.locator("[data-evaluation] [data-chart]")
    for number in range(charts.count()):
        charts.nth(number).locator(".main-svg").first.wait_for()
    assert charts.count() == 7
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = Axe().run(page, context="[data-evaluation]").response["violations"]
    assert [(item["id"], item["nodes"][0]["html"]) for item in found] == []
    assert problems == []
    context.close()
