"""Another site can make a browser send something; it cannot make us do it."""

import gc
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest
from anyio import fail_after, to_thread
from httpx2 import ASGITransport, AsyncClient

from app.config import settings
from app.web.protection import MOST_BYTES, PAGE_POLICY, SESSION_COOKIE
from tests.waiting import PATIENCE

TOKEN_FORM = {"name": "script", "days": "1"}


def test_a_write_needs_the_token_of_our_own_page(sign_in, ana):
    browser = sign_in(ana)
    token = browser.headers.pop("X-Form-Token")
    assert f'name="form_token" value="{token}"' in browser.get("/account").text

    refused = browser.post("/account/tokens", data=TOKEN_FORM)
    assert refused.status_code == 403
    assert "Reload the page" in refused.text
    assert browser.post("/account/tokens", data=TOKEN_FORM | {"form_token": "x"}).status_code == 403
    with_field = browser.post("/account/tokens", data=TOKEN_FORM | {"form_token": token})
    assert with_field.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_write_from_another_origin_is_refused_even_with_the_token(sign_in, ana, headers):
    reply = sign_in(ana).post("/account/tokens", data=TOKEN_FORM, headers=headers)
    assert reply.status_code == 403
    assert "another site" in reply.text


def test_the_token_of_one_person_is_no_good_for_another(sign_in, ana, rui):
    hers, his = sign_in(ana), sign_in(rui)
    hers.headers["X-Form-Token"] = his.headers["X-Form-Token"]
    assert hers.post("/account/tokens", data=TOKEN_FORM).status_code == 403


@pytest.mark.parametrize(
    "path", ["/sign-in", "/nowhere", "/api/v1/nowhere", "/healthz", "/static/app.css", "/static/x"]
)
def test_every_reply_carries_the_security_headers(client, path):
    headers = client.get(path).headers
    assert headers["content-security-policy"] == PAGE_POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["strict-transport-security"] == "max-age=31536000"
    assert "script-src 'self'" in PAGE_POLICY
    assert "unsafe" not in PAGE_POLICY


def test_signed_in_pages_are_not_kept_by_caches(sign_in, ana):
    assert sign_in(ana).get("/account").headers["cache-control"] == "no-store"


def test_errors_are_pages_for_people_and_problem_documents_for_programs(client):
    page = client.get("/nowhere")
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")
    document = client.get("/api/v1/nowhere")
    assert document.headers["content-type"] == "application/problem+json"
    assert set(document.json()) == {"type", "title", "status", "detail"}


def test_health_needs_nobody_and_readiness_looks_at_the_database(client, session):
    assert client.get("/healthz").json() == {"status": "ok"}
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["checks"] == {"database": True, "migrations": True, "queue": True}


def test_a_process_whose_threads_all_wait_is_alive(app):
    async def ask():
        threads = to_thread.current_default_thread_limiter()
        threads.total_tokens = 1
        browser = AsyncClient(transport=ASGITransport(app), base_url="https://testserver")
        async with threads, browser:
            with fail_after(PATIENCE):
                return (await browser.get("/healthz")).status_code

    with ThreadPoolExecutor(1) as pool:  # in this one a browser's loop may be running
        assert pool.submit(anyio.run, ask).result() == 200


def test_metrics_are_for_admins(client, api, ada, ana):
    assert client.get("/metrics").status_code == 401  # a program is not led to the sign-in page
    assert api(ana).get("/metrics").status_code == 403
    assert "touchstone_requests_total" in api(ada).get("/metrics").text


def test_settings_are_frozen():
    with pytest.raises(Exception, match="frozen"):
        settings.session_days = 1


MULTIPART = {"content-type": "multipart/form-data; boundary=b"}
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # a form that breaks off
@pytest.mark.parametrize(
    "who", [{}, {"cookie": f"{SESSION_COOKIE}=x"}, {"authorization": "Bearer x"}]
)
@pytest.mark.parametrize("path", ["/sign-in", "/projects/x/imports", "/api/v1/projects/x/imports"])
def test_a_stranger_fills_neither_the_memory_nor_the_disk(client, path, who):
    body = PART + b"x" * MOST_BYTES
    for content in (body, iter([body])):  # with its length and without
        reply = client.post(path, content=content, headers=MULTIPART | who)
        if path == "/sign-in":
            assert reply.status_code == 413
            assert "More than 4 MB are not taken here" in reply.text
        else:  # or sent away before anything was read
            assert reply.status_code in {401, 403, 404, 413}
    gc.collect()


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_whoever_has_an_account_may_send_large_files_and_no_larger_ones(
    api, sign_in, ada, project, monkeypatch
):
    line = b'{"prompt": "p", "responses": ["a", "b"], "note": "%s"}\n' % (b"x" * MOST_BYTES)
    address = f"/projects/{project.id}/imports"
    assert api(ada).post(f"/api/v1{address}", content=line).status_code == 202
    browser = sign_in(ada)
    assert browser.post(address, files={"file": ("a.jsonl", line)}).status_code == 303
    assert api(ada).post("/api/v1/projects", content=line).status_code == 413
    monkeypatch.setitem(settings.__dict__, "max_upload_mb", 1)
    for program in (browser, api(ada)):
        reply = program.post(address, files={"file": ("a.jsonl", line * 2)})
        assert reply.status_code == 413
    gc.collect()


def test_head_is_answered_like_get(client, sign_in, ana):
    for path in ("/sign-in", "/healthz", "/nowhere", "/static/app.css"):
        assert client.head(path).status_code == client.get(path).status_code
    assert sign_in(ana).head("/account").status_code == 200
    assert client.head("/account").headers["location"] == "/sign-in?next=%2Faccount"


def test_what_the_database_cannot_store_is_the_senders_mistake(client, api, ada):
    reply = client.post("/sign-in", data={"email": "\0", "password": "x"})
    assert reply.status_code == 422
    assert "a NUL character" in reply.text
    reply = client.post("/sign-in", data={"email": "a", "password": "x", "next": "/\0"})
    assert reply.status_code == 401
