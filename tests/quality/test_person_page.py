"""The people of a project and the page of one: a simulated crowd through the database."""

import csv
import io
from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.models import Role, User, UserKind
from app.projects.models import Project
from tests.crowds import Kind, crowd, store
from tests.factories import make_annotation, make_member, make_project, make_task, make_user
from tests.people import People

SignIn = Callable[[User], TestClient]
Api = Callable[[User], TestClient]
CROWD = [*[Kind.GOOD] * 7, Kind.LEFT, Kind.FAST, Kind.MINORITY]
LEFT, FAST, MINORITY = 7, 8, 9


@pytest.fixture
def project(session: Session, people: People) -> Project:
    project = make_project(session, "A crowd", by=people.ada)
    make_member(session, project, people.vic, Role.VIEWER)
    return project


@pytest.fixture
def users(session: Session, project: Project) -> list[User]:
    found = store(session, project, crowd(CROWD, seed=3, tasks=420))
    session.commit()
    return found


def test_planted_faults_come_first_and_through_the_api(
    session: Session, people: People, sign_in: SignIn, api: Api, project: Project, users: list[User]
):
    reply = api(people.ada).get(f"/api/v1/projects/{project.id}/annotators").json()
    rows = {row["user_id"]: row for row in reply["items"]}
    found = [
        {finding["kind"]: finding["level"] for finding in rows[str(user.id)]["findings"]}
        for user in users
    ]
    assert found[LEFT]["position"] == "bad"
    assert found[FAST]["speed"] == "bad"
    assert set(found[MINORITY].values()) <= {"info"}
    assert found[:LEFT] == [{}] * LEFT
    pace = rows[str(users[FAST].id)]["pace"]
    assert pace["below_reading_speed"]["value"] > 0.7 + pace["others"]

    browser = sign_in(people.vic)
    here = f"/projects/{project.id}/annotators"
    page = browser.get(here).text
    assert "2 of 10 people need a look" in page
    first = [page.index(f"{here}/{user.id}") for user in users]
    assert set(sorted(range(10), key=first.__getitem__)[:2]) == {LEFT, FAST}
    by_name = browser.get(here, params={"order": "name"}).text.split("<tbody>")[1]
    assert by_name.index(f"{here}/{users[0].id}") > by_name.index(f"{here}/{users[FAST].id}")

    hers = browser.get(f"{here}/{users[LEFT].id}")
    assert hers.status_code == 200
    assert "Picks the first shown in" in hers.text
    for chart in ("posterior", "weeks", "hours", "speed", "places"):
        section = hers.text.split(f'data-chart="{chart}"')[1].split("</section>")[0]
        assert "<table>" in section, chart
    assert "/review" not in hers.text.split('id="latest"')[1]  # a viewer may not review
    assert "/review" in sign_in(people.ada).get(f"{here}/{users[LEFT].id}").text

    one = api(people.ada).get(f"/api/v1/projects/{project.id}/annotators/{users[LEFT].id}").json()
    assert one["findings"] == rows[str(users[LEFT].id)]["findings"]
    assert sum(week["n_annotations"] for week in one["weeks"]) == one["n_annotations"]
    assert sum(hour["n_annotations"] for hour in one["by_hour"]) == one["n_annotations"]
    assert one["places"][0] > 3 * one["places"][1]
    together = sum(week["n"] * (week["peer_agreement"]["value"] or 0) for week in one["weeks"])
    assert together / one["peer_agreement"]["n"] == pytest.approx(one["peer_agreement"]["value"])


def test_the_table_leaves_as_csv(
    people: People, sign_in: SignIn, project: Project, users: list[User]
):
    reply = sign_in(people.vic).get(f"/projects/{project.id}/annotators.csv")
    assert reply.headers["content-type"].startswith("text/csv")
    rows = {
        row["user_id"]: row
        for row in csv.DictReader(io.StringIO(reply.text.removeprefix("\ufeff")))
    }
    assert len(rows) == len(CROWD)
    left = rows[str(users[LEFT].id)]
    assert float(left["position_bias"]) > 0.8
    assert "Picks the first shown" in left["findings"]
    assert rows[str(users[0].id)]["findings"] == ""


def test_one_annotator_alone_is_told_what_would_compare_her(
    session: Session, people: People, sign_in: SignIn
):
    task = make_task(session, people.project)
    make_annotation(session, task, people.ana, ranks=[1, 2])
    session.commit()
    browser = sign_in(people.ada)
    here = f"/projects/{people.project.id}/annotators"
    assert "Ana alone has judged here" in browser.get(here).text
    page = browser.get(f"{here}/{people.ana.id}").text
    assert "Nobody else has judged her tasks" in page
    assert "so few judgements tell little" in page
    assert "She has met no gold question" in page


def test_who_has_judged_nothing_has_a_page_that_says_so(
    session: Session, people: People, sign_in: SignIn, api: Api
):
    session.commit()
    here = f"/projects/{people.project.id}/annotators"
    for person in (people.ana, people.rui, people.vic):
        page = sign_in(people.ada).get(f"{here}/{person.id}")
        assert "She has judged nothing yet" in page.text
        assert "data-chart" not in page.text
    assert "Nobody has judged anything that counts" in sign_in(people.ada).get(here).text
    one = api(people.ada).get(f"/api/v1{here}/{people.ana.id}").json()
    assert one["weeks"] == []
    assert one["findings"] == []
    assert sign_in(people.ada).get(f"{here}/{people.sam.id}").status_code == 404


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (UserKind.IMPORTED, "came with imported data"),
        (UserKind.SIMULATED, "a model or a simulation, not a person"),
    ],
)
def test_who_is_no_person_here_is_introduced(
    session: Session, people: People, sign_in: SignIn, kind: UserKind, words: str
):
    judge = make_user(session, "Judge", kind=kind)
    make_member(session, people.project, judge, Role.ANNOTATOR)
    make_annotation(session, make_task(session, people.project), judge, ranks=[1, 2])
    session.commit()
    page = sign_in(people.ada).get(f"/projects/{people.project.id}/annotators/{judge.id}").text
    assert words in page


def test_an_unknown_order_says_which_there_are(session: Session, people: People, sign_in: SignIn):
    session.commit()
    reply = sign_in(people.ada).get(f"/projects/{people.project.id}/annotators?order=age")
    assert reply.status_code == 422
