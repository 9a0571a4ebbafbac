"""The dashboard, the annotators and the review of a task, as a person opens them."""

import json
import re
from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.models import User
from app.projects.models import Membership, Standing
from app.quality.models import Adjudication
from app.quality.service import summary
from app.tasks.models import Task
from app.web.pages import plotly_url
from tests.factories import make_annotation, make_task
from tests.people import People

SignIn = Callable[[User], TestClient]
FIRST, SECOND = [1, 2], [2, 1]


def judged(session: Session, people: People, number: int = 40, *, apart: int = 10) -> list[Task]:
    """Tasks judged by Ana and Rui, who differ on the first `apart` of them."""
    tasks = []
    for place in range(number):
        task = make_task(session, people.project, prompt=f"Question {place}", wanted=2)
        sign = FIRST if place % 2 else SECOND
        make_annotation(session, task, people.ana, ranks=sign, rationale="It is *clearer*.")
        make_annotation(session, task, people.rui, ranks=sign[::-1] if place < apart else sign)
        tasks.append(task)
    session.commit()
    return tasks


def data_of(page: str, chart: str) -> object:
    block = re.search(rf'data-chart-data="{chart}">(.*?)</script>', page, re.DOTALL)
    assert block, f"no data for the chart {chart}"
    return json.loads(block[1])


def test_the_dashboard_says_whether_labels_can_be_trusted_and_why(
    session: Session, people: People, sign_in: SignIn
):
    judged(session, people, 100, apart=25)
    make_task(session, people.project, prefers=[[0, 1]])
    session.commit()
    page = sign_in(people.ada).get(f"/projects/{people.project.id}")
    assert page.status_code == 200
    assert "Yes: people prefer the same response in 75 % of decisive comparisons" in page.text
    assert "unsafe-inline" not in page.headers["content-security-policy"].split("style-src")[0]
    assert data_of(page.text, "agreement")["days"][-1]["value"] == 0.75
    assert sum(day["number"] for day in data_of(page.text, "days")) == 200


def test_somebody_who_fails_gold_is_the_first_thing_said(
    session: Session, people: People, sign_in: SignIn
):
    judged(session, people)
    member = session.get(Membership, (people.project.id, people.ana.id))
    member.gold_seen, member.gold_passed, member.standing = 10, 1, Standing.FAILED
    session.commit()
    page = sign_in(people.ada).get(f"/projects/{people.project.id}").text
    assert "1 person fails the gold questions and made 50 %" in page
    assert data_of(page, "gold")["people"][0]["name"] == "Ana"
    assert "fails the gold questions (1 of 10 right)" in page


def test_every_chart_has_its_numbers_in_a_table(session: Session, people: People, sign_in: SignIn):
    judged(session, people)
    member = session.get(Membership, (people.project.id, people.ana.id))
    member.gold_seen = member.gold_passed = 4
    session.commit()
    page = sign_in(people.ada).get(f"/projects/{people.project.id}").text
    charts = re.findall(r'data-chart="(\w+)"', page)
    assert sorted(charts) == ["agreement", "days", "gold"]
    for chart in charts:
        section = page.split(f'data-chart="{chart}"')[1].split("</section>")[0]
        assert "<table>" in section


def test_names_cannot_leave_the_data_block(session: Session, people: People, sign_in: SignIn):
    judged(session, people, 3)
    people.ana.name = "</script><script>alert(1)</script>"
    session.get(Membership, (people.project.id, people.ana.id)).gold_seen = 1
    session.commit()
    page = sign_in(people.ada).get(f"/projects/{people.project.id}").text
    assert "<script>alert(1)" not in page
    assert data_of(page, "gold")["people"][0]["name"] == people.ana.name


def test_an_empty_project_says_what_to_do(session: Session, people: People, sign_in: SignIn):
    ada = sign_in(people.ada)
    page = ada.get(f"/projects/{people.project.id}").text
    assert "Nothing has been judged yet" in page
    assert "Import data" in page
    make_task(session, people.project, wanted=3)
    session.commit()
    page = ada.get(f"/projects/{people.project.id}").text
    assert "Tasks waiting: 1; judgements wanted: 3." in page
    assert "data-chart" not in page


def test_a_large_project_shows_kept_figures_and_says_that_new_ones_come(
    session: Session, people: People, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(summary, "INLINE", 1)
    tasks = judged(session, people, 12)
    ada = sign_in(people.ada)
    assert "being computed" in ada.get(f"/projects/{people.project.id}").text
    summary.recompute(session, project=people.project)
    make_annotation(session, tasks[0], people.ada, ranks=FIRST)
    session.commit()
    page = ada.get(f"/projects/{people.project.id}").text
    assert "newer figures are being computed" in page


def test_the_annotators_page_has_a_row_per_person(
    session: Session, people: People, sign_in: SignIn
):
    judged(session, people)
    page = sign_in(people.vic).get(f"/projects/{people.project.id}/annotators").text
    assert re.findall(r'<th scope="row"><a href="[^"]+">(\w+)', page) == ["Ana", "Rui"]
    assert "She has not been shown a task twice." in page


def test_rui_finds_the_disputed_tasks_and_settles_one(
    session: Session, people: People, sign_in: SignIn
):
    tasks = judged(session, people, 4, apart=1)
    rui = sign_in(people.rui)
    queue = rui.get(f"/projects/{people.project.id}/review").text
    assert re.findall(r'href="/tasks/([0-9a-f-]+)/review"', queue) == [str(tasks[0].id)]
    page = rui.get(f"/tasks/{tasks[0].id}/review").text
    assert "Eight minutes in boiling water." in page
    assert "It is <em>clearer</em>." in page
    assert "Prefer the better one." in page  # the guidelines
    done = rui.post(
        f"/tasks/{tasks[0].id}/adjudication", data={"places": ["2", "1"], "reason": "B is right."}
    )
    assert done.status_code == 303
    after = rui.get(done.headers["location"]).text
    assert "B &gt; A" in after
    assert "B is right." in after
    assert session.query(Adjudication).filter_by(task_id=tasks[0].id).one().ranks == [2, 1]


def test_a_place_too_few_changes_nothing(session: Session, people: People, sign_in: SignIn):
    (task,) = judged(session, people, 1)
    reply = sign_in(people.rui).post(
        f"/tasks/{task.id}/adjudication", data={"places": ["1", "2", "3"], "reason": "x"}
    )
    assert reply.status_code == 422
    assert "This task has 2 responses" in reply.text
    assert session.query(Adjudication).filter_by(task_id=task.id).count() == 0


def test_who_may_see_what(session: Session, people: People, sign_in: SignIn):
    (task,) = judged(session, people, 1)
    here = f"/projects/{people.project.id}"
    for user, expected in (
        (people.ada, (200, 200, 200, 200)),
        (people.rui, (200, 200, 200, 200)),
        (people.vic, (200, 200, 403, 403)),
        (people.ana, (303, 403, 403, 403)),
        (people.sam, (404, 404, 404, 404)),
    ):
        browser = sign_in(user)
        pages = (here, f"{here}/annotators", f"{here}/review", f"/tasks/{task.id}/review")
        assert tuple(browser.get(page).status_code for page in pages) == expected, user.name


def test_the_chart_library_comes_from_its_wheel(client: TestClient):
    reply = client.get(plotly_url())
    assert reply.status_code == 200
    assert "max-age" in reply.headers["cache-control"]


def test_each_person_has_a_page(session: Session, people: People, sign_in: SignIn):
    session.commit()
    client = sign_in(people.ada)
    address = f"/projects/{people.project.id}/annotators/{people.ana.id}"
    assert f'{address}"' in client.get(f"/projects/{people.project.id}/annotators").text
    page = client.get(address)
    assert page.status_code == 200
    assert "<h1>Ana</h1>" in page.text
    assert (
        client.get(address.replace(str(people.ana.id), str(people.project.id))).status_code == 404
    )
