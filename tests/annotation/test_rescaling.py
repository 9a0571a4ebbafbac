"""The scale changes while a task is on somebody's screen."""

import re

import pytest

from tests.factories import make_task


@pytest.fixture
def rescale(api, ada, project, clock):
    """Ada changes what is asked; the project has said so before, as real ones do."""

    def change(**settings):
        clock.advance(minutes=1)
        reply = api(ada).patch(f"/api/v1/projects/{project.id}", json=settings)
        assert reply.status_code == 200

    change(lease_minutes=20, strength_levels=4)  # version 2, with its scale
    return change


@pytest.mark.parametrize(
    ("change", "ranking", "body", "sentence"),
    [
        ({"strength_levels": 2}, "A>B", {"strength": 3}, "goes from 1 to 2"),
        ({"strength_levels": 0}, "A>B", {"strength": 1}, "does not ask for a strength"),
        ({"allow_ties": False}, "A=B", {}, "does not allow ties"),
    ],
)
def test_what_does_not_fit_any_more_is_told_why(
    session, project, ana, works, rescale, stored, change, ranking, body, sentence
):
    make_task(session, project)
    session.commit()
    mine = works(ana).claim().json()
    rescale(**change)

    refused = works(ana).submit(mine, ranking, **body)

    assert refused.status_code == 422
    detail = refused.json()["detail"]
    assert detail.startswith("What is asked here has changed since you got this task")
    assert "now version 3 of the guidelines" in detail
    assert sentence in detail
    assert "Everything else you put in is kept" in detail
    assert stored(ana) == []
    again = works(ana).client.get(f"/api/v1/assignments/{mine['id']}").json()
    assert again["state"] == "open"
    assert works(ana).submit(again, "A>B").status_code == 201


def test_a_mistake_that_was_one_before_is_told_as_ever(session, project, ana, works, rescale):
    make_task(session, project)
    session.commit()
    mine = works(ana).claim().json()
    rescale(lease_minutes=25)
    refused = works(ana).submit(mine, "A>B", strength=4, flags={"Z": ["unsafe"]})
    assert refused.status_code == 422
    assert "has changed since" not in refused.json()["detail"]


def test_what_was_taken_once_is_taken_again_whatever_has_changed(
    session, project, ana, works, rescale, stored
):
    make_task(session, project)
    session.commit()
    worker = works(ana)
    mine = worker.claim().json()
    first = worker.submit(mine, "A>B", strength=4, key="k")
    rescale(strength_levels=2)
    replay = worker.submit(mine, "A>B", strength=4, key="k")
    assert (first.status_code, replay.status_code) == (201, 200)
    assert replay.json() == first.json()
    assert worker.submit(mine, "A>B", strength=3, key="k").status_code == 422
    assert len(stored(ana)) == 1


def test_the_plain_form_keeps_what_she_wrote(session, project, ana, sign_in, works, rescale):
    make_task(session, project)
    session.commit()
    mine = works(ana).claim().json()
    works(ana).draft(mine, strength=4, ranking=[["A"], ["B"]], revision=1)
    rescale(strength_levels=2)
    browser = sign_in(ana)
    page = browser.post(
        f"/assignments/{mine['id']}", data={"choice": "A4", "rationale": "It is *right*."}
    )
    assert page.status_code == 422
    assert "What is asked here has changed" in page.text
    assert "It is *right*." in page.text
    steps = re.findall(r'name="choice" value="(\w+)"', page.text)
    assert "A4" not in steps
    assert "A2" in steps
    shown = browser.get(f"/assignments/{mine['id']}")  # her draft, on the new scale
    assert shown.status_code == 200
