"""The overview, a day and their tables: the same numbers on the page, as CSV and as JSON."""

import csv
import io
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.models import User
from app.annotation.models import Annotation
from app.db import database_now
from app.projects.models import Membership, Standing
from app.quality.service import summary
from app.tasks.models import Assignment, AssignmentState, SkipReason
from tests.factories import make_annotation, make_task
from tests.people import People
from tests.quality.planted import Planted, plant

SignIn = Callable[[User], TestClient]


@pytest.fixture
def planted(session: Session) -> Planted:
    return plant(session, cost_per_hour=18.0, currency="EUR")


def table_of(reply: object) -> list[dict[str, str]]:
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(reply.text.removeprefix("\ufeff"))))


def test_the_careless_tuesday_is_told_apart(planted: Planted, sign_in: SignIn):
    ada = sign_in(planted.ada)
    told = ada.get(f"/api/v1/projects/{planted.project.id}/dashboard").json()
    low = [day["day"] for day in told["days"] if day["is_low"]]
    assert low == [planted.tuesday.isoformat()]
    assert [event["version"] for event in told["events"]] == [2]
    page = ada.get(f"/projects/{planted.project.id}").text
    assert f"What happened on Tuesday, {planted.tuesday.day}" in page
    assert "Something was changed shortly before" in page


def test_a_day_is_taken_apart_into_people_tasks_and_guidelines(planted: Planted, sign_in: SignIn):
    ada = sign_in(planted.ada)
    path = f"/api/v1/projects/{planted.project.id}/days/{planted.tuesday}"
    day = ada.get(path).json()
    assert day["n_annotations"] == 162
    assert day["n_shared_tasks"] == 54
    assert day["change"]["is_clear"]
    assert day["agreement"]["value"] < day["usual"]
    first = day["people"][0]
    assert first["name"] == "Bea"
    assert first["change"]["high"] < 0
    assert not any(each["change"]["high"] < 0 for each in day["people"][1:])
    assert first["without"] > day["agreement"]["value"]
    assert day["sentences"][1].startswith("Most of it comes from Bea")
    assert day["sentences"][2] == "Version 2 of the guidelines was published the day before."
    assert {task["task_id"] for task in day["tasks"]} <= set(
        map(str, planted.tasks[planted.tuesday])
    )
    assert day["in_force"] == 2
    assert [version["version"] for version in day["versions"]] == [2]
    assert {(part["kind"], part["name"]) for part in day["parts"]} == {
        ("source", "forum"),
        ("source", "desk"),
        ("tag", "law"),
    }
    assert day["events"][0]["what"] == "Version 2 of the guidelines was published."
    assert day["previous"] == (planted.tuesday - timedelta(days=1)).isoformat()


def test_an_ordinary_day_accuses_nobody(planted: Planted, sign_in: SignIn):
    day = planted.days[2]
    told = sign_in(planted.ada).get(f"/api/v1/projects/{planted.project.id}/days/{day}").json()
    assert "clearly less" not in told["sentences"][0]
    assert not any(each["change"]["is_clear"] for each in told["people"])
    assert told["events"] == []


def test_a_standing_that_gold_changed_is_an_event_of_its_day(
    session: Session, people: People, sign_in: SignIn
):
    day = database_now(session).replace(hour=12, minute=0) - timedelta(days=3)
    for number in range(16):
        question = make_task(session, people.project, prompt=f"Question {number}", prefers=[[0, 1]])
        is_right = number < 4
        make_annotation(
            session,
            question,
            people.ana,
            ranks=[1, 2] if is_right else [2, 1],
            gold_passed=is_right,
            submitted_at=day + timedelta(minutes=number, days=0 if is_right else 1),
        )
    session.commit()
    ada = sign_in(people.ada)
    base = f"/api/v1/projects/{people.project.id}/days"
    told = [ada.get(f"{base}/{day.date() + timedelta(days=later)}").json() for later in (0, 1)]
    assert told[0]["events"] == []
    events = told[1]["events"]
    assert [event["what"] for event in events] == [
        "Ana fell below the bar of gold answers: 4 of 11 so far are right.",
        "Ana came close to the bar of gold answers: 4 of 9 so far are right.",
    ]
    assert {event["user_id"] for event in events} == {str(people.ana.id)}
    assert [event["at"][11:16] for event in events] == ["12:10", "12:08"]
    later = f"{base}/{day.date() + timedelta(days=3)}"  # the two days before a day are told as well
    assert ada.get(later).json()["events"] == events


def test_days_without_work_say_so(people: People, sign_in: SignIn):
    ada = sign_in(people.ada)
    base = f"/projects/{people.project.id}/days"
    page = ada.get(f"{base}/2020-02-29")
    assert page.status_code == 200
    assert "Nothing was judged on this day" in page.text
    assert ada.get(f"{base}/2020-02-30").status_code == 404
    assert ada.get(f"{base}/9999-12-31").status_code == 404
    assert ada.get(f"{base}/0001-01-01").status_code == 404


def test_the_tables_leave_as_csv_with_the_numbers_of_the_api(planted: Planted, sign_in: SignIn):
    ada = sign_in(planted.ada)
    base = f"/projects/{planted.project.id}"
    told = ada.get(f"/api/v1{base}/dashboard").json()
    days = table_of(ada.get(f"{base}/days.csv"))
    assert [row["day"] for row in days] == [day["day"] for day in told["days"]]
    assert [float(row["agreement"]) for row in days] == [
        day["agreement"]["value"] for day in told["days"]
    ]
    day = ada.get(f"/api/v1{base}/days/{planted.tuesday}").json()
    people = table_of(ada.get(f"{base}/days/{planted.tuesday}.csv"))
    assert [(row["name"], float(row["agreement"])) for row in people] == [
        (each["name"], each["agreement"]["value"]) for each in day["people"]
    ]
    tasks = table_of(ada.get(f"{base}/days/{planted.tuesday}/tasks.csv"))
    assert [row["task_id"] for row in tasks] == [each["task_id"] for each in day["tasks"]]
    cost = table_of(ada.get(f"{base}/overview/cost.csv"))
    assert float(cost[-2]["cost"]) == told["cost"]["total"]
    plans = table_of(ada.get(f"{base}/overview/forecast.csv"))
    assert [row["plan"] for row in plans] == ["as it is", "one more judgement per task"]
    assert {row["field"] for row in table_of(ada.get(f"{base}/overview/fields.csv"))} >= {"ranking"}
    assert len(table_of(ada.get(f"{base}/overview/disputed.csv"))) == len(told["disputed"])
    assert table_of(ada.get(f"{base}/overview/people.csv"))[0]["name"] == "Bea"
    assert ada.get(f"{base}/overview/everything.csv").status_code == 404


def test_cost_by_the_hour_and_what_it_is_spent_on(planted: Planted, sign_in: SignIn):
    told = sign_in(planted.ada).get(f"/api/v1/projects/{planted.project.id}/dashboard").json()
    cost, judgements = told["cost"], len(planted.days) * 162
    assert cost["judgements"] == judgements
    assert cost["minutes"] == pytest.approx(judgements * 40 / 60, abs=0.01)
    assert cost["total"] == pytest.approx(judgements * 40 / 3600 * 18)
    assert cost["per_usable"] == pytest.approx(cost["total"] / cost["usable"], rel=1e-5)
    assert cost["usable"] == cost["pairs"] == len(planted.days) * 54
    assert [(part["name"], part["judgements"]) for part in cost["parts"]] == [
        ("overlap", judgements * 2 // 3),
        ("first", judgements // 3),
    ]


def test_gold_repeats_surplus_and_skips_cost_and_make_no_comparison(
    session: Session, people: People, sign_in: SignIn
):
    people.project.cost_per_judgement, people.project.currency = 0.5, "EUR"
    task = make_task(session, people.project, wanted=2)
    make_annotation(session, task, people.ana, ranks=[1, 2], active_ms=60_000)
    make_annotation(session, task, people.rui, ranks=[1, 2], active_ms=60_000)
    make_annotation(session, task, people.ana, ranks=[1, 2], is_repeat=True, active_ms=60_000)
    late = make_annotation(session, task, people.ada, ranks=[1, 2], active_ms=60_000)
    late.counted = False
    gold = make_task(session, people.project, prefers=[[0, 1]])
    make_annotation(session, gold, people.ana, ranks=[1, 2], gold_passed=True, active_ms=60_000)
    other = make_task(session, people.project, prompt="Skipped")
    skipped = make_annotation(session, other, people.ana, ranks=[1, 2]).assignment_id
    row = session.query(Annotation).filter_by(assignment_id=skipped).one()
    session.delete(row)
    assignment = session.get_one(Assignment, skipped)
    assignment.state, assignment.skip_reason = AssignmentState.SKIPPED, SkipReason.UNCLEAR
    imported = make_task(session, people.project, prompt="Imported")
    make_annotation(session, imported, people.vic, ranks=[1, 2], wall_ms=None)
    session.commit()
    cost = sign_in(people.ada).get(f"/api/v1/projects/{people.project.id}/dashboard").json()["cost"]
    parts = {part["name"]: (part["judgements"], part["cost"]) for part in cost["parts"]}
    assert parts == {
        "first": (1, 0.5),
        "overlap": (1, 0.5),
        "repeats": (1, 0.5),
        "surplus": (1, 0.5),
        "gold": (1, 0.5),
        "skipped": (1, 0.0),
    }
    assert cost["total"] == 2.5
    assert cost["usable"] == 2  # the imported one needs no money, and is a comparison


def test_people_who_fail_gold_make_no_comparison_usable(
    session: Session, people: People, sign_in: SignIn
):
    for number in range(3):
        task = make_task(session, people.project, prompt=f"Task {number}", wanted=1)
        make_annotation(session, task, people.rui if number else people.ana, ranks=[1, 2])
    member = session.get_one(Membership, (people.project.id, people.ana.id))
    member.gold_seen, member.gold_passed, member.standing = 10, 1, Standing.FAILED
    session.commit()
    cost = sign_in(people.ada).get(f"/api/v1/projects/{people.project.id}/dashboard").json()["cost"]
    assert (cost["usable"], cost["pairs"], cost["judgements"]) == (2, 3, 3)


def test_the_forecast_follows_the_days_with_work(
    planted: Planted, session: Session, sign_in: SignIn
):
    for number in range(60):
        make_task(session, planted.project, prompt=f"Open {number}", wanted=3)
    session.commit()
    told = sign_in(planted.ada).get(f"/api/v1/projects/{planted.project.id}/dashboard").json()
    plan = told["forecast"]["now"]
    assert told["forecast"]["per_day"] == 162
    assert plan["left"] == 180
    assert plan["working_days"] == pytest.approx(180 / 162)
    assert plan["cost"] == pytest.approx(180 * 40 / 3600 * 18)
    raised = told["forecast"]["raised"]
    assert raised["left"] == 180 + 60 + len(planted.days) * 54
    assert raised["done_on"] > plan["done_on"]


def test_one_annotator_one_judgement_is_not_known_and_says_what_to_do(
    session: Session, people: People, sign_in: SignIn
):
    task = make_task(session, people.project, wanted=1)
    make_annotation(session, task, people.ana, ranks=[1, 2])
    session.commit()
    ada = sign_in(people.ada)
    page = ada.get(f"/projects/{people.project.id}").text
    assert "Not known yet" in page
    assert "Set the overlap of the project to two or more" in page
    assert "so there is nothing to compare" in page
    assert "Not known: no task has been judged by two people." in page
    day = re.search(r"/days/(\d{4}-\d\d-\d\d)\"", page)[1]
    one = ada.get(f"/projects/{people.project.id}/days/{day}").text
    assert "is not defined" in one


def test_an_annotator_learns_neither_price_nor_overview(
    people: People, session: Session, sign_in: SignIn
):
    people.project.cost_per_hour, people.project.cost_per_judgement = 18.0, 0.5
    session.commit()
    ana, path = sign_in(people.ana), f"/projects/{people.project.id}"
    told = ana.get(f"/api/v1{path}").json()
    assert (told["cost_per_hour"], told["cost_per_judgement"]) == (None, None)
    assert ana.get(f"/api/v1{path}/dashboard").status_code == 403
    assert ana.get(f"{path}/days/2026-11-24").status_code == 403
    assert sign_in(people.vic).get(f"/api/v1{path}").json()["cost_per_hour"] == 18.0


def test_prices_are_set_reviewed_and_taken_away(people: People, session: Session, sign_in: SignIn):
    ada = sign_in(people.ada)
    path = f"/projects/{people.project.id}/settings"
    form = {"name": people.project.name, "cost_per_hour": "18,50", "currency": " EUR "}
    review = ada.post(f"{path}/review", data=form).text
    assert "Pay per hour" in review
    assert "nothing is paid by it" in review
    assert ada.post(path, data=form).status_code == 303
    session.refresh(people.project)
    assert (people.project.cost_per_hour, people.project.currency) == (18.5, "EUR")
    assert 'value="18.5"' in ada.get(path).text
    ada.post(path, data=form | {"cost_per_hour": ""})
    session.refresh(people.project)
    assert people.project.cost_per_hour is None
    api = f"/api/v1/projects/{people.project.id}"
    assert ada.patch(api, json={"cost_per_judgement": 0.35}).json()["cost_per_judgement"] == 0.35
    assert ada.patch(api, json={"name": "Other"}).json()["cost_per_judgement"] == 0.35
    assert ada.patch(api, json={"cost_per_judgement": None}).json()["cost_per_judgement"] is None
    assert ada.patch(api, json={"cost_per_hour": -1}).status_code == 422


def test_a_new_day_brings_new_figures(people: People, session: Session, sign_in: SignIn):
    task = make_task(session, people.project, wanted=2)
    make_annotation(session, task, people.ana, ranks=[1, 2])
    session.commit()
    told = sign_in(people.ada).get(f"/api/v1/projects/{people.project.id}/dashboard").json()
    assert told["now"]["today"]["n_annotations"] == 1
    assert told["is_current"] is True


def test_a_large_project_shows_a_day_before_what_is_usual_is_known(
    people: People, session: Session, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(summary, "INLINE", 1)
    task = make_task(session, people.project, wanted=2)
    made = make_annotation(session, task, people.ana, ranks=[1, 2])
    make_annotation(session, task, people.rui, ranks=[1, 2])
    session.commit()
    day = made.submitted_at.date()
    page = sign_in(people.ada).get(f"/projects/{people.project.id}/days/{day}").text
    assert "What is usual is being computed" in page
    assert "in 100 % of decisive comparisons. There are no other days" in page


def test_figures_of_yesterday_are_not_called_todays(
    people: People, session: Session, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
):
    yesterday = database_now(session) - timedelta(days=1)
    for number in range(40):
        task = make_task(session, people.project, prompt=f"Task {number}", wanted=2)
        make_annotation(session, task, people.ana, ranks=[1, 2], submitted_at=yesterday)
        make_annotation(session, task, people.rui, ranks=[1, 2], submitted_at=yesterday)
    session.flush()
    with monkeypatch.context() as patch:
        for module in (summary, summary.queries):
            patch.setattr(module, "database_now", lambda _: yesterday)
        summary.recompute(session, project=people.project)
    session.commit()
    monkeypatch.setattr(summary, "INLINE", 1)
    page = sign_in(people.ada).get(f"/projects/{people.project.id}").text
    assert f"judgements on {yesterday.day} {yesterday:%B}" in page
    assert "of decisive comparisons today" not in page
    assert "newer figures are being computed" in page
