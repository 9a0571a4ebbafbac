"""The pages where Ada makes a project, changes it, and takes people in."""

import re

import pytest

from app.accounts.models import Role
from app.projects import queries
from app.projects.models import Project
from tests.factories import make_annotation, make_question, make_task

FORM = {
    "name": "Support answers",
    "allow_ties": "true",
    "strength_levels": "3",
    "criteria": "Helpfulness: 1-7\nTone",
    "overlap_min": "2",
    "overlap_max": "2",
    "gold_percent": "15",
    "gold_threshold_percent": "70",
    "lease_minutes": "20",
    "guidelines": "# Rules\n\nBe fair.",
}


def test_ada_makes_a_project_and_goes_on_to_its_data(sign_in, ada, session):
    reply = sign_in(ada).post("/projects/new", data=FORM)

    assert reply.status_code == 303
    assert reply.headers["location"].endswith("/data")
    project = session.query(Project).filter_by(name="Support answers").one()
    assert project.gold_rate == 0.15
    assert [c["key"] for c in project.criteria] == ["helpfulness", "tone"]
    assert (project.criteria[0]["max"], project.criteria[1]["max"]) == (7, 5)
    assert queries.guidelines_of(session, project=project).text == "# Rules\n\nBe fair."


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": ""}, "at least 1 character"),
        ({"name": "kitchen HELP"}, "already a project called"),
        ({"criteria": "Tone: nice"}, "is no criterion"),
        ({"criteria": "Tone: 5-1"}, "min that is below its max"),
    ],
)
def test_what_does_not_work_is_said_and_her_text_stays(sign_in, ada, project, change, sentence):
    reply = sign_in(ada).post("/projects/new", data=FORM | change)

    assert reply.status_code in {409, 422}
    assert sentence in reply.text
    assert "Be fair." in reply.text


def from_file(browser, text, **fields):
    return browser.post(
        "/projects/new/file", data=fields, files={"file": ("settings.json", text.encode())}
    )


def test_a_project_is_made_anew_from_the_settings_of_another(sign_in, api, ada, project, session):
    project.criteria = [{"key": "tone", "label": "Tone", "min": 1, "max": 7}]
    project.gold_rate = 0.2
    browser = sign_in(ada)
    edit = f"/projects/{project.id}/guidelines/edit"
    browser.post(edit, data={"text": "# Second\n\nBe fair.", "version": "1", "note": "Fairness"})
    assert (
        f"/api/v1/projects/{project.id}/settings"
        in browser.get(f"/projects/{project.id}/settings").text
    )
    file = api(ada).get(f"/api/v1/projects/{project.id}/settings").text

    reply = from_file(browser, file, name=" Kitchen help, May ")

    assert reply.status_code == 303
    made = session.query(Project).filter_by(name="Kitchen help, May").one()
    assert reply.headers["location"].endswith(f"/projects/{made.id}/data")
    assert (made.criteria, made.gold_rate) == (project.criteria, 0.2)
    versions = queries.guidelines_versions(session, project=made)
    assert [each.note for each in versions] == ["Fairness", ""]
    assert versions[0].text == "# Second\n\nBe fair."


def test_the_file_may_be_toml_and_bring_the_name(sign_in, ada, session):
    reply = from_file(sign_in(ada), 'name = "From TOML"\n[overlap]\nmin = 3\n')

    assert reply.status_code == 303
    assert session.query(Project).filter_by(name="From TOML").one().overlap_min == 3


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no settings in this file"),
        ("{", "not valid JSON"),
        ("name =", "not valid TOML"),
        ('{"overlap": {"min": 0}}', "name: Field required; overlap.min: Input should be"),
        ('{"name": "x", "colour": "red"}', "colour: Extra inputs"),
        ('{"name": "kitchen HELP"}', "already a project called"),
        ('{"name": "\\ud800"}', "name: Input should be a valid string"),
    ],
)
def test_what_is_wrong_with_the_file_is_said(sign_in, ada, project, text, sentence, session):
    before = session.query(Project).count()
    reply = from_file(sign_in(ada), text)

    assert reply.status_code in {409, 422}
    assert sentence in reply.text
    assert session.query(Project).count() == before


def test_a_form_without_a_file_or_with_no_text_is_told_so(sign_in, ada):
    browser = sign_in(ada)
    assert "Choose a file first" in browser.post("/projects/new/file", data={"name": "x"}).text
    picture = browser.post("/projects/new/file", files={"file": ("x.png", b"\x89PNG\xff")})
    assert (picture.status_code, "no text in UTF-8" in picture.text) == (422, True)
    assert sign_in(ada).get("/projects/new").status_code == 200


def test_only_installation_admins_make_projects(sign_in, ana, client):
    assert sign_in(ana).get("/projects/new").status_code == 403
    assert sign_in(ana).post("/projects/new", data=FORM).status_code == 403
    assert client.post("/projects/new", data=FORM).status_code == 401
    assert from_file(sign_in(ana), '{"name": "Mine"}').status_code == 403


def test_everybody_sees_her_own_projects(sign_in, ana, sam, ada, project, session):
    make_task(session, project, wanted=3)
    session.commit()
    hers = sign_in(ana).get("/projects").text
    assert "Kitchen help" in hers
    assert "0 of 3 judgements on 1 tasks" in hers
    assert "Somebody else" not in hers
    assert "Nobody has taken you into a project" in sign_in(sam).get("/projects").text
    assert "Somebody else" in sign_in(ada).get("/projects").text


def test_saving_the_settings_changes_them_and_leaves_the_guidelines(sign_in, ada, project, session):
    browser = sign_in(ada)
    path = f"/projects/{project.id}/settings"
    assert "Kitchen help" in browser.get(path).text

    reply = browser.post(path, data=FORM | {"name": "Kitchen aid", "criteria": ""})

    assert reply.status_code == 303
    session.refresh(project)
    assert (project.name, project.overlap_min, project.lease_minutes) == ("Kitchen aid", 2, 20)
    assert "Saved." in browser.get(reply.headers["location"]).text
    assert "Prefer the better" in queries.guidelines_of(session, project=project).text


def test_two_admins_cannot_overwrite_each_others_guidelines(sign_in, ada, project):
    browser = sign_in(ada)
    path = f"/projects/{project.id}/guidelines/edit"
    assert browser.post(path, data={"text": "First.", "version": "1"}).status_code == 303

    late = browser.post(path, data={"text": "Second, with care.", "version": "1"})

    assert late.status_code == 409
    assert "Somebody has published version 2" in late.text
    assert "Second, with care." in late.text  # nothing of hers is lost
    shown = browser.get(f"/projects/{project.id}/guidelines").text
    assert "First." in shown
    assert "What changed from version 1" in shown


def test_annotators_read_and_accept_a_new_version(sign_in, ana, ada, project, session):
    sign_in(ada).post(
        f"/projects/{project.id}/guidelines/edit", data={"text": "New.", "version": "1"}
    )
    browser = sign_in(ana)
    assert "I have read them" in browser.get(f"/projects/{project.id}/guidelines").text

    reply = browser.post(f"/projects/{project.id}/guidelines/read")

    assert reply.headers["location"] == f"/projects/{project.id}/rank"
    session.expire_all()
    assert queries.member(session, project=project, user_id=ana.id).guidelines_read == 2
    assert "I have read them" not in browser.get(f"/projects/{project.id}/guidelines").text


def publish(browser, project, text, version):
    path = f"/projects/{project.id}/guidelines/edit"
    assert browser.post(path, data={"text": text, "version": str(version)}).status_code == 303


def test_what_is_new_is_told_from_the_version_she_read(sign_in, ana, ada, project):
    publish(sign_in(ada), project, "Second.", 1)
    publish(sign_in(ada), project, "Second.\n\nThird.", 2)
    browser, path = sign_in(ana), f"/projects/{project.id}/guidelines"
    page = browser.get(path).text
    assert "since you read version 1" in page
    assert "Prefer the better one." in page  # gone since version 1
    assert "What changed from version 2" not in page
    assert "What changed from version 1" in page
    browser.post(f"{path}/read", data={"version": "3"})
    page = browser.get(path).text
    assert "since you read" not in page
    assert "Prefer the better one." not in page


def test_only_the_version_on_her_screen_is_acknowledged(sign_in, ana, ada, project, session):
    publish(sign_in(ada), project, "Second.", 1)
    browser, path = sign_in(ana), f"/projects/{project.id}"
    shown = browser.get(f"{path}/guidelines").text
    publish(sign_in(ada), project, "Third.", 2)
    version = re.search(r'name="version" value="(\d+)"', shown)[1]
    browser.post(f"{path}/guidelines/read", data={"version": version})
    session.expire_all()
    assert queries.member(session, project=project, user_id=ana.id).guidelines_read == 2
    assert browser.get(f"{path}/rank").headers["location"] == f"{path}/guidelines"
    assert "since you read version 2" in browser.get(f"{path}/guidelines").text


def test_a_new_scale_is_news_even_where_nothing_is_written(sign_in, ana, ada, project):
    publish(sign_in(ada), project, " ", 1)
    browser, path = sign_in(ana), f"/projects/{project.id}"
    browser.post(f"{path}/guidelines/read", data={"version": "2"})
    form = {"name": project.name, "criteria": "Clarity: 1-7", "strength_levels": "0"}
    sign_in(ada).post(f"{path}/settings", data=form | {"allow_ties": "false"})
    assert browser.get(f"{path}/rank").headers["location"] == f"{path}/guidelines"
    page = browser.get(f"{path}/guidelines").text
    for change in ("Ties are no longer allowed.", "You no longer say how much better", "1 to 7"):
        assert change in page


def test_a_known_person_becomes_a_member_and_a_new_one_gets_a_link(
    sign_in, ada, sam, project, session
):
    browser = sign_in(ada)
    path = f"/projects/{project.id}/members"
    assert browser.post(path, data={"email": sam.email, "role": "reviewer"}).status_code == 303
    assert queries.member(session, project=project, user_id=sam.id).role is Role.REVIEWER

    page = browser.post(path, data={"email": "new@example.org", "role": "annotator"}).text

    assert re.search(r"/invitation/[\w-]{40,}", page)
    members = queries.members_of(session, project=project)
    assert "new@example.org" in [member.user.email for member in members]


def test_members_can_be_paused_resumed_and_removed(sign_in, ada, ana, project, session):
    browser = sign_in(ada)
    path = f"/projects/{project.id}/members/{ana.id}"
    browser.post(f"{path}/pause", data={"reason": "holiday"})
    member = queries.member(session, project=project, user_id=ana.id)
    assert member.paused_at is not None
    browser.post(f"{path}/pause")
    session.refresh(member)
    assert member.paused_at is None
    assert browser.post(f"{path}/remove").status_code == 303
    assert queries.member(session, project=project, user_id=ana.id) is None


def test_whose_judgements_are_kept_out_of_snapshots_stays(sign_in, ada, ana, project, session):
    member = queries.member(session, project=project, user_id=ana.id)
    member.excluded_at = member.created_at
    session.commit()
    reply = sign_in(ada).post(f"/projects/{project.id}/members/{ana.id}/remove")
    assert reply.status_code == 409
    assert "kept out of snapshots" in reply.text
    assert queries.member(session, project=project, user_id=ana.id) is not None


def test_who_comes_back_goes_on_where_she_was(sign_in, api, ada, ana, project, session):
    project.total_limit = 1
    project.qualification_size = project.qualification_attempts = 1
    make_question(session, project)
    gold, *_ = (make_task(session, project, prefers=each) for each in ([[0, 1]], None, None))
    session.commit()
    worker = api(ana)

    def work(expected):
        reply = worker.post(f"/api/v1/projects/{project.id}/assignments")
        assert reply.status_code == expected
        if expected != 204:
            texts = {each["text"]: [each["label"]] for each in reply.json()["responses"]}
            body = {"ranking": [texts[each] for each in sorted(texts)]}
            worker.put(f"/api/v1/assignments/{reply.json()['id']}/annotation", json=body)

    for expected in (201, 201, 204):  # the question, a task, and no more
        work(expected)
    make_annotation(session, gold, ana, ranks=[1, 2], gold_passed=True)
    session.commit()
    sign_in(ada).post(f"/projects/{project.id}/members/{ana.id}/remove")
    body = {"role": "annotator"}
    api(ada).put(f"/api/v1/projects/{project.id}/members/{ana.email}", json=body)
    member = queries.member(session, project=project, user_id=ana.id)
    assert member.qualified_at is not None
    assert (member.claimed, member.gold_seen, member.gold_passed) == (1, 1, 1)
    work(204)


def test_the_last_admin_stays(sign_in, ada, project):
    reply = sign_in(ada).post(f"/projects/{project.id}/members/{ada.id}/remove")
    assert reply.status_code == 409
    assert "only admin" in reply.text


def test_an_installation_admin_who_is_no_member_reads_before_she_works(
    sign_in, session, ada, project
):
    make_task(session, project)
    session.delete(queries.member(session, project=project, user_id=ada.id))
    session.commit()
    browser = sign_in(ada)

    first = browser.get(f"/projects/{project.id}/rank")
    assert first.headers["location"] == f"/projects/{project.id}/guidelines"
    assert "I have read them" in browser.get(first.headers["location"]).text
    browser.post(f"/projects/{project.id}/guidelines/read")
    assert browser.get(f"/projects/{project.id}/rank").status_code == 200
