"""The endpoints of a project: a list with a form below, and a page on which one is tried."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.accounts.auth import CurrentUser
from app.completions import KEYS, BadReply, Reply, Writer, allowed
from app.db import SessionDep
from app.errors import AppError
from app.generation import queries, service
from app.generation.auth import AdminPageEndpoint
from app.generation.models import Endpoint
from app.generation.schemas import EndpointForm, TryForm
from app.projects.auth import AdminProject
from app.projects.models import Project
from app.web import redirect, render

router = APIRouter(include_in_schema=False)

PATIENCE = 30.0  # seconds that somebody who tries an endpoint waits for its reply


@router.get("/projects/{project_id}/endpoints", name="endpoints")
def endpoints(request: Request, session: SessionDep, project: AdminProject) -> HTMLResponse:
    return _list(request, session, project, EndpointForm())


@router.post("/projects/{project_id}/endpoints", name="add_endpoint_page", response_model=None)
def add_endpoint_page(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    form: Annotated[EndpointForm, Form()],
) -> Response:
    try:
        endpoint = service.add_endpoint(session, project=project, body=form.body(), by=user)
    except ValidationError as error:
        problems = [(str(item["loc"][0]), _words(item)) for item in error.errors()]
        return _list(request, session, project, form, problems=problems)
    except AppError as error:
        return _list(request, session, project, form, problems=[("", error.detail)])
    return redirect(request, "endpoint", project_id=project.id, endpoint_id=endpoint.id)


@router.get("/projects/{project_id}/endpoints/{endpoint_id}", name="endpoint")
def endpoint_page(
    request: Request, project: AdminProject, endpoint: AdminPageEndpoint
) -> HTMLResponse:
    return _one(request, project, endpoint, TryForm())


@router.post("/projects/{project_id}/endpoints/{endpoint_id}/try", name="try_endpoint")
def try_endpoint(
    request: Request,
    project: AdminProject,
    endpoint: AdminPageEndpoint,
    form: Annotated[TryForm, Form()],
) -> HTMLResponse:
    """One reply to one prompt, at once; nothing of it is kept."""
    target = service.target_of(endpoint)
    reply, problem = None, None
    try:
        with Writer(target, timeout=PATIENCE, tries=1) as writer:
            reply = writer.write([{"role": "user", "content": form.prompt}], max_new_tokens=200)
    except BadReply as error:
        problem = f"No response to this prompt: {error}."
    except AppError as error:
        problem = error.detail
    return _one(request, project, endpoint, form, reply=reply, problem=problem)


@router.post("/projects/{project_id}/endpoints/{endpoint_id}/remove", name="remove_endpoint_page")
def remove_endpoint_page(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    endpoint: AdminPageEndpoint,
) -> RedirectResponse:
    service.remove_endpoint(session, endpoint=endpoint, by=user)
    return redirect(request, "endpoints", project_id=project.id)


def _words(item: object) -> str:
    """What is wrong with a field; a pattern says little to people."""
    assert isinstance(item, dict)
    if item["type"] == "missing":
        return "Fill it in."
    if item["type"] == "string_pattern_mismatch" and item["loc"][0] == "name":
        return "Letters, digits, blanks, dots and dashes, 60 at most."
    if item["type"] == "string_pattern_mismatch":
        return "Capital letters, digits and underscores, such as LAB or OPENAI."
    return str(item["msg"]).removeprefix("Value error, ")


def _list(
    request: Request,
    session: Session,
    project: Project,
    form: EndpointForm,
    *,
    problems: list[tuple[str, str]] | None = None,
) -> HTMLResponse:
    return render(
        request,
        "generation/endpoints.html",
        status=422 if problems else 200,
        project=project,
        section="runs",
        endpoints=queries.endpoints_of(session, project=project),
        form=form,
        allowed=allowed(),
        keys=KEYS,
        problems=problems or [],
        wrong=dict(problems or []),
    )


def _one(
    request: Request,
    project: Project,
    endpoint: Endpoint,
    form: TryForm,
    *,
    reply: Reply | None = None,
    problem: str | None = None,
) -> HTMLResponse:
    return render(
        request,
        "generation/endpoint.html",
        project=project,
        section="runs",
        endpoint=endpoint,
        has_key=service.target_of(endpoint).key is not None,
        keys=KEYS,
        form=form,
        reply=reply,
        problem=problem,
    )
