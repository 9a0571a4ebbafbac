"""Write protection and security headers.

A browser's write needs an Origin of our own and, once signed in, a token that only our pages know.
The token is derived from the session cookie, so that checking it costs no query.
"""

import hashlib
import hmac
from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.config import settings
from app.errors import Forbidden
from app.web.uploads import too_large

SESSION_COOKIE = "__Host-session"
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
MOST_BYTES = 4 * 10**6  # of a body that is no upload: the longest guidelines fit twice
LOOPBACK = {"localhost", "127.0.0.1", "::1", "[::1]", "testserver"}

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "object-src 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
# Plotly writes style elements, and builds its drawings through innerHTML.
CHART_POLICY = PAGE_POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'").replace(
    "; require-trusted-types-for 'script'", ""
)


def form_token_for(cookie: str) -> str:
    """The token that a form of the browser with this session cookie must carry."""
    return hmac.new(cookie.encode(), b"form", hashlib.sha256).hexdigest()


def form_token_of(request: Request) -> str:
    """The token of the browser that asks; empty when nobody is signed in."""
    cookie = request.cookies.get(SESSION_COOKIE)
    return form_token_for(cookie) if cookie else ""


def comes_from_here(request: Request) -> bool:
    """Whether the browser says that one of our own pages sent this."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("origin")
    if origin is None:  # no browser: it has no cookie to misuse, or sent it on purpose
        return True
    parts = urlsplit(origin)
    return (parts.scheme, parts.netloc) == (request.url.scheme, request.url.netloc)


async def protect_writes(request: Request) -> None:
    """Refuse a write that another site made this browser send."""
    if request.method in SAFE_METHODS or "authorization" in request.headers:
        return
    if not comes_from_here(request):
        raise Forbidden("This request came from another site, so nothing was changed.")
    expected = form_token_of(request)
    if not expected:
        return
    given = request.headers.get("x-form-token")
    is_form = request.headers.get("content-type", "").startswith(
        ("application/x-www-form-urlencoded", "multipart/form-data")
    )
    if given is None and is_form:
        given = str((await request.form()).get("form_token", ""))
    if not hmac.compare_digest(expected, given or ""):
        raise Forbidden(
            "This page is older than your sign-in, so nothing was changed. "
            "Reload the page and send it again."
        )


ProtectWrites = Annotated[None, Depends(protect_writes)]


class SecurityHeaders:
    """Puts the headers that every reply must carry on every reply, errors included."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        caching = "no-store"
        if scope["path"].startswith("/static/"):  # modules import each other without a version
            is_versioned = scope["query_string"].startswith(b"v=")
            caching = "public, max-age=31536000" if is_versioned else "no-cache"

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", PAGE_POLICY)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "same-origin")
                headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
                headers.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
                headers.setdefault("Cache-Control", caching)
                if scope["scheme"] == "https":
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
            await send(message)

        await self.app(scope, receive, send_with_headers)


class BodyLimit:
    """Takes no more of a body than a form or a call of ours needs.

    Only whoever `may_upload` (asked when a body turns out to be long) sends more, to an address
    that ends in `/imports`: a stranger must fill neither the memory nor the disk.
    """

    def __init__(self, app: ASGIApp, *, may_upload: Callable[[Headers], bool]) -> None:
        self.app = app
        self.may_upload = may_upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        announced = headers.get("content-length", "")
        size, limit = int(announced) if announced.isdecimal() else 0, MOST_BYTES
        taken, is_upload = 0, scope["path"].endswith("/imports")

        async def receive_within_limit() -> Message:
            nonlocal limit, taken
            message = await receive()
            taken += len(message.get("body", b""))
            is_asked = max(size, taken) > limit == MOST_BYTES
            if is_asked and is_upload and await run_in_threadpool(self.may_upload, headers):
                limit += settings.max_upload_mb * 10**6
            if max(size, taken) > limit:
                said = f"More than {MOST_BYTES // 10**6} MB are not taken here."
                raise HTTPException(413, said if limit == MOST_BYTES else too_large().detail)
            return message

        await self.app(scope, receive_within_limit, send)


class HeadAsGet:
    """Answers HEAD like GET wherever there is a page; the server leaves the body out."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self.app(scope, receive, send)
