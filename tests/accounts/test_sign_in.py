"""Ana signs in, stays signed in, and leaves."""

from app.web.protection import SESSION_COOKIE
from tests.factories import PASSWORD


def test_the_right_password_opens_a_session_with_a_host_cookie(client, ana):
    reply = client.post(
        "/sign-in", data={"email": ana.email, "password": PASSWORD, "next": "/account"}
    )
    assert reply.status_code == 303
    assert reply.headers["location"] == "/account"
    cookie = reply.headers["set-cookie"]
    assert cookie.startswith(SESSION_COOKIE)
    for part in ("Secure", "HttpOnly", "SameSite=lax", "Path=/"):
        assert part in cookie
    assert client.get("/account").status_code == 200
