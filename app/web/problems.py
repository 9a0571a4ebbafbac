"""Every error becomes a page for people or a problem document (RFC 9457) for programs."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.orm.exc import ObjectDeletedError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from app.errors import AppError, Conflict, Invalid, NotFound, TooManyRequests, Unauthenticated
from app.web.pages import render

log = structlog.get_logger(__name__)

PROBLEM = "application/problem+json"
# How the OpenAPI document describes every reply that is no success.
PROBLEM_REPLY: dict[str, Any] = {
    "description": "What is wrong, as a problem document (RFC 9457)",
    "content": {
        PROBLEM: {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status", "detail"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "errors": {"type": "array", "items": {"type": "object"}},
                },
            }
        }
    },
}


def wants_json(request: Request) -> bool:
    """Whether a program asks, or a person."""
    is_for_programs = request.url.path.startswith(("/api/", "/metrics"))
    return is_for_programs or "application/json" in request.headers.get("accept", "")


def problem(
    request: Request,
    *,
    status: int,
    title: str,
    detail: str,
    errors: list[dict[str, Any]] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    detail = sendable(detail)
    errors = [
        {key: sendable(each) if isinstance(each, str) else each for key, each in item.items()}
        for item in errors or []
    ]
    if wants_json(request):
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": title,
            "status": status,
            "detail": detail,
        }
        if errors:
            body["errors"] = errors
        return JSONResponse(body, status_code=status, media_type=PROBLEM, headers=headers)
    page: HTMLResponse = render(
        request, "error.html", status=status, title=title, detail=detail, errors=errors
    )
    page.headers.update(headers or {})
    return page


def sendable(text: str) -> str:
    """Without halves of surrogate pairs: JSON may hold them, UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()


def app_error(request: Request, error: AppError) -> Response:
    if isinstance(error, Unauthenticated) and not wants_json(request) and request.method == "GET":
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/sign-in?next={quote(here, safe='')}", status_code=303)
    headers: dict[str, str] = {}
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, TooManyRequests):
        headers["Retry-After"] = str(error.retry_after)
    return problem(
        request,
        status=error.status,
        title=error.title,
        detail=error.detail,
        errors=error.errors,
        headers=headers,
    )


def invalid_request(request: Request, error: RequestValidationError) -> Response:
    """What is wrong with which field, in words; the values sent are not repeated."""
    if any(item["loc"][0] == "path" for item in error.errors()):  # no id of ours looks like that
        return app_error(request, NotFound())
    errors: list[dict[str, str]] = []
    for item in error.errors():  # a body that the permission reads, too, is complained of twice
        if (trouble := _trouble(item)) not in errors:
            errors.append(trouble)
    detail = "; ".join(f"{item['field']}: {item['message']}" for item in errors[:5])
    return problem(request, status=422, title=Invalid.title, detail=detail, errors=errors)


def _trouble(item: Mapping[str, Any]) -> dict[str, str]:
    """One complaint of Pydantic's: the field as it was sent, and what is wrong with it."""
    first, *within = (str(part) for part in item["loc"])
    if item["type"] == "json_invalid":  # its place is a character, not a field
        return {"field": first, "message": f"not JSON: {item['ctx']['error']} (at {within[0]})"}
    message = str(item["msg"]).removeprefix("Value error, ")
    return {"field": ".".join(within) or first, "message": message}


def http_error(request: Request, error: HTTPException) -> Response:
    phrase = HTTPStatus(error.status_code).phrase
    detail = (
        "There is nothing at this address."
        if error.status_code == HTTPStatus.NOT_FOUND
        else str(error.detail or phrase)
    )
    return problem(
        request,
        status=error.status_code,
        title=phrase,
        detail=detail,
        headers=dict(error.headers or {}),
    )


def _said(error: DBAPIError) -> str:
    """What the database said, without the row: its values may be somebody's name or address."""
    diagnosis = getattr(error.orig, "diag", None)
    said = getattr(diagnosis, "message_primary", None) or str(error.orig).partition("\n")[0]
    return str(said)


def _route(request: Request) -> str:
    """As in `RequestLog`: a path may hold an address or a key."""
    return getattr(request.scope.get("route"), "path", "unknown")


def database_error(request: Request, error: DBAPIError) -> Response:
    if isinstance(error, IntegrityError):
        log.warning("conflict", error=_said(error), route=_route(request))
        return problem(
            request,
            status=409,
            title=Conflict.title,
            detail="Somebody changed this at the same moment. Reload the page and try again.",
        )
    if isinstance(error, DataError):
        return problem(
            request,
            status=422,
            title=Invalid.title,
            detail="Something here cannot be stored: a NUL character, half of a surrogate pair, "
            "or a number that is too large.",
        )
    log.error("database", error=_said(error), route=_route(request))
    if isinstance(error, OperationalError) or error.connection_invalidated:
        return problem(
            request,
            status=503,
            title="The database does not answer",
            detail="Nothing is lost. Try again in a few seconds.",
            headers={"Retry-After": "3"},
        )
    return unexpected(request, error)


def gone(request: Request, _error: ObjectDeletedError) -> Response:
    return problem(
        request,
        status=404,
        title="Not found",
        detail="What this is about was removed a moment ago.",
    )


def unexpected(request: Request, error: Exception) -> Response:
    log.error("unexpected error", route=_route(request), exc_info=error)
    return problem(
        request,
        status=500,
        title="Something went wrong",
        detail="This is our mistake, not yours. Nothing was changed; the log has the details.",
    )


def install(app: FastAPI) -> None:
    handlers: dict[type[Exception], Any] = {
        AppError: app_error,
        RequestValidationError: invalid_request,
        HTTPException: http_error,
        DBAPIError: database_error,
        ObjectDeletedError: gone,
        Exception: unexpected,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
