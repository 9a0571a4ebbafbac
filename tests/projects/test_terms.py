"""What a member may judge and how much: set over the API and on the pages, audited."""

import json

import pytest
from sqlalchemy import select

from app.accounts.models import AuditEvent
from app.projects.models import Membership
from app.tasks.models import TaskLane
from tests.factories import make_task

TERMS = {
    "expertise": ["Law", "tax  law"],
    "languages": ["de-AT", "EN"],
    "daily_limit": 20,
    "total_limit": 300,
}
KEPT = TERMS | {"expertise": ["law", "tax law"], "languages": ["de", "en"]}


def put(client, project, user, **body):
    path = f"/api/v1/projects/{project.id}/members/{user.email}"
    return client.put(path, json={"role": "annotator", **body})


def audited(session, action):
    asked = select(AuditEvent).where(AuditEvent.action == action).order_by(AuditEvent.id)
    return session.scalars(asked).all()


def test_a_language_is_a_word_wherever_it_is_said(api, ada, ana, project):
    reply = put(api(ada), project, ana, languages=["not a tag!"])
    assert reply.status_code == 422
    assert "“not a tag!” is no language: write a tag like “de”" in reply.json()["detail"]


def test_the_api_sets_what_is_named_and_leaves_the_rest(api, ada, ana, project, session):
    program = api(ada)
    body = put(program, project, ana, **TERMS).json()
    assert {name: body[name] for name in KEPT} == KEPT
    body = put(program, project, ana).json()
    assert {name: body[name] for name in KEPT} == KEPT
    body = put(program, project, ana, daily_limit=None, languages=[]).json()
    assert (body["daily_limit"], body["total_limit"], body["languages"]) == (None, 300, [])
    changes = [each.details for each in audited(session, "project.member.terms")]
    assert changes == [KEPT, {"daily_limit": None, "languages": []}]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"expertise": ["a, b"]}, "without a comma"),
        ({"languages": ["x" * 41]}, "up to 40 characters"),
        ({"daily_limit": 0}, "greater than or equal to 1"),
        ({"expertise": ["n\0"]}, "NUL"),
    ],
)
def test_what_makes_no_sense_is_refused(api, ada, ana, project, session, body, says):
    reply = put(api(ada), project, ana, **body)
    assert reply.status_code == 422
    assert says in reply.text
    membership = session.get(Membership, (project.id, ana.id))
    assert (membership.expertise, membership.languages) == ([], [])


def test_half_of_a_surrogate_pair_is_refused(api, ada, ana, project):
    path = f"/api/v1/projects/{project.id}/members/{ana.email}"
    body = json.dumps({"role": "annotator", "languages": ["n\ud800"]})  # as ASCII, escaped
    reply = api(ada).put(path, content=body, headers={"Content-Type": "application/json"})
    assert (reply.status_code, "surrogate" in reply.text) == (422, True)


def test_the_page_of_a_member_shows_and_saves_them(sign_in, ada, ana, project, session):
    browser = sign_in(ada)
    path = f"/projects/{project.id}/members/{ana.id}"
    form = {"expertise": "Law, tax law, ", "languages": "de", "daily_limit": "5", "total_limit": ""}
    assert browser.post(path, data=form).status_code == 303
    membership = session.get(Membership, (project.id, ana.id))
    session.refresh(membership)
    assert (membership.expertise, membership.languages) == (["law", "tax law"], ["de"])
    assert (membership.daily_limit, membership.total_limit) == (5, None)
    assert 'value="law, tax law"' in browser.get(path).text
    members = browser.get(f"/projects/{project.id}/members").text
    assert "tax law" in members
    assert "5 a day" in members

    refused = browser.post(path, data=form | {"expertise": "x" * 50})
    assert refused.status_code == 422
    assert "is no tag of expertise" in refused.text
    assert "x" * 50 in refused.text  # what she typed stays


def test_limits_of_a_project_come_and_go(api, ada, project, session):
    program = api(ada)
    path = f"/api/v1/projects/{project.id}"
    limits = {"daily_limit": 200, "total_limit": 5000, "largest_share": 30, "repeat_rate": 0.05}
    body = program.patch(path, json=limits).json()
    assert {name: body[name] for name in limits} == limits
    body = program.patch(path, json={"daily_limit": None, "name": "New name"}).json()
    assert (body["daily_limit"], body["total_limit"]) == (None, 5000)
    assert program.patch(path, json={"largest_share": 101}).status_code == 422
    assert program.patch(path, json={"repeat_rate": 0.3}).status_code == 422
    changes = [each.details for each in audited(session, "project.update")]
    said = [{key: value for key, value in each.items() if "was" not in key} for each in changes]
    assert said == [limits, {"daily_limit": None, "name": "New name"}]


def test_the_settings_form_sets_limits_and_empty_fields_take_them_away(
    sign_in, ada, project, session
):
    browser = sign_in(ada)
    path = f"/projects/{project.id}/settings"
    form = {"name": project.name, "daily_limit": "50", "largest_share": "40"}
    form |= {"total_limit": "", "repeat_percent": "4"}
    assert browser.post(path, data=form).status_code == 303
    session.refresh(project)
    assert (project.daily_limit, project.total_limit, project.largest_share) == (50, None, 40)
    assert project.repeat_rate == 0.04
    assert 'name="daily_limit" type="number" min="1" max="1000000" value="50"' in (
        browser.get(path).text
    )
    browser.post(path, data=form | {"daily_limit": "", "largest_share": ""})
    session.refresh(project)
    assert (project.daily_limit, project.largest_share) == (None, None)


def test_a_new_project_starts_with_a_few_repeats_in_the_form_and_none_in_the_api(sign_in, api, ada):
    assert 'name="repeat_percent" type="number" min="0" max="20" required value="3"' in (
        sign_in(ada).get("/projects/new").text
    )
    made = api(ada).post("/api/v1/projects", json={"name": "Bare"}).json()
    assert (made["repeat_rate"], made["daily_limit"], made["largest_share"]) == (0, None, None)


def test_the_admins_pages_say_what_nobody_may_judge(sign_in, ada, rui, project, people, session):
    for number in range(3):
        make_task(session, project, prompt=f"p{number}", lane='["", "law"]')
    session.add(TaskLane(project_id=project.id, key='["", "law"]', language="", expertise=["law"]))
    session.commit()
    said = "Nobody here may judge some of the open tasks"
    browser = sign_in(ada)
    for path in ("", "/data", "/members"):
        page = browser.get(f"/projects/{project.id}{path}").text
        assert said in page
        assert "3 tasks: expertise <strong>law</strong>" in " ".join(page.split())
        assert f"/projects/{project.id}/members" in page
    assert "until an admin" in sign_in(rui).get(f"/projects/{project.id}/data").text
    browser.post(f"/projects/{project.id}/members/{people.ana.id}", data={"expertise": "law"})
    for path in ("", "/data", "/members"):
        assert said not in browser.get(f"/projects/{project.id}{path}").text
