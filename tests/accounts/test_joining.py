"""How people come in: the set-up link for the first admin, invitation links for everybody else."""

import html
import re

import pytest
from sqlalchemy import delete, select
from starlette.testclient import TestClient

from app.accounts import queries, service
from app.accounts.models import AuditEvent, Role, User
from app.accounts.rules import password_problem
from app.db import database_now
from app.errors import AppError

GOOD = {"name": "Ada", "email": "ada@example.com", "password": "correct horse battery"}


def browser(app):
    return TestClient(app, base_url="https://testserver", follow_redirects=False)


@pytest.fixture
def empty(session):
    """An installation where nobody is yet."""
    session.execute(delete(AuditEvent))
    session.execute(delete(User))
    session.commit()


def setup_key(session):
    key = service.setup_link(session, now=database_now(session))
    session.commit()
    return key


def test_the_set_up_link_makes_the_first_admin_and_works_once(app, empty, session):
    key = setup_key(session)
    client = browser(app)
    assert "Set up Touchstone" in client.get(f"/setup/{key}").text

    assert client.post(f"/setup/{key}", data=GOOD).status_code == 303

    ada = queries.user_by_email(session, GOOD["email"])
    assert ada.role is Role.ADMIN
    assert client.get("/users").status_code == 200  # and she is signed in
    again = browser(app).get(f"/setup/{key}")
    assert again.status_code == 404
    assert "restart it: it prints a fresh link" in again.text
    assert setup_key(session) is None  # no further link once there is an admin


def test_a_newer_set_up_link_ends_the_older_one(app, empty, session):
    old, new = setup_key(session), setup_key(session)
    assert browser(app).get(f"/setup/{old}").status_code == 404
    assert browser(app).get(f"/setup/{new}").status_code == 200


def test_a_set_up_link_that_is_too_old_says_how_to_get_another(app, empty, session, clock):
    key = setup_key(session)
    clock.advance(days=1, seconds=1)
    for reply in (browser(app).get(f"/setup/{key}"), browser(app).post(f"/setup/{key}", data=GOOD)):
        assert reply.status_code == 404
        assert "restart it: it prints a fresh link" in reply.text


def test_somebody_who_was_disabled_before_she_came_stays_out(app, session, ada):
    now = database_now(session)
    key = service.invite(session, email="ben@example.org", role=Role.REVIEWER, by=ada, now=now)
    ben = queries.user_by_email(session, "ben@example.org")
    service.disable(session, user=ben, by=ada, now=now)
    session.commit()
    reply = browser(app).post(f"/invitation/{key}", data=GOOD)
    assert reply.status_code == 403
    assert "disabled" in reply.text
    assert "set-cookie" not in reply.headers
    session.refresh(ben)
    assert ben.password_hash is None


@pytest.mark.parametrize("path", ["/", "/sign-in"])
def test_before_set_up_the_sign_in_page_says_where_the_link_is(app, empty, path):
    reply = browser(app).get(path, follow_redirects=True)
    assert "one-time set-up link" in reply.text


def test_an_invited_person_sets_name_and_password(app, sign_in, session, ada):
    page = sign_in(ada).post(
        "/users/invitations", data={"email": "ben@example.org", "role": "reviewer"}
    )
    path = re.search(r"/invitation/[\w-]+", page.text)[0]
    client = browser(app)
    assert "ben@example.org" in client.get(path).text

    reply = client.post(path, data=GOOD | {"name": "Ben", "email": "ben@example.org"})

    assert reply.status_code == 303
    ben = queries.user_by_email(session, "ben@example.org")
    assert (ben.name, ben.role) == ("Ben", Role.REVIEWER)
    assert client.get("/account").status_code == 200
    used = browser(app).get(path)
    assert used.status_code == 409
    assert "used already" in used.text


def test_a_weak_password_is_refused_with_a_sentence_and_the_link_stays_good(app, empty, session):
    key = setup_key(session)
    reply = browser(app).post(f"/setup/{key}", data=GOOD | {"password": "short"})
    assert reply.status_code == 422
    assert "at least 8 characters" in reply.text
    assert f'value="{GOOD["email"]}"' in reply.text  # she goes on with what she has typed
    assert f'value="{GOOD["name"]}"' in reply.text
    assert "short" not in reply.text
    assert browser(app).post(f"/setup/{key}", data=GOOD).status_code == 303


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"email": "boss@localhost"}, "no e-mail address: The part after the @-sign"),
        ({"name": " "}, "Fill in your name"),
        ({"name": "x" * 121}, "at most 120 characters"),
        ({"email": "", "name": ""}, "Fill in your name, with at most 120 characters. This is no"),
    ],
)
def test_what_will_not_do_is_said_above_what_was_typed(app, empty, session, typed, sentence):
    key = setup_key(session)
    reply = browser(app).post(f"/setup/{key}", data=GOOD | typed)
    assert reply.status_code == 422
    assert sentence in html.unescape(reply.text)
    assert 'name="password"' in reply.text
    assert queries.user_by_email(session, GOOD["email"]) is None


@pytest.mark.parametrize(
    ("password", "is_fine"),
    [
        ("1234567", False),
        ("12345678", False),
        ("PassWord", False),
        ("aaaaaaaaaaaa", False),
        ("ada@example.com", False),
        ("correct horse", True),
        ("пароль для ады", True),
        ("x" * 100 + "y" * 100 + "z", True),
        ("xyz" * 100, False),
    ],
)
def test_what_is_good_enough_as_a_password(password, is_fine):
    sentence = password_problem(password, email="ada@example.com", name="Ada")
    assert (sentence is None) == is_fine


def test_only_admins_see_and_invite_people(sign_in, ana, client):
    assert sign_in(ana).get("/users").status_code == 403
    assert (
        sign_in(ana).post("/users/invitations", data={"email": "x@example.org"}).status_code == 403
    )
    assert client.get("/users").status_code == 303


def test_an_admin_cannot_disable_herself(sign_in, ada):
    reply = sign_in(ada).post(f"/users/{ada.id}/disable")
    assert reply.status_code == 409
    assert "another admin" in reply.text


def test_inviting_somebody_who_is_here_already_says_so(session, ada, ana):
    with pytest.raises(AppError, match="has an account already"):
        service.invite(
            session, email=ana.email, role=Role.REVIEWER, by=ada, now=database_now(session)
        )


def test_the_audit_log_is_a_chain_that_shows_a_change(session, ada):
    for number in range(3):
        service.audit(session, user=ada, action="try", target=str(number))
    events = session.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
    assert [event.hash for event in events] == [service.event_hash(event) for event in events]
    assert [event.previous_hash for event in events[1:]] == [event.hash for event in events[:-1]]
    events[1].target = "forged"
    assert service.event_hash(events[1]) != events[1].hash
