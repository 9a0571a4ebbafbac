"""Who takes part in a project, and on what terms."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.accounts import service as accounts
from app.accounts.auth import CurrentUser
from app.accounts.models import Role
from app.accounts.pages import public_url
from app.accounts.queries import open_invitations, user_by_email
from app.db import Now, SessionDep
from app.errors import AppError, Invalid
from app.projects import queries, rules, service
from app.projects.auth import AdminMember, AdminProject
from app.projects.models import Membership, Project
from app.projects.schemas import MemberTerms
from app.projects.schemas.forms import InvitationForm, MemberForm, PauseForm, TermsForm
from app.web import redirect, render

router = APIRouter(include_in_schema=False)


@router.get("/projects/{project_id}/members", name="members")
def members(request: Request, session: SessionDep, project: AdminProject, now: Now) -> HTMLResponse:
    return members_page(request, session, project, now)


def members_page(
    request: Request,
    session: SessionDep,
    project: Project,
    now: Now,
    *,
    link: str | None = None,
    email: str = "",
) -> HTMLResponse:
    return render(
        request,
        "projects/members.html",
        project=project,
        section="settings",
        members=queries.members_of(session, project=project),
        invitations=open_invitations(session, now=now, project_id=project.id),
        roles=list(Role),
        stranded=queries.stranded_tasks(session, project=project),
        link=link,
        email=email,
    )


@router.post("/projects/{project_id}/members", name="add_member", response_model=None)
def add_member(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    now: Now,
    form: Annotated[InvitationForm, Form()],
) -> Response:
    """Take in somebody who is here already, or invite a new person by a link."""
    known = user_by_email(session, form.email)
    link = None
    if known is None or known.password_hash is None:
        key = accounts.invite(
            session, email=form.email, role=form.role, by=user, now=now, project_id=project.id
        )
        link = public_url(request, str(request.app.url_path_for("invitation", key=key)))
    service.set_member_by_email(session, project=project, email=form.email, role=form.role, by=user)
    if link is None:
        return redirect(request, "members", project_id=project.id)
    session.flush()  # the list below shows the invitation
    return members_page(request, session, project, now, link=link, email=form.email)


@router.get("/projects/{project_id}/members/{user_id}", name="member")
def member(
    request: Request, session: SessionDep, project: AdminProject, membership: AdminMember
) -> HTMLResponse:
    form = TermsForm(
        expertise=", ".join(membership.expertise),
        languages=", ".join(membership.languages),
        daily_limit=membership.daily_limit,
        total_limit=membership.total_limit,
    )
    return member_page(request, session, project, membership, form)


def member_page(
    request: Request,
    session: Session,
    project: Project,
    membership: Membership,
    form: TermsForm,
    *,
    problem: AppError | None = None,
) -> HTMLResponse:
    lanes = queries.lanes_of(session, project=project)
    return render(
        request,
        "projects/member.html",
        status=problem.status if problem else 200,
        project=project,
        section="settings",
        member=membership,
        form=form,
        languages=sorted({lane.language for lane in lanes if lane.language}),
        expertise=sorted({name for lane in lanes for name in lane.expertise}),
        problem=problem.detail if problem else None,
    )


@router.post(
    "/projects/{project_id}/members/{user_id}", name="set_member_terms", response_model=None
)
def set_member_terms(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    membership: AdminMember,
    form: Annotated[TermsForm, Form()],
) -> Response:
    """Say what she may judge, and how much."""
    try:
        terms = MemberTerms(
            expertise=rules.expertise_of(form.expertise.split(",")),
            languages=rules.languages_of(form.languages.split(",")),
            daily_limit=form.daily_limit,
            total_limit=form.total_limit,
        )
        service.set_terms(session, project=project, membership=membership, terms=terms, by=user)
    except ValueError as error:
        problem = Invalid(str(error))
        return member_page(request, session, project, membership, form, problem=problem)
    except AppError as error:
        return member_page(request, session, project, membership, form, problem=error)
    return redirect(request, "members", project_id=project.id)


@router.post("/projects/{project_id}/members/{user_id}/role", name="set_member_role")
def set_member_role(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    membership: AdminMember,
    form: Annotated[MemberForm, Form()],
) -> RedirectResponse:
    service.set_member(session, project=project, user=membership.user, role=form.role, by=user)
    return redirect(request, "members", project_id=project.id)


@router.post("/projects/{project_id}/members/{user_id}/pause", name="pause_member")
def pause_member(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    now: Now,
    membership: AdminMember,
    form: Annotated[PauseForm, Form()],
) -> RedirectResponse:
    """Stop handing tasks to her, or go on, whichever it is not doing; takes effect at once."""
    if membership.paused_at is None:
        service.pause_member(
            session, project=project, membership=membership, reason=form.reason, by=user, now=now
        )
    else:
        service.resume_member(session, project=project, membership=membership, by=user)
    return redirect(request, "members", project_id=project.id)


@router.post("/projects/{project_id}/members/{user_id}/remove", name="remove_member")
def remove_member(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    membership: AdminMember,
) -> RedirectResponse:
    service.remove_member(session, project=project, membership=membership, by=user)
    return redirect(request, "members", project_id=project.id)
