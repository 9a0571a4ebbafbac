"""How somebody likes to work on the ranking page is kept with her, not with the browser."""

import pytest

from app.accounts.models import User

MINE = {"keys": {"skip": ["z"]}, "single_keys": False, "submit_at_once": True}


def test_they_hold_for_her_alone_and_leave_the_rest(session, ana, rui, api, sign_in):
    ana.preferences = {"demographics": {"age": "30-39"}}
    session.commit()
    first = api(ana).get("/api/v1/me/preferences").json()
    assert first == {"keys": {}, "single_keys": True, "submit_at_once": False}
    assert sign_in(ana).put("/api/v1/me/preferences", json=MINE).json() == MINE
    assert api(ana).get("/api/v1/me/preferences").json() == MINE
    assert api(rui).get("/api/v1/me/preferences").json() == first
    session.expire_all()
    kept = session.get_one(User, ana.id).preferences
    assert kept == {"demographics": {"age": "30-39"}, "ranking": MINE}


@pytest.mark.parametrize(
    "body",
    [
        {"keys": {"skip": ["z"] * 5}},
        {"keys": {"skip": ["z" * 25]}},
        {"keys": {"<b>": ["z"]}},
        {"keys": {f"a{'x' * n}": [] for n in range(99)}},
        {"colour": "red"},
    ],
)
def test_only_what_the_page_knows_is_kept(ana, api, body):
    assert api(ana).put("/api/v1/me/preferences", json=body).status_code == 422
