"""The qualification as plain forms, and what admins see and set of it."""

import re

import pytest
from sqlalchemy import select

from app.accounts.models import AuditEvent, Role
from app.projects.models import Membership, Project
from app.tasks.models import Assignment, QualificationAttempt
from tests.factories import make_member, make_question, make_task, make_user
from tests.projects.test_pages import FORM


@pytest.fixture
def asks(session, project):
    project.qualification_size, project.qualification_pass = 2, 0.5
    for number in range(5):
        make_question(session, project, prompt=f"question {number}", explanation="Zero is *right*.")
    make_task(session, project, prompt="work", responses=["0", "1"], wanted=2)
    session.commit()
    return project


@pytest.fixture
def answer(session, asks, ana, sign_in):
    """Ana's browser answers the question that `rank` shows; the page she is led to."""
    browser = sign_in(ana)
    rank = f"/projects/{asks.id}/rank"

    def go(*, right=True, ask=True):
        if ask:
            browser.post(f"{rank}/next")
        page = browser.get(rank).text
        fields = dict(re.findall(r'name="(form_token|key|revision)" value="([^"]*)"', page))
        path = re.search(r'<form class="task[^>]*action="([^"]*)"', page, re.DOTALL)[1]
        row = session.get(Assignment, path.rsplit("/", 1)[1])
        zero = "AB"[row.display_order.index(0)]
        choice = zero if right else "AB".replace(zero, "")
        reply = browser.post(path, data=fields | {"choice": f"{choice}1"})
        assert reply.status_code == 303
        return browser.get(reply.headers["location"]).text

    go.browser, go.rank = browser, rank
    return go


def test_the_offer_says_what_comes_and_takes_no_question(session, asks, answer):
    for _ in range(2):
        page = answer.browser.get(answer.rank).text
        assert "You get 2 questions" in page
        assert "1 of 2 right answers pass" in page
        assert "You have 2 attempts" in page
    assert session.scalars(select(QualificationAttempt)).all() == []
    assert "qualification first" in answer.browser.get("/projects").text


@pytest.mark.usefixtures("asks")
def test_it_goes_from_question_to_feedback_to_the_result_without_javascript(answer):
    answer.browser.post(f"{answer.rank}/next")
    assert "Question 1 of 2" in answer.browser.get(answer.rank).text
    page = answer(right=False, ask=False)
    assert "That is not right" in page
    assert "Zero is <em>right</em>." in page
    assert re.search(r"<strong>([AB]) is better than ([AB])</strong>", page)
    assert "Next question" in page
    assert "Question 2 of 2 comes next" in answer.browser.get(answer.rank).text
    page = answer(right=True)
    assert "That is right" in page
    assert "See your result" in page
    page = answer.browser.get(f"{answer.rank}/qualification").text
    assert "You have passed" in page
    assert "1 of 2 answers were right; 1 was needed." in page
    assert "Start ranking" in page
    assert "Ready when you are" in answer.browser.get(answer.rank).text
    assert "qualification first" not in answer.browser.get("/projects").text


def test_the_same_form_sent_again_shows_the_feedback_and_another_answer_is_refused(
    session, asks, ana, sign_in
):
    browser, rank = sign_in(ana), f"/projects/{asks.id}/rank"
    browser.post(f"{rank}/next")
    page = browser.get(rank).text
    fields = dict(re.findall(r'name="(form_token|key|revision)" value="([^"]*)"', page))
    path = re.search(r'<form class="task[^>]*action="([^"]*)"', page, re.DOTALL)[1]
    for _ in range(2):
        reply = browser.post(path, data=fields | {"choice": "A1"})
        assert (reply.status_code, reply.headers["location"]) == (303, path)
    other = browser.post(path, data=fields | {"choice": "B1", "key": "other"})
    assert other.status_code == 409
    assert "you have seen what was right" in other.text.replace("\n", " ")
    assert "Next question" in other.text
    assert session.scalars(select(QualificationAttempt.answered)).one() == 1


def test_who_fails_reads_when_she_may_try_again_and_then_whom_to_ask(
    session, asks, ana, answer, clock
):
    asks.qualification_wait_hours = 1
    session.commit()
    for _ in range(2):
        page = answer(right=False)
    assert "See your result" in page
    page = answer.browser.get(answer.rank).text
    assert "Not passed this time" in page
    assert "You can try again from" in page
    assert page.count("not right") == 2
    clock.advance(hours=1)
    page = answer.browser.get(answer.rank).text
    assert "with 2 other questions" in page
    for _ in range(2):
        answer(right=False)
    assert "You have used all your attempts" in answer.browser.get(answer.rank).text
    session.get(Membership, (asks.id, ana.id)).attempts_granted = 3
    session.commit()
    page = answer.browser.get(answer.rank).text
    assert "not enough questions left that are new to you" in page


def test_a_set_without_enough_questions_is_said_to_everybody(
    session, project, ana, ada, vic, sign_in
):
    project.qualification_size = 4
    make_question(session, project)
    session.commit()
    page = sign_in(ana).get(f"/projects/{project.id}/rank")
    assert page.status_code == 200
    assert "There are not enough qualification questions yet" in page.text
    said = "The qualification has 1 question, and an attempt takes 4"
    for path in ("", "/annotators"):
        for user in (ada, vic):
            assert said in " ".join(sign_in(user).get(f"/projects/{project.id}{path}").text.split())
    page = sign_in(ada).get(f"/projects/{project.id}/settings").text
    assert "and an attempt takes 4: new annotators" in " ".join(page.split())


def test_nothing_is_said_of_it_where_nobody_is_asked(project, ana, ada, sign_in):
    assert "ualification" not in sign_in(ana).get(f"/projects/{project.id}/rank").text
    for path in ("", "/annotators", "/members"):
        assert "ualification" not in sign_in(ada).get(f"/projects/{project.id}{path}").text
    page = sign_in(ana).get(f"/projects/{project.id}/rank/qualification").text
    assert "This project asks nobody to qualify" in page


def test_a_paused_person_reads_of_the_pause(session, asks, ana, answer):
    session.get(Membership, (asks.id, ana.id)).paused_at = asks.created_at
    session.commit()
    assert "Your work here is paused" in answer.browser.get(answer.rank).text


def test_the_settings_are_saved_kept_and_noted(sign_in, ada, project, session):
    browser, path = sign_in(ada), f"/projects/{project.id}/settings"
    given = {
        "qualification_size": "8",
        "qualification_percent": "75",
        "qualification_attempts": "3",
        "qualification_wait_hours": "0",
    }
    assert browser.post(path, data=FORM | given).status_code == 303
    session.refresh(project)
    assert (project.qualification_size, project.qualification_pass) == (8, 0.75)
    assert (project.qualification_attempts, project.qualification_wait_hours) == (3, 0)
    page = browser.get(path).text
    for name, value in given.items():
        assert re.search(rf'name="{name}"[^>]*value="{value}"', page)
    noted = session.scalars(select(AuditEvent).where(AuditEvent.action == "project.update")).one()
    assert noted.details["qualification_size"] == 8
    refused = browser.post(path, data=FORM | {"qualification_attempts": "0"})
    assert refused.status_code == 422


def test_the_api_makes_and_changes_it_part_by_part(api, ada, session):
    client = api(ada)
    body = {"name": "New", "qualification": {"size": 5, "pass_mark": 1, "wait_hours": 2}}
    made = client.post("/api/v1/projects", json=body).json()
    expected = {"size": 5, "pass_mark": 1, "attempts": 2, "wait_hours": 2}
    assert made["qualification"] == expected
    path = f"/api/v1/projects/{made['id']}"
    changed = client.patch(path, json={"qualification": {"attempts": 4}}).json()
    assert changed["qualification"] == expected | {"attempts": 4}
    assert client.get(path).json()["guidelines_version"] == 1  # the meaning stays
    for wrong in ({"size": -1}, {"pass_mark": 0}, {"attempts": 0}, {"wait_hours": -1}, {"x": 1}):
        assert client.patch(path, json={"qualification": wrong}).status_code == 422
    assert session.get(Project, made["id"]).qualification_size == 5


def test_admins_see_how_far_everybody_is_and_what_they_can_do(
    session, asks, ana, ada, vic, sign_in, answer
):
    def page(user=ada):
        return " ".join(sign_in(user).get(f"/projects/{asks.id}/annotators").text.split())

    passed = make_user(session, "Passed")
    make_member(session, asks, passed, Role.ANNOTATOR, qualified_at=asks.created_at)
    session.commit()
    assert "not begun" in page()
    answer(right=False)
    assert "in qualification" in page()
    assert "1 of 2 answered, 0 right" in page()
    answer(right=False)
    assert "not passed" in page()
    assert "0 of 2 right, 1 needed" in page()
    for words in ("Let in without", "Allow another attempt", "Ask again"):
        assert words in page()
        assert words not in page(vic)
    decide = f"/projects/{asks.id}/members/{ana.id}/qualification"
    sign_in(ada).post(decide, data={"decision": "allow"})
    assert "may try again" in page()
    assert "Allow another attempt" not in page()
    members = sign_in(ada).get(f"/projects/{asks.id}/members").text
    assert members.count("to qualify") == 1
    assert sign_in(ada).post(decide, data={"decision": "bless"}).status_code == 422
