"""Ana signs in, stays signed in, and leaves."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from app.accounts import service
from app.accounts.models import LoginSession, RateLimit
from app.accounts.rules import key_hash
from app.accounts.service import keys
from app.config import settings
from app.web.protection import SESSION_COOKIE, form_token_for
from tests.factories import PASSWORD


def enter(client, email, password=PASSWORD, next_="/account"):
    return client.post("/sign-in", data={"email": email, "password": password, "next": next_})


def test_the_right_password_opens_a_session_with_a_host_cookie(client, ana):
    reply = enter(client, ana.email)

    assert reply.status_code == 303
    assert reply.headers["location"] == "/account"
    cookie = reply.headers["set-cookie"]
    assert cookie.startswith(SESSION_COOKIE)
    for part in ("Secure", "HttpOnly", "SameSite=lax", "Path=/"):
        assert part in cookie
    assert client.get("/account").status_code == 200


def test_the_address_may_be_typed_in_any_case(client, ana):
    assert enter(client, ana.email.upper()).status_code == 303


def test_a_wrong_password_and_an_unknown_address_read_alike(client, ana):
    wrong = enter(client, ana.email, "not my password")
    unknown = enter(client, "nobody@example.org")

    assert (wrong.status_code, unknown.status_code) == (401, 401)
    sentence = "This address and password do not belong together."
    assert sentence in wrong.text
    assert sentence in unknown.text
    assert ana.email in wrong.text  # she need not type it again


def test_the_database_holds_no_usable_key(client, session, ana):
    enter(client, ana.email)

    cookie = client.cookies[SESSION_COOKIE]
    row = session.scalars(select(LoginSession)).one()
    assert row.token_hash == key_hash(cookie)
    assert cookie.encode() not in row.token_hash
    assert ana.password_hash.startswith("$argon2id$")


def test_too_many_tries_are_slowed_down_but_not_locked_out(client, ana, clock):
    for _ in range(10):
        assert enter(client, ana.email, "guess").status_code == 401
    refused = enter(client, ana.email)  # even the right one
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) <= 30

    clock.advance(seconds=31)
    assert enter(client, ana.email).status_code == 303


def test_an_address_that_tries_one_name_after_the_other_is_slowed_down(
    client, ana, clock, session, monkeypatch
):
    monkeypatch.setattr(keys, "ADDRESS_TRIES", 3)
    for number in range(3):
        assert enter(client, f"guess{number}@example.org").status_code == 401
    assert enter(client, "guess3@example.org").status_code == 429
    clock.advance(seconds=4)
    assert enter(client, ana.email).status_code == 303

    client.cookies.clear()
    clock.advance(days=2)
    assert enter(client, ana.email).status_code == 303
    left = session.scalars(select(RateLimit.key)).all()  # the names that were guessed are gone
    assert set(left) == {"sign-in:testclient", f"sign-in:{ana.email}:testclient"}


def test_a_session_ends_when_it_is_idle_and_when_it_is_old(sign_in, ana, clock):
    browser = sign_in(ana)
    clock.advance(hours=settings.session_idle_hours - 1)
    assert browser.get("/account").status_code == 200  # seen: the idle time starts again
    clock.advance(hours=settings.session_idle_hours - 1)
    assert browser.get("/account").status_code == 200
    clock.advance(hours=settings.session_idle_hours + 1)
    reply = browser.get("/account")
    assert reply.status_code == 303
    assert reply.headers["location"] == "/sign-in?next=%2Faccount"

    fresh = sign_in(ana)
    clock.advance(hours=1)
    for _ in range(settings.session_days + 1):
        clock.advance(hours=23)
        last = fresh.get("/account").status_code
    assert last == 303


def test_signing_out_ends_the_session_for_every_copy_of_the_cookie(sign_in, ana, session):
    browser = sign_in(ana)
    cookie = browser.cookies[SESSION_COOKIE]

    assert browser.post("/sign-out").status_code == 303
    browser.cookies.set(SESSION_COOKIE, cookie)
    assert browser.get("/account").status_code == 303
    assert session.scalar(select(func.count()).select_from(LoginSession)) == 0


def test_a_disabled_person_is_out_at_once(sign_in, client, ana, ada):
    browser = sign_in(ana)

    assert sign_in(ada).post(f"/users/{ana.id}/disable").status_code == 303

    assert browser.get("/account").status_code == 303
    refused = client.post("/sign-in", data={"email": ana.email, "password": PASSWORD})
    assert refused.status_code == 403
    assert "disabled" in refused.text


def test_over_plain_http_from_elsewhere_signing_in_is_refused_with_the_reason(app, ana):
    from starlette.testclient import TestClient

    far = TestClient(app, base_url="http://labels.example.org", follow_redirects=False)
    reply = enter(far, ana.email)

    assert reply.status_code == 403
    assert "HTTPS" in reply.text
    assert "set-cookie" not in reply.headers
    for path in ("/sign-in", "/setup/key", "/invitation/key"):  # before she types anything
        page = far.get(path)
        assert page.status_code == 403
        assert "HTTPS" in page.text
        assert "<input" not in page.text


def test_after_signing_in_nobody_is_led_elsewhere(client, ana):
    for target in (
        "//evil.example",
        "/\\evil.example",
        "https:evil.example",
        "javascript:alert(1)",
    ):
        assert enter(client, ana.email, next_=target).headers["location"] == "/"
        client.cookies.clear()


def test_changing_the_password_ends_all_other_sessions(sign_in, ana):
    here, elsewhere = sign_in(ana), sign_in(ana)

    reply = here.post(
        "/account/password", data={"current": PASSWORD, "new": "an even longer passphrase"}
    )

    assert reply.status_code == 303
    assert elsewhere.get("/account").status_code == 303
    assert here.get("/account").status_code == 200


@pytest.mark.parametrize(
    ("current", "new", "sentence"),
    [
        ("not it", "an even longer passphrase", "Your current password is not right"),
        (PASSWORD, "password123", "one of the first that anybody would try"),
    ],
)
def test_why_a_password_was_not_changed_is_said_beside_the_form(
    sign_in, ana, current, new, sentence
):
    here, elsewhere = sign_in(ana), sign_in(ana)
    reply = here.post("/account/password", data={"current": current, "new": new})
    assert reply.status_code == 422
    assert sentence in reply.text
    assert 'name="current"' in reply.text
    assert elsewhere.get("/account").status_code == 200


def test_an_invitation_link_expires_with_a_sentence(client, session, ada, clock):
    key = service.invite(session, email="new@example.org", role=ada.role, by=ada, now=clock.now)
    session.commit()
    assert client.get(f"/invitation/{key}").status_code == 200
    clock.now += timedelta(days=settings.invitation_days, seconds=1)
    reply = client.get(f"/invitation/{key}")
    assert reply.status_code == 409
    assert "has expired. Ask whoever invited you" in reply.text


def here(client, email, password=PASSWORD):
    return client.post("/sign-in/here", data={"email": email, "password": password})


def test_signing_in_from_within_a_page_gives_a_new_cookie_and_its_token(client, ana):
    reply = here(client, ana.email)
    assert reply.status_code == 200
    token = client.cookies[SESSION_COOKIE]
    assert reply.json() == {
        "user_id": str(ana.id),
        "name": "Ana",
        "form_token": form_token_for(token),
    }
    assert "HttpOnly" in reply.headers["set-cookie"]
    assert client.get("/sign-in/state").json() == reply.json()
    client.cookies.clear()
    nobody = {"user_id": None, "name": None, "form_token": ""}
    assert client.get("/sign-in/state").json() == nobody


def test_within_a_page_the_same_tries_are_spent(client, ana, clock):
    client.headers["Accept"] = "application/json"
    refused = here(client, ana.email, "wrong")
    assert (refused.status_code, refused.json()["title"]) == (401, "Please sign in")
    assert "set-cookie" not in refused.headers
    for _ in range(9):
        enter(client, ana.email, "wrong")
    stopped = here(client, ana.email)
    assert (stopped.status_code, stopped.headers["retry-after"]) == (429, "30")
    clock.advance(seconds=31)
    assert here(client, ana.email).status_code == 200


def test_within_a_page_another_site_and_a_stale_token_are_refused(client, ana):
    client.headers["Sec-Fetch-Site"] = "cross-site"
    assert here(client, ana.email).status_code == 403
    client.headers["Sec-Fetch-Site"] = "same-origin"
    client.cookies.set(SESSION_COOKIE, "an old one")
    assert here(client, ana.email).status_code == 403
    client.headers["X-Form-Token"] = form_token_for("an old one")
    assert here(client, ana.email).status_code == 200


def test_when_to_hear_of_a_break_is_a_choice_of_hers(sign_in, ana, session):
    browser = sign_in(ana)
    ana.preferences = {"other": "stays"}
    session.commit()
    reply = browser.post("/account/breaks", data={"after": "25"})
    assert reply.headers["location"] == "/account?saved=breaks#breaks"
    session.expire_all()
    assert ana.preferences == {"other": "stays", "break_after": 25}
    assert re.search(r'value="25" selected', browser.get("/account").text)
    assert browser.post("/account/breaks", data={"after": "26"}).status_code == 422
