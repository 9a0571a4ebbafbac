"""Projects and their members over the API, and what a change of settings means."""

import pytest
from sqlalchemy import select, text

from app.accounts.models import AuditEvent, Role
from app.projects.models import Guidelines, Membership, Project
from app.tasks.models import Task
from app.worker.overlap import adjust_overlap
from tests.factories import make_annotation, make_member, make_task

WHOLE = {
    "name": "Sums",
    "description": "Small ones.",
    "criteria": [{"key": "truth", "label": "Truth", "min": 1, "max": 7}],
    "strength_levels": 4,
    "allow_ties": False,
    "overlap": {"min": 2, "max": 4, "confidence": 0.9},
    "gold_rate": 0.25,
    "gold_threshold": 0.8,
    "lease_minutes": 10,
    "guidelines": "Be exact.",
}


def patch(client, project, **body):
    return client.patch(f"/api/v1/projects/{project.id}", json=body)


def versions(session, project):
    session.expire_all()
    return session.scalars(
        select(Guidelines).where(Guidelines.project_id == project.id).order_by(Guidelines.version)
    ).all()


def test_a_project_is_what_its_maker_said(api, ada, session):
    program = api(ada)
    made = program.post("/api/v1/projects", json=WHOLE)
    assert made.status_code == 201
    body = made.json()
    assert {key: body[key] for key in WHOLE} == WHOLE
    assert (body["guidelines_version"], body["role"]) == (1, "admin")
    assert program.get(f"/api/v1/projects/{body['id']}").json() == body
    membership = session.scalars(
        select(Membership).where(Membership.project_id == body["id"])
    ).one()
    assert (membership.user_id, membership.role) == (ada.id, Role.ADMIN)


def test_a_name_is_enough(api, ada):
    body = api(ada).post("/api/v1/projects", json={"name": "  Bare  "}).json()
    assert (body["name"], body["allow_ties"], body["lease_minutes"]) == ("Bare", True, 30)
    assert body["overlap"] == {"min": 1, "max": 1, "confidence": None}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": " "}, "name"),
        ({"name": "a\0b"}, "NUL character"),
        ({"name": "x" * 121}, "name"),
        ({"surprise": 1}, "surprise"),
        ({"strength_levels": 5}, "strength_levels"),
        ({"gold_rate": 0.6}, "gold_rate"),
        ({"lease_minutes": 0}, "lease_minutes"),
        ({"overlap": {"min": 3, "max": 2}}, "overlap needs a min that is not above its max"),
        ({"criteria": [{"key": "A", "label": "A", "min": 1, "max": 5}]}, "key"),
        (
            {"criteria": [{"key": "a", "label": "A", "min": 5, "max": 5}]},
            "min that is below its max",
        ),
        (
            {"criteria": [{"key": "a", "label": "A"}, {"key": "a", "label": "B"}]},
            "a key of its own",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_the_field(api, ada, session, change, says):
    reply = api(ada).post("/api/v1/projects", json={"name": "Odd"} | change)
    assert (reply.status_code, reply.headers["content-type"]) == (422, "application/problem+json")
    assert says in reply.json()["detail"]
    assert session.scalar(select(Project.id).where(Project.name == "Odd")) is None


def test_a_body_that_is_no_json_is_told_where_it_breaks_off(api, ada):
    headers = {"Content-Type": "application/json"}
    reply = api(ada).post("/api/v1/projects", content=b'{"name": "Sums"', headers=headers)
    assert reply.status_code == 422
    assert reply.json()["errors"] == [
        {"field": "body", "message": "not JSON: Expecting ',' delimiter (at 15)"}
    ]


def test_a_name_is_taken_in_any_case(api, ada, project):
    reply = api(ada).post("/api/v1/projects", json={"name": project.name.upper()})
    assert reply.status_code == 409
    assert "already a project called" in reply.json()["detail"]


def test_only_admins_of_the_installation_make_projects(api, rui, client):
    assert api(rui).post("/api/v1/projects", json={"name": "Mine"}).status_code == 403
    assert client.post("/api/v1/projects", json={"name": "Mine"}).status_code == 401


def test_everybody_lists_her_own_projects_page_by_page(api, ada, ana, sam):
    admin = api(ada)
    for n in range(3):
        admin.post("/api/v1/projects", json={"name": f"P{n}"})
    seen, cursor = [], None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = admin.get("/api/v1/projects", params=params).json()
        seen += [item["name"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(seen) == ["Kitchen help", "P0", "P1", "P2", "Somebody else's project"]
    assert [p["name"] for p in api(ana).get("/api/v1/projects").json()["items"]] == ["Kitchen help"]
    assert api(sam).get("/api/v1/projects").json() == {"items": [], "next_cursor": None}


def test_who_may_read_and_change_a_project(api, ada, rui, ana, vic, sam, client, project):
    for person, read, change in [
        (ada, 200, 200),
        (rui, 200, 403),
        (ana, 200, 403),
        (vic, 200, 403),
        (sam, 404, 404),
    ]:
        program = api(person)
        assert program.get(f"/api/v1/projects/{project.id}").status_code == read
        assert patch(program, project, description="x").status_code == change
    assert client.get(f"/api/v1/projects/{project.id}").status_code == 401


@pytest.mark.parametrize(
    "change",
    [
        {"guidelines": "Prefer the shorter one."},
        {"allow_ties": False},
        {"strength_levels": 1},
        {"criteria": [{"key": "tone", "label": "Tone", "min": 1, "max": 5}]},
    ],
)
def test_a_change_of_meaning_makes_a_new_version_of_the_guidelines(
    api, ada, project, session, change
):
    program = api(ada)
    assert patch(program, project, **change).json()["guidelines_version"] == 2
    first, second = versions(session, project)
    assert (first.text, first.version) == ("Prefer the better one.", 1)
    assert second.text == change.get("guidelines", first.text)
    for key, value in change.items():
        if key != "guidelines":
            assert second.scale[key] == value
    assert patch(program, project, **change).json()["guidelines_version"] == 2  # the same again


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Kitchen"},
        {"description": "All about food."},
        {"gold_rate": 0.3},
        {"gold_threshold": 0.9},
        {"lease_minutes": 5},
        {"overlap": {"min": 2, "max": 3}},
        {"paused": True},
    ],
)
def test_other_changes_leave_the_guidelines_alone(api, ada, project, session, change):
    reply = patch(api(ada), project, **change).json()
    assert reply["guidelines_version"] == 1
    assert len(versions(session, project)) == 1
    event = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1)).one()
    assert (event.action, event.project_id, event.user_id) == (
        "project.update",
        project.id,
        ada.id,
    )


def test_a_patch_made_on_an_old_version_changes_nothing(api, ada, project, session):
    program = api(ada)
    patch(program, project, guidelines="Second.", guidelines_version=1)
    late = patch(program, project, guidelines="Also second.", name="Late", guidelines_version=1)
    assert late.status_code == 409
    assert "Somebody has published version 2" in late.json()["detail"]
    session.expire_all()
    assert (project.name, project.guidelines_version) == ("Kitchen help", 2)
    assert [version.text for version in versions(session, project)][-1] == "Second."


def test_nothing_named_changes_nothing_and_is_no_event(api, ada, project, session):
    program = api(ada)
    before = session.scalar(select(AuditEvent.id).order_by(AuditEvent.id.desc()).limit(1))
    assert patch(program, project).status_code == 200
    assert patch(program, project, name=project.name).status_code == 200
    assert session.scalar(select(AuditEvent.id).order_by(AuditEvent.id.desc()).limit(1)) == before


def test_another_overlap_reaches_the_tasks_but_takes_no_judgement_away(
    api, ada, ana, rui, project, session
):
    fresh = make_task(session, project, prompt="fresh")
    judged = make_task(session, project, prompt="judged", wanted=2)
    make_annotation(session, judged, ana, ranks=[1, 2])
    make_annotation(session, judged, rui, ranks=[1, 2])
    gold = make_task(session, project, prompt="gold", prefers=[[0, 1]])
    elsewhere = session.scalars(
        select(Task).where(Task.project_id != project.id, Task.wanted.is_not(None)).limit(1)
    ).one()
    before = elsewhere.wanted
    session.commit()

    def change(**overlap):
        patch(api(ada), project, overlap=overlap)
        queued = session.execute(
            text("SELECT args FROM procrastinate_jobs WHERE task_name = 'overlap'")
        ).scalars()
        assert set(map(str, queued)) == {f"{{'project_id': '{project.id}'}}"}
        adjust_overlap(project_id=str(project.id))
        session.expire_all()

    change(min=3)
    assert (fresh.wanted, judged.wanted, gold.wanted, elsewhere.wanted) == (3, 3, None, before)
    change(min=1)
    assert (fresh.wanted, judged.wanted) == (1, 2)
    assert judged.counted == 2


def test_a_known_address_becomes_a_member_and_an_unknown_one_is_told(
    api, ada, sam, project, session
):
    program = api(ada)
    url = f"/api/v1/projects/{project.id}/members"
    made = program.put(f"{url}/{sam.email.upper()}", json={"role": "reviewer"})
    assert (made.status_code, made.json()["role"]) == (200, "reviewer")
    assert program.put(f"{url}/{sam.email}", json={"role": "viewer"}).json()["role"] == "viewer"
    assert len([m for m in program.get(url).json() if m["user_id"] == str(sam.id)]) == 1
    nobody = program.put(f"{url}/nobody@example.org", json={"role": "viewer"})
    assert nobody.status_code == 404
    assert "Invite the person under People first" in nobody.json()["detail"]
    assert program.put(f"{url}/{sam.email}", json={"role": "boss"}).status_code == 422
    assert api(sam).get(f"/api/v1/projects/{project.id}").status_code == 200
    assert api(sam).put(f"{url}/{sam.email}", json={"role": "admin"}).status_code == 403


def test_the_last_admin_of_a_project_cannot_step_down(api, ada, rui, project, session):
    program = api(ada)
    url = f"/api/v1/projects/{project.id}/members/{ada.email}"
    refused = program.put(url, json={"role": "viewer"})
    assert refused.status_code == 409
    assert "only admin of this project" in refused.json()["detail"]
    session.expire_all()
    make_member_admin = program.put(
        f"/api/v1/projects/{project.id}/members/{rui.email}", json={"role": "admin"}
    )
    assert make_member_admin.status_code == 200
    assert program.put(url, json={"role": "viewer"}).status_code == 200


def test_a_project_admin_who_is_none_of_the_installation_may_all_in_her_project(
    api, sam, project, session
):
    make_member(session, project, sam, Role.ADMIN)
    session.commit()
    program = api(sam)
    assert patch(program, project, description="hers").status_code == 200
    other = session.scalars(select(Project).where(Project.id != project.id)).first()
    assert patch(program, other, description="not hers").status_code == 404
