"""Pages of projects: the list, a new one, its settings, members and guidelines."""

import difflib
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Request
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.accounts import service as accounts
from app.accounts.auth import AdminUser, CurrentUser
from app.accounts.models import AuditEvent, Role
from app.accounts.pages import public_url
from app.accounts.queries import open_invitations, user_by_email
from app.db import Now, SessionDep
from app.errors import AppError, Invalid, found
from app.projects import queries, rules, service
from app.projects.auth import AdminProject, MemberProject, ProjectRole
from app.projects.models import Guidelines, Membership, Project
from app.projects.schemas import (
    GuidelinesForm,
    InvitationForm,
    MemberForm,
    MemberTerms,
    PauseForm,
    PauseProjectForm,
    ProjectBody,
    ProjectForm,
    ProjectPatch,
    ReadForm,
    SettingsForm,
    TermsForm,
)
from app.web import redirect, render

router = APIRouter(include_in_schema=False)


@router.get("/projects", name="projects")
def projects(request: Request, session: SessionDep, user: CurrentUser) -> HTMLResponse:
    mine = queries.projects_of(session, user=user)
    progress = queries.progress_of(session, projects=[project for project, _ in mine])
    return render(
        request,
        "projects/list.html",
        mine=mine,
        progress=progress,
        qualifies=queries.to_qualify_in(session, user=user),
    )


@router.get("/projects/new", name="new_project")
def new_project(request: Request, _admin: AdminUser) -> HTMLResponse:
    form = ProjectForm(name="", guidelines=rules.STARTER_GUIDELINES)
    return render(request, "projects/new.html", form=form, questions=None, problem=None)


@router.post("/projects/new", response_model=None)
def create_project(
    request: Request, session: SessionDep, user: AdminUser, form: Annotated[ProjectForm, Form()]
) -> Response:
    try:
        project = service.create(session, by=user, body=ProjectBody(**settings_of(form)))
    except AppError as error:
        return render(
            request,
            "projects/new.html",
            status=error.status,
            form=form,
            questions=None,
            problem=error.detail,
        )
    return redirect(request, "project_data", project_id=project.id)


def settings_of(form: ProjectForm) -> dict[str, object]:
    """The form's values as the schemas of the API know them."""
    try:
        settings = {
            "name": form.name,
            "description": form.description,
            "criteria": rules.criteria_from_text(form.criteria),
            "strength_levels": form.strength_levels,
            "allow_ties": form.allow_ties,
            "overlap": {
                "min": form.overlap_min,
                "max": max(form.overlap_min, form.overlap_max),
                "confidence": form.confidence_percent and form.confidence_percent / 100,
            },
            "gold_rate": form.gold_percent / 100,
            "gold_threshold": form.gold_threshold_percent / 100,
            "lease_minutes": form.lease_minutes,
            "repeat_rate": form.repeat_percent / 100,
            "daily_limit": form.daily_limit,
            "total_limit": form.total_limit,
            "largest_share": form.largest_share,
            "qualification": {
                "size": form.qualification_size,
                "pass_mark": form.qualification_percent / 100,
                "attempts": form.qualification_attempts,
                "wait_hours": form.qualification_wait_hours,
            },
            "guidelines": form.guidelines,
        }
        ProjectBody(**settings)  # checks what it is given
    except ValidationError as error:
        raise Invalid("; ".join(str(item["msg"]) for item in error.errors())) from error
    except ValueError as error:
        raise Invalid(str(error)) from error
    return settings


@router.get("/projects/{project_id}/settings", name="project_settings")
def project_settings(request: Request, session: SessionDep, project: AdminProject) -> HTMLResponse:
    current = found(queries.guidelines_of(session, project=project))
    form = ProjectForm(
        name=project.name,
        description=project.description,
        criteria=rules.criteria_as_text(project.criteria),
        strength_levels=project.strength_levels,
        allow_ties=project.allow_ties,
        overlap_min=project.overlap_min,
        overlap_max=project.overlap_max,
        confidence_percent=project.overlap_confidence and round(100 * project.overlap_confidence),
        gold_percent=round(100 * project.gold_rate),
        gold_threshold_percent=round(100 * project.gold_threshold),
        lease_minutes=project.lease_minutes,
        repeat_percent=round(100 * project.repeat_rate),
        daily_limit=project.daily_limit,
        total_limit=project.total_limit,
        largest_share=project.largest_share,
        qualification_size=project.qualification_size,
        qualification_percent=round(100 * project.qualification_pass),
        qualification_attempts=project.qualification_attempts,
        qualification_wait_hours=project.qualification_wait_hours,
        guidelines=current.text,
    )
    last = queries.last_change(session, project=project)
    return settings_page(request, session, project, form, last=last)


def settings_page(
    request: Request,
    session: Session,
    project: Project,
    form: ProjectForm,
    *,
    last: AuditEvent | None = None,
    problem: AppError | None = None,
) -> HTMLResponse:
    return render(
        request,
        "projects/settings.html",
        status=problem.status if problem else 200,
        project=project,
        section="settings",
        form=form,
        questions=queries.questions_in_set(session, project=project),
        problem=problem.detail if problem else None,
        saved=request.query_params.get("saved"),
        last=last,
    )


@router.post("/projects/{project_id}/settings", response_model=None)
def save_settings(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    now: Now,
    form: Annotated[SettingsForm, Form()],
) -> Response:
    """Save what was reviewed; settings that somebody has changed meanwhile are reviewed again."""
    if form.edit:
        return settings_page(request, session, project, form)
    try:
        service.update_settings(
            session,
            project=project,
            patch=patch_of(form),
            by=user,
            now=now,
            reviewed=form.reviewed or None,
        )
    except service.Outdated:
        again = request.app.url_path_for("review_settings", project_id=project.id)
        return RedirectResponse(again, status_code=307)  # with the same form
    except AppError as error:
        return settings_page(request, session, project, form, problem=error)
    target = request.app.url_path_for("project_settings", project_id=project.id)
    return RedirectResponse(f"{target}?saved=yes", status_code=303)


def patch_of(form: ProjectForm) -> ProjectPatch:
    """What the form of the settings says; the guidelines have a page of their own."""
    return ProjectPatch.model_validate(settings_of(form) | {"guidelines": None})


@router.post("/projects/{project_id}/pause", name="pause_project")
def pause_project(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    now: Now,
    form: Annotated[PauseProjectForm, Form()],
) -> RedirectResponse:
    """Stop handing out tasks, or go on: as asked, else whichever it is not doing."""
    paused = project.paused_at is None if form.paused is None else form.paused
    patch = ProjectPatch(paused=paused)
    service.update_settings(session, project=project, patch=patch, by=user, now=now)
    return redirect(request, "project_settings", project_id=project.id)


@router.get("/projects/{project_id}/guidelines", name="guidelines")
def guidelines(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: MemberProject,
    role: ProjectRole,
    version: int | None = None,
) -> HTMLResponse:
    shown = found(queries.guidelines_of(session, project=project, version=version))
    membership = queries.member(session, project=project, user_id=user.id)
    versions = queries.guidelines_versions(session, project=project)
    read = membership.guidelines_read if membership else 0
    must_read = role is not Role.VIEWER and read < project.guidelines_version
    is_news = must_read and read > 0 and shown.version == project.guidelines_version
    base = read if is_news else shown.version - 1  # what is new to her, else to the version before
    before = next((each for each in versions if each.version == base), None)
    return render(
        request,
        "projects/guidelines.html",
        project=project,
        section="guidelines",
        shown=shown,
        versions=versions,
        changes=changes_in(shown, before),
        scale_changes=rules.scale_changes(before.scale, shown.scale) if before else [],
        changes_from=base,
        must_read=must_read,
    )


def changes_in(shown: Guidelines, before: Guidelines | None) -> list[tuple[str, str]]:
    """Lines that came (`+`) and went (`-`) since another version; empty for the first."""
    if before is None:
        return []
    lines = difflib.ndiff(before.text.splitlines(), shown.text.splitlines())
    return [(line[0], line[2:]) for line in lines if line[0] in "+-" and line[2:].strip()]


@router.post("/projects/{project_id}/guidelines/read", name="acknowledge_guidelines")
def acknowledge_guidelines(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: MemberProject,
    form: Annotated[ReadForm, Form()],
) -> RedirectResponse:
    """She has read the version that was on her screen; a newer one than that she sees next."""
    version = form.version or project.guidelines_version
    service.acknowledge_guidelines(session, project=project, user=user, version=version)
    return redirect(request, "rank", project_id=project.id)


@router.get("/projects/{project_id}/guidelines/edit", name="edit_guidelines")
def edit_guidelines(request: Request, session: SessionDep, project: AdminProject) -> HTMLResponse:
    current = found(queries.guidelines_of(session, project=project))
    return guidelines_editor(request, project, text=current.text, version=current.version)


def guidelines_editor(
    request: Request, project: Project, *, text: str, version: int, problem: AppError | None = None
) -> HTMLResponse:
    return render(
        request,
        "projects/guidelines_edit.html",
        status=problem.status if problem else 200,
        project=project,
        section="guidelines",
        text=text,
        version=version,
        problem=problem.detail if problem else None,
    )


@router.post("/projects/{project_id}/guidelines/edit", response_model=None)
def save_guidelines(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    now: Now,
    form: Annotated[GuidelinesForm, Form()],
) -> Response:
    if form.edit:
        return guidelines_editor(request, project, text=form.text, version=form.version)
    patch = ProjectPatch(guidelines=form.text, guidelines_version=form.version)
    try:
        service.update_settings(session, project=project, patch=patch, by=user, now=now)
    except AppError as error:  # her text stays on the page
        return guidelines_editor(
            request, project, text=form.text, version=form.version, problem=error
        )
    return redirect(request, "guidelines", project_id=project.id)


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
    request: Request, session: SessionDep, project: AdminProject, user_id: UUID
) -> HTMLResponse:
    membership = found(queries.member(session, project=project, user_id=user_id))
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
    user_id: UUID,
    form: Annotated[TermsForm, Form()],
) -> Response:
    """Say what she may judge, and how much."""
    membership = found(queries.member(session, project=project, user_id=user_id))
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
    user_id: UUID,
    form: Annotated[MemberForm, Form()],
) -> RedirectResponse:
    membership = found(queries.member(session, project=project, user_id=user_id))
    service.set_member(session, project=project, user=membership.user, role=form.role, by=user)
    return redirect(request, "members", project_id=project.id)


@router.post("/projects/{project_id}/members/{user_id}/pause", name="pause_member")
def pause_member(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    now: Now,
    user_id: UUID,
    form: Annotated[PauseForm, Form()],
) -> RedirectResponse:
    """Stop handing tasks to her, or go on, whichever it is not doing; takes effect at once."""
    membership = found(queries.member(session, project=project, user_id=user_id))
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
    user_id: UUID,
) -> RedirectResponse:
    membership = found(queries.member(session, project=project, user_id=user_id))
    service.remove_member(session, project=project, membership=membership, by=user)
    return redirect(request, "members", project_id=project.id)
