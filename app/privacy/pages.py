"""A person's privacy: where her work went, erasing her, and snapshots that hold what was erased."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Request
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.accounts.auth import AdminUser, CurrentUser
from app.accounts.models import User, UserKind
from app.datasets import service as datasets
from app.datasets.auth import AdminPageSnapshot
from app.db import Now, SessionDep
from app.errors import AppError, Invalid, found
from app.privacy import queries, service
from app.privacy.auth import Anybody, PersonOfProject
from app.privacy.formats.own_data import data_reply, own_data
from app.privacy.queries import Traced
from app.privacy.schemas import EraseForm
from app.projects.auth import AdminProject
from app.projects.models import Project
from app.web import redirect, render
from app.web.tables import csv_reply

router = APIRouter(include_in_schema=False)

HERS = "/projects/{project_id}/annotators/{user_id}/privacy"
CSV = ("kind", "id", "name", "project", "judgements", "directly", "erased_at", "files_removed_at")


@router.get("/users/{user_id}/privacy", name="privacy_everywhere")
def everywhere(
    request: Request, session: SessionDep, user: AdminUser, person: Anybody
) -> HTMLResponse:
    return _page(request, session, user=user, person=person)


@router.post("/users/{user_id}/privacy", name="erase_everywhere", response_model=None)
def erase_everywhere(
    request: Request,
    session: SessionDep,
    user: AdminUser,
    person: Anybody,
    now: Now,
    form: Annotated[EraseForm, Form()],
) -> Response:
    return _erase(request, session, user=user, person=person, now=now, form=form)


@router.get("/users/{user_id}/traces.csv", name="traces_csv_everywhere")
def traces_csv_everywhere(session: SessionDep, person: Anybody) -> Response:
    return _csv(service.trace(session, user=person))


@router.get("/users/{user_id}/data.jsonl", name="own_data_everywhere")
def own_data_everywhere(session: SessionDep, person: Anybody, now: Now) -> Response:
    return data_reply("".join(own_data(session, user=person, now=now)))


@router.get(HERS, name="privacy")
def in_project(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    person: PersonOfProject,
) -> HTMLResponse:
    return _page(request, session, user=user, person=person, project=project)


@router.post(HERS, name="erase_in_project", response_model=None)
def erase_in_project(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    person: PersonOfProject,
    now: Now,
    form: Annotated[EraseForm, Form()],
) -> Response:
    return _erase(request, session, user=user, person=person, project=project, now=now, form=form)


@router.get(f"{HERS}/traces.csv", name="traces_csv")
def traces_csv(session: SessionDep, project: AdminProject, person: PersonOfProject) -> Response:
    return _csv(service.trace(session, user=person, project=project))


@router.get(f"{HERS}/data.jsonl", name="own_data_in_project")
def own_data_in_project(
    session: SessionDep, project: AdminProject, person: PersonOfProject, now: Now
) -> Response:
    return data_reply("".join(own_data(session, user=person, project=project, now=now)))


@router.post(
    "/projects/{project_id}/snapshots/{snapshot_id}/correction", name="correct_snapshot_page"
)
def correct(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    snapshot: AdminPageSnapshot,
    without: Annotated[UUID | None, Form()] = None,
) -> RedirectResponse:
    """One click freezes the same recipe over what there is now."""
    person = None if without is None else found(session.get(User, without))
    made = datasets.correct(session, snapshot=snapshot, without=person, by=user)
    return redirect(request, "snapshot", project_id=project.id, snapshot_id=made.id)


@router.post(
    "/projects/{project_id}/snapshots/{snapshot_id}/remove-files", name="remove_snapshot_files_page"
)
def remove_files(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    snapshot: AdminPageSnapshot,
) -> RedirectResponse:
    service.remove_files(session, snapshot=snapshot, by=user)
    return redirect(request, "snapshot", project_id=project.id, snapshot_id=snapshot.id)


def _erase(
    request: Request,
    session: Session,
    *,
    user: User,
    person: User,
    now: Now,
    form: EraseForm,
    project: Project | None = None,
) -> Response:
    """Once her name is typed; what is wrong is said on the page, with the choice as it was."""
    typed = " ".join(form.confirmation.split()).casefold()
    try:
        scope = form.scope(project_id=project.id if project else None)
        if typed not in {person.name.casefold(), (person.email or person.name).casefold()}:
            raise Invalid(f"Type “{person.name}” to confirm. Nothing was changed.")
        service.erase(session, user=person, scope=scope, by=user, now=now)
    except AppError as error:
        session.rollback()
        return _page(
            request,
            session,
            user=user,
            person=person,
            project=project,
            form=form,
            problem=error.detail,
            status=error.status,
        )
    if project is None:
        return redirect(request, "privacy_everywhere", user_id=person.id)
    return redirect(request, "privacy", project_id=project.id, user_id=person.id)


def _page(
    request: Request,
    session: Session,
    *,
    user: User,
    person: User,
    project: Project | None = None,
    form: EraseForm | None = None,
    problem: str | None = None,
    status: int = 200,
) -> HTMLResponse:
    navigation: dict[str, Any] = {"section": "people"} if project else {}
    return render(
        request,
        "privacy/person.html",
        status=status,
        person=person,
        project=project,
        is_erased=person.kind is UserKind.ERASED,
        is_self=person.id == user.id,
        traced=service.trace(session, user=person, project=project),
        reach=service.reach(session, user=person, project=project),
        erasures=queries.erasures_of(session, user=person, project=project),
        form=form or EraseForm(),
        problem=problem,
        **navigation,
    )


def _csv(traced: Traced) -> Response:
    """A line for everything that holds her work or learned from it."""
    rows: list[list[Any]] = [
        [
            "snapshot", each.id, each.name, each.project_id, number, True, each.erased_at,
            each.files_removed_at,
        ]
        for each, number in traced.snapshots
    ]  # fmt: skip
    rows += [
        ["run", each.id, each.name, each.project_id, None, each.id in traced.direct, None, None]
        for each in traced.runs
    ]
    rows += [
        [
            "checkpoint", each.id, each.name, each.project_id, None, each.run_id in traced.direct,
            None, None,
        ]
        for each in traced.checkpoints
    ]  # fmt: skip
    rows += [
        ["generation", each.id, "", each.project_id, None, False, None, None]
        for each in traced.generations
    ]
    return csv_reply("traces", CSV, rows)
