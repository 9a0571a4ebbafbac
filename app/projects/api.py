"""Projects and their members, as JSON."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import EmailStr
from sqlalchemy.orm import Session

from app.accounts.auth import AdminUser, CurrentUser
from app.accounts.models import Role
from app.db import Now, SessionDep
from app.errors import found
from app.projects import queries, service
from app.projects.auth import AdminProject, MemberProject, ProjectRole, ViewerProject
from app.projects.models import Membership, Project
from app.projects.schemas import (
    Example,
    GuidelinesOut,
    MemberBody,
    MemberOut,
    ProjectBody,
    ProjectOut,
    ProjectPage,
    ProjectPatch,
)

router = APIRouter(tags=["projects"])


@router.post("/projects", status_code=201)
def create_project(session: SessionDep, user: AdminUser, body: ProjectBody) -> ProjectOut:
    """Create a project; the caller becomes its first admin."""
    project = service.create(session, by=user, body=body)
    return project_out(session, project, Role.ADMIN)


@router.get("/projects")
def list_projects(
    session: SessionDep,
    user: CurrentUser,
    cursor: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> ProjectPage:
    """The caller's projects, newest first."""
    after = None
    if cursor is not None:
        after, _ = found(queries.project_for(session, user=user, project_id=cursor))
    rows = queries.projects_of(session, user=user, after=after, limit=limit + 1)
    items = [project_out(session, project, role) for project, role in rows[:limit]]
    return ProjectPage(items=items, next_cursor=items[-1].id if len(rows) > limit else None)


@router.get("/projects/{project_id}")
def get_project(session: SessionDep, project: MemberProject, role: ProjectRole) -> ProjectOut:
    return project_out(session, project, role)


@router.patch("/projects/{project_id}")
def change_project(
    session: SessionDep, project: AdminProject, user: CurrentUser, body: ProjectPatch, now: Now
) -> ProjectOut:
    """Change settings; what alters the meaning of judgements makes a new guideline version."""
    service.update_settings(session, project=project, patch=body, by=user, now=now)
    return project_out(session, project, Role.ADMIN)


@router.get("/projects/{project_id}/settings")
def get_settings(session: SessionDep, project: AdminProject) -> ProjectBody:
    """Everything that `POST /projects` takes to make such a project, guidelines included.

    The tasks and judgements are in `GET /projects/{id}/export`.
    """
    return service.settings_of(session, project=project)


@router.get("/projects/{project_id}/guidelines")
def list_guidelines(session: SessionDep, project: ViewerProject) -> list[GuidelinesOut]:
    """All versions of the guidelines, newest first: text, examples, and why they changed."""
    versions = queries.guidelines_versions(session, project=project)
    return [
        GuidelinesOut(
            version=each.version,
            text=each.text,
            note=each.note,
            is_clarification=each.needed < each.version,
            examples=[Example.model_validate(example) for example in each.examples],
            scale=each.scale,
            created_by=str(each.created_by) if each.created_by else None,
            created_at=each.created_at,
        )
        for each in versions
    ]


@router.get("/projects/{project_id}/members")
def list_members(session: SessionDep, project: AdminProject) -> list[MemberOut]:
    return [member_out(member) for member in queries.members_of(session, project=project)]


@router.put("/projects/{project_id}/members/{email}")
def set_member(
    session: SessionDep, project: AdminProject, user: CurrentUser, email: EmailStr, body: MemberBody
) -> MemberOut:
    """Give the person with this address a role in the project, and say what she may judge."""
    membership = service.set_member_by_email(
        session, project=project, email=email, role=body.role, by=user
    )
    service.set_terms(session, project=project, membership=membership, terms=body, by=user)
    return member_out(membership)


def project_out(session: Session, project: Project, role: Role) -> ProjectOut:
    is_told = role is not Role.ANNOTATOR  # what her work costs is not hers to compare
    guidelines = found(queries.guidelines_of(session, project=project))
    settings = service.plain_settings(project)
    if not is_told:
        settings |= {"cost_per_hour": None, "cost_per_judgement": None}
    return ProjectOut(
        id=str(project.id),
        **settings,
        guidelines=guidelines.text,
        guidelines_version=project.guidelines_version,
        paused_at=project.paused_at,
        created_at=project.created_at,
        role=role,
    )


def member_out(membership: Membership) -> MemberOut:
    return MemberOut(
        user_id=str(membership.user_id),
        email=membership.user.email,
        name=membership.user.name,
        role=membership.role,
        expertise=membership.expertise,
        languages=membership.languages,
        daily_limit=membership.daily_limit,
        total_limit=membership.total_limit,
        paused_at=membership.paused_at,
        qualified_at=membership.qualified_at,
        created_at=membership.created_at,
    )
