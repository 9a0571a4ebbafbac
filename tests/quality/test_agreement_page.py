"""The page of agreement: what it says, where it leads, and what leaves it as CSV."""

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.models import Role, User
from app.quality.service import summary
from tests.factories import make_annotation, make_member, make_prompt, make_task, make_user
from tests.people import People

SignIn = Callable[[User], TestClient]
FIRST, SECOND = [1, 2], [2, 1]
MONDAY = datetime(2026, 11, 2, 12, tzinfo=UTC)
WAYS = ("week", "day", "source", "tag", "guidelines_version", "group", "annotator_pair")


def judged(session: Session, people: People, *, weeks: int = 2) -> None:
    """Twelve tasks each week; Ana and Rui agree in the first and differ in the others."""
    for place in range(12 * weeks):
        week = place // 12
        prompt = make_prompt(
            session, people.project, f"Question {place}", source="forum", tags=["cooking"]
        )
        task = make_task(session, people.project, prompt=prompt, wanted=2)
        at = MONDAY + timedelta(weeks=week, minutes=place)
        sign = FIRST if place % 2 else SECOND
        make_annotation(session, task, people.ana, ranks=sign, submitted_at=at)
        other = sign if week == 0 else sign[::-1]
        make_annotation(session, task, people.rui, ranks=other, submitted_at=at)
    session.commit()


def data_of(page: str, chart: str) -> dict:
    block = re.search(rf'data-chart-data="{chart}">(.*?)</script>', page, re.DOTALL)
    assert block, f"no data for the chart {chart}"
    return json.loads(block[1])


@pytest.fixture
def address(people: People) -> str:
    return f"/projects/{people.project.id}/agreement"


def test_a_fall_is_seen_by_week_and_leads_to_the_days(
    session: Session, people: People, sign_in: SignIn, address: str
):
    judged(session, people)
    page = sign_in(people.vic).get(address).text
    chart = data_of(page, "parts")
    assert [(row["label"], row["value"]) for row in chart["rows"]] == [
        ("2026-W45", 1.0),
        ("2026-W46", 0.0),
    ]
    assert chart["band"] == [0.63, 0.8]
    assert chart["chance"] == 0.5
    assert chart["inTime"]
    assert 'href="?by=day&amp;figure=percent_agreement_no_ties#parts">2026-W46</a>' in page
    days = data_of(sign_in(people.vic).get(f"{address}?by=day").text, "parts")
    assert [row["label"] for row in days["rows"]] == ["2026-11-02", "2026-11-09"]


def test_every_way_has_a_chart_and_a_table_and_leads_to_what_explains_it(
    session: Session, people: People, sign_in: SignIn, address: str
):
    for number in range(5):
        user = make_user(session, f"Person {number}")
        user.preferences = {"demographics": {"first language": "en"}}
        make_member(session, people.project, user, Role.ANNOTATOR)
        task = make_task(session, people.project, prompt=f"Other {number}", wanted=2)
        make_annotation(session, task, user, ranks=FIRST)
        make_annotation(session, task, people.ana, ranks=FIRST)
    judged(session, people, weeks=1)
    client, here = sign_in(people.ada), f"/projects/{people.project.id}"
    links = {
        "source": f'href="{here}/data?search=forum"',
        "tag": f'href="{here}/data?search=cooking"',
        "guidelines_version": f'href="{here}/guidelines?version=1"',
        "group": f'href="{here}/annotators"',
        "annotator_pair": f'href="{here}/annotators/{people.rui.id}"',
    }
    for way in WAYS:
        page = client.get(f"{address}?by={way}").text
        part = page.split('id="parts"')[1]
        assert "<tbody>" in part, way
        assert links.get(way, "") in part, way
        if way != "group":  # who judged the same was in no group
            assert data_of(page, "parts")["rows"], way
    matrix = data_of(client.get(f"{address}?by=annotator_pair").text, "matrix")
    assert len(matrix["names"]) == 7
    ana, rui = matrix["names"].index("Ana"), matrix["names"].index("Rui")
    assert matrix["values"][ana][rui] == matrix["values"][rui][ana] == 1
    assert matrix["tasks"][ana][rui] == 12


def test_pairs_with_few_tasks_in_common_come_last(
    session: Session, people: People, sign_in: SignIn, address: str
):
    judged(session, people, weeks=1)  # Ana and Rui, twelve tasks, always the same
    task = make_task(session, people.project, prompt="One more", wanted=2)
    for user, ranks in ((people.ana, FIRST), (people.ada, SECOND)):
        make_annotation(session, task, user, ranks=ranks)
    session.commit()
    page = sign_in(people.ada).get(f"{address}?by=annotator_pair").text
    rows = data_of(page, "parts")["rows"]
    assert [({*row["names"]}, row["value"]) for row in rows] == [
        ({"Ana", "Rui"}, 1),
        ({"Ana", "Ada"}, 0),
    ]


def test_what_is_not_defined_says_why(
    session: Session, people: People, sign_in: SignIn, address: str
):
    judged(session, people, weeks=1)
    page = sign_in(people.ada).get(f"{address}?figure=fleiss_kappa&field=strength").text
    assert "Not defined for any of them: There is no judgement yet." in page
    assert "Only rankings have it." in page
    alone = make_task(session, people.project, prompt="Judged once")
    make_annotation(session, alone, people.ana, ranks=FIRST)
    session.commit()
    page = sign_in(people.ada).get(address).text
    assert "needs the same number of judgements everywhere, and here are 1 to 2" in page


def test_a_criterion_is_a_field_and_an_unknown_one_is_not_there(
    session: Session, people: People, sign_in: SignIn, address: str
):
    people.project.criteria = [{"key": "kind", "label": "Kindness", "min": 1, "max": 5}]
    for number in range(10):
        task = make_task(session, people.project, prompt=f"Question {number}", wanted=2)
        for user, value in ((people.ana, 1 + number % 5), (people.rui, 1 + max(number, 1) % 5)):
            make_annotation(session, task, user, ranks=FIRST, ratings={"kind": [value, 3]})
    session.commit()
    client = sign_in(people.ada)
    page = client.get(f"{address}?field=criterion:kind&by=annotator_pair").text
    (row,) = data_of(page, "parts")["rows"]
    assert row["label"] in ("Ana and Rui", "Rui and Ana")
    assert 0 < row["low"] < row["value"] < 1
    assert 'data-chart="fields"' not in page  # one alone is no comparison: the ranking has no alpha
    assert client.get(f"{address}?field=criterion:cruel").status_code == 404
    assert client.get(f"{address}?by=moon").status_code == 422


def test_the_table_leaves_as_csv_with_every_figure(
    session: Session, people: People, sign_in: SignIn, address: str
):
    judged(session, people)
    client = sign_in(people.vic)
    link = re.search(r'href="([^"]+agreement\.csv[^"]+)"', client.get(address).text)
    assert link
    reply = client.get(link[1].replace("&amp;", "&"))
    assert 'filename="agreement-ranking-by-week.csv"' in reply.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(reply.text.lstrip("\ufeff"))))
    assert [row["part"] for row in rows] == ["all", "2026-W45", "2026-W46"]
    assert [row["percent_agreement_no_ties"] for row in rows] == ["0.5", "1.0", "0.0"]
    assert rows[0]["n_shared_tasks"] == "24"
    assert float(rows[0]["cohen_kappa_low"]) < 0 < float(rows[0]["cohen_kappa_high"])


def test_nothing_judged_and_one_annotator_are_no_error(
    session: Session, people: People, sign_in: SignIn, address: str
):
    session.commit()
    client = sign_in(people.ada)
    assert "Nothing has been judged yet" in client.get(address).text
    task = make_task(session, people.project)
    make_annotation(session, task, people.ana, ranks=FIRST)
    session.commit()
    for way in WAYS:
        page = client.get(f"{address}?by={way}")
        assert page.status_code == 200
        assert "No task has been judged by two people yet." in page.text
    pairs = client.get(f"{address}?by=annotator_pair").text
    assert "no two people have judged the same task" in pairs
    assert "nobody can be recognised" in client.get(f"{address}?by=group").text


def test_a_large_project_says_that_its_figures_are_coming(
    session: Session, people: People, sign_in: SignIn, address: str, monkeypatch: pytest.MonkeyPatch
):
    judged(session, people, weeks=1)
    monkeypatch.setattr(summary, "INLINE", 1)
    client = sign_in(people.ada)
    assert "The figures are being computed" in client.get(address).text
    summary.recompute(session, project=people.project)
    session.commit()
    assert "These parts are being computed" in client.get(address).text
