"""API tokens: shown once, good until they end, and never more than their scope."""

import re

from sqlalchemy import select

from app.accounts import service
from app.accounts.models import ApiToken
from app.db import database_now


def bearer(client, key):
    client.headers["Authorization"] = f"Bearer {key}"
    return client


def make_key(session, user, **options):
    key = service.create_token(
        session, user=user, name="script", now=database_now(session), **options
    )
    session.commit()
    return key


def test_a_token_is_shown_once_and_then_only_its_beginning(sign_in, ana):
    browser = sign_in(ana)
    page = browser.post("/account/tokens", data={"name": "nightly", "days": "30"}).text
    key = re.search(r"tst_[\w-]{40,}", page)[0]
    later = browser.get("/account").text
    assert key not in later
    assert key[:12] in later


def test_a_token_opens_the_api_until_it_expires_or_is_revoked(client, session, ana, clock):
    key = make_key(session, ana, days=1)
    assert bearer(client, key).get("/api/v1/projects").status_code == 200

    clock.advance(days=1, seconds=1)
    reply = client.get("/api/v1/projects")
    assert reply.status_code == 401
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["detail"].startswith("This API token is unknown, revoked or expired")


def test_the_scheme_may_be_written_small(client, session, ana):
    client.headers["Authorization"] = f"bearer {make_key(session, ana)}"
    assert client.get("/api/v1/projects").status_code == 200


def test_revoking_ends_it_at_once_and_only_ones_own(sign_in, client, session, ana, sam):
    key = make_key(session, ana)
    token = session.scalars(select(ApiToken)).one()
    assert sign_in(sam).post(f"/account/tokens/{token.id}/revoke").status_code == 404
    assert bearer(client, key).get("/api/v1/projects").status_code == 200
    assert sign_in(ana).post(f"/account/tokens/{token.id}/revoke").status_code == 303
    assert client.get("/api/v1/projects").status_code == 401


def test_a_read_token_cannot_write(client, session, ada):
    key = make_key(session, ada, scopes=["read"])
    assert bearer(client, key).get("/api/v1/projects").status_code == 200
    reply = client.post("/api/v1/projects", json={"name": "New"})
    assert reply.status_code == 403
    assert "may only read" in reply.json()["detail"]


def test_without_a_token_the_api_says_what_to_do(client):
    reply = client.get("/api/v1/projects")
    assert reply.status_code == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    assert "API token" in reply.json()["detail"]


def test_a_token_makes_no_further_token(client, session, ana):
    key = make_key(session, ana, days=1)
    form = {"name": "for ever", "days": "3650"}
    assert bearer(client, key).post("/account/tokens", data=form).status_code == 403
    names = session.scalars(select(ApiToken.name).where(ApiToken.user_id == ana.id)).all()
    assert names == ["script"]
