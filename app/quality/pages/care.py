"""Acting on what the figures say of a person, each with a way back."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse

from app.accounts.auth import CurrentUser
from app.annotation import service as annotation
from app.db import Now, SessionDep
from app.errors import found
from app.projects import service as projects
from app.projects.auth import AdminMember, AdminProject
from app.quality.queries.care import requeue_of
from app.quality.schemas.care import MessageForm, ReasonForm, RequeueConfirmation, RequeueForm
from app.web import redirect, render

router = APIRouter(include_in_schema=False)

HERS = "/projects/{project_id}/annotators/{user_id}"


def back(request: Request, project: AdminProject, membership: AdminMember) -> RedirectResponse:
    path = request.app.url_path_for("person", project_id=project.id, user_id=membership.user_id)
    return RedirectResponse(f"{path}#care", status_code=303)


@router.post(f"{HERS}/pause", name="pause_person")
def pause(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    membership: AdminMember,
    now: Now,
    form: Annotated[ReasonForm, Form()],
) -> RedirectResponse:
    """Hand her no more tasks; what she has on her screen she may finish."""
    projects.pause_member(
        session, project=project, membership=membership, reason=form.reason, by=user, now=now
    )
    return back(request, project, membership)


@router.post(f"{HERS}/resume", name="resume_person")
def resume(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    membership: AdminMember,
    next: Annotated[str, Query()] = "",  # noqa: A002
) -> RedirectResponse:
    projects.resume_member(session, project=project, membership=membership, by=user)
    if next == "gold":
        return redirect(request, "gold", project_id=project.id)
    return back(request, project, membership)


@router.post(f"{HERS}/messages", name="message_person")
def message(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    membership: AdminMember,
    now: Now,
    form: Annotated[MessageForm, Form()],
) -> RedirectResponse:
    projects.send_message(session, membership=membership, body=form.body, by=user, now=now)
    return back(request, project, membership)


@router.post(f"{HERS}/messages/{{message_id}}/withdraw", name="withdraw_message")
def withdraw_message(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    membership: AdminMember,
    now: Now,
    message_id: UUID,
) -> RedirectResponse:
    projects.withdraw_message(
        session, membership=membership, message_id=message_id, by=user, now=now
    )
    return back(request, project, membership)


@router.post(f"{HERS}/exclusion", name="exclude_person")
def exclude(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    membership: AdminMember,
    now: Now,
    form: Annotated[ReasonForm, Form()],
) -> RedirectResponse:
    projects.exclude_member(session, membership=membership, reason=form.reason, by=user, now=now)
    return back(request, project, membership)


@router.post(f"{HERS}/inclusion", name="include_person")
def include(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    membership: AdminMember,
) -> RedirectResponse:
    projects.include_member(session, membership=membership, by=user)
    return back(request, project, membership)


@router.get(f"{HERS}/requeue", name="requeue_review")
def requeue_review(
    request: Request,
    session: SessionDep,
    project: AdminProject,
    membership: AdminMember,
    now: Now,
    form: Annotated[RequeueForm, Query()],
) -> HTMLResponse:
    """What re-queueing would do, before anything is done."""
    which = form.which(now)
    return render(
        request,
        "quality/requeue.html",
        project=project,
        section="people",
        membership=membership,
        which=which,
        reach=annotation.reach(session, project=project, membership=membership, which=which),
    )


@router.post(f"{HERS}/requeue", name="requeue_person")
def requeue(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    membership: AdminMember,
    now: Now,
    form: Annotated[RequeueConfirmation, Form()],
) -> RedirectResponse:
    annotation.requeue(
        session,
        project=project,
        membership=membership,
        which=form.which(),
        by=user,
        now=now,
    )
    return back(request, project, membership)


@router.post(f"{HERS}/requeues/{{requeue_id}}/undo", name="undo_requeue")
def undo_requeue(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    membership: AdminMember,
    now: Now,
    requeue_id: UUID,
) -> RedirectResponse:
    entry = found(requeue_of(session, membership=membership, requeue_id=requeue_id))
    annotation.undo_requeue(
        session, project=project, membership=membership, entry=entry, by=user, now=now
    )
    return back(request, project, membership)
