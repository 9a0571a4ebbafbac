"""Asking for work over the API."""

import pytest

from app.tasks.models import Assignment
from tests.factories import make_task


def test_ana_gets_a_task_with_everything_she_needs(session, project, ana, works):
    project.criteria = [{"key": "clear", "label": "Clarity", "min": 1, "max": 5}]
    make_task(session, project, prompt="Why is the sky blue?", responses=["Because.", "Rayleigh."])
    session.commit()

    reply = works(ana).claim()

    assert reply.status_code == 201
    body = reply.json()
    assert set(body) == {
        "id", "state", "leased_until", "project_id", "guidelines_version", "prompt", "responses",
        "criteria", "allow_ties", "strength_levels",
    }  # fmt: skip
    assert body["prompt"] == {"messages": [{"role": "user", "content": "Why is the sky blue?"}]}
    assert [response["label"] for response in body["responses"]] == ["A", "B"]
    assert {response["text"] for response in body["responses"]} == {"Because.", "Rayleigh."}
    assert (body["state"], body["allow_ties"], body["strength_levels"]) == ("open", True, 3)
    assert body["criteria"] == project.criteria
    assert body["leased_until"].endswith("Z")


def test_asking_again_answers_200_and_the_same(session, project, ana, works):
    for number in range(3):
        make_task(session, project, prompt=f"p{number}")
    session.commit()
    worker = works(ana)
    first, again = worker.claim(), worker.claim()
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    ahead = worker.claim(after=first.json()["id"])
    assert ahead.status_code == 201
    assert ahead.json()["id"] != first.json()["id"]
    assert worker.claim(after=first.json()["id"]).json() == ahead.json()
    assert session.query(Assignment).filter_by(user_id=ana.id).count() == 2


def test_there_may_be_nothing_for_her(ana, works):
    reply = works(ana).claim()
    assert (reply.status_code, reply.content) == (204, b"")


def test_a_strength_is_asked_for_pairs_only(session, project, ana, works):
    make_task(session, project, responses=["a", "b", "c"])
    session.commit()
    body = works(ana).claim().json()
    assert [response["label"] for response in body["responses"]] == ["A", "B", "C"]
    assert body["strength_levels"] == 0


def test_others_cannot_see_or_touch_her_assignment(session, project, ana, rui, sam, works):
    make_task(session, project)
    session.commit()
    mine = works(ana).claim().json()
    for stranger in (rui, sam):
        worker = works(stranger)
        assert worker.client.get(f"/api/v1/assignments/{mine['id']}").status_code == 404
        assert worker.submit(mine, "A>B").status_code == 404
        assert worker.draft(mine, revision=1).status_code == 404
        for verb in ("renew", "release"):
            assert worker.post(mine, verb).status_code == 404
        assert worker.post(mine, "skip", reason="other").status_code == 404
        assert worker.claim(after=mine["id"]).status_code == 404
    assert works(ana).client.get(f"/api/v1/assignments/{mine['id']}").json() == mine


def test_strangers_and_viewers_get_no_work(session, project, vic, sam, works):
    make_task(session, project)
    session.commit()
    assert works(sam).claim().status_code == 404
    assert works(vic).claim().status_code == 403


def test_somebody_removed_from_the_project_loses_her_tasks(session, project, ana, works):
    from app.projects.models import Membership

    make_task(session, project)
    session.commit()
    worker = works(ana)
    mine = worker.claim().json()
    session.delete(session.get(Membership, (project.id, ana.id)))
    session.commit()
    assert worker.client.get(f"/api/v1/assignments/{mine['id']}").status_code == 404
    assert worker.submit(mine, "A>B").status_code == 404


def test_a_lease_is_prolonged_and_given_back(session, project, ana, rui, works, clock):
    make_task(session, project)
    session.commit()
    worker = works(ana)
    mine = worker.claim().json()
    clock.advance(minutes=25)
    renewed = worker.post(mine, "renew")
    assert renewed.status_code == 200
    assert renewed.json()["leased_until"] > mine["leased_until"]
    assert works(rui).claim().status_code == 204
    for _ in range(2):
        assert worker.post(mine, "release").status_code == 204
    assert works(rui).claim().status_code == 201
    problem = worker.post(mine, "renew")
    assert problem.status_code == 409
    assert "Submit it all the same" in problem.json()["detail"]


def test_a_skip_needs_a_reason_that_exists(session, project, ana, works):
    make_task(session, project)
    session.commit()
    worker = works(ana)
    mine = worker.claim().json()
    assert worker.post(mine, "skip").status_code == 422
    assert worker.post(mine, "skip", reason="boring").status_code == 422
    for _ in range(2):
        assert worker.post(mine, "skip", reason="language", note="Finnish").status_code == 204
    row = session.query(Assignment).filter_by(user_id=ana.id).one()
    assert (row.skip_reason, row.skip_note) == ("language", "Finnish")
    assert worker.claim().status_code == 204


@pytest.mark.parametrize("body", [{"afterwards": "x"}, {"after": "no uuid"}])
def test_what_is_not_understood_is_refused(ana, works, body):
    assert works(ana).claim(**body).status_code == 422
