"""Who may do what in a project: load it and authorise in one step.

A stranger gets 404, a member without the right 403; admins of the installation may everything.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request

from app.accounts.auth import CurrentUser
from app.accounts.models import Role
from app.db import SessionDep
from app.errors import Forbidden, found
from app.projects import queries
from app.projects.models import Membership, Project


def project_access(
    request: Request, session: SessionDep, user: CurrentUser, project_id: UUID
) -> tuple[Project, Role]:
    """The project with the caller's role in it; for a stranger it does not exist.

    Pages find both as `request.state.project` and `request.state.role`.
    """
    project, role = found(queries.project_for(session, user=user, project_id=project_id))
    request.state.project, request.state.role = project, role
    return project, role


Access = Annotated[tuple[Project, Role], Depends(project_access)]


async def project_role(access: Access) -> Role:
    return access[1]


# What the caller is in the project of the path: pages show by it what she may do.
ProjectRole = Annotated[Role, Depends(project_role)]


def require(role: Role, *allowed: Role) -> None:
    """`Forbidden`, with the roles that may, unless `role` is one of them."""
    if role not in allowed:
        who = " or ".join(f"{'an' if kind[0] == 'a' else 'a'} {kind}" for kind in allowed)
        raise Forbidden(
            f"This needs {who} of the project; you are its {role}. "
            "An admin of the project can change your role under People."
        )


def _project_for(*allowed: Role) -> Callable[[tuple[Project, Role]], Awaitable[Project]]:
    async def permitted_project(access: Access) -> Project:
        project, role = access
        require(role, *allowed)
        return project

    return permitted_project


MemberProject = Annotated[Project, Depends(_project_for(*Role))]
AnnotatorProject = Annotated[
    Project, Depends(_project_for(Role.ANNOTATOR, Role.REVIEWER, Role.ADMIN))
]
ViewerProject = Annotated[Project, Depends(_project_for(Role.VIEWER, Role.REVIEWER, Role.ADMIN))]
ReviewerProject = Annotated[Project, Depends(_project_for(Role.REVIEWER, Role.ADMIN))]
AdminProject = Annotated[Project, Depends(_project_for(Role.ADMIN))]


def member_of_project(session: SessionDep, project: AdminProject, user_id: UUID) -> Membership:
    """Somebody's part in the project, for an admin of it."""
    return found(queries.member(session, project=project, user_id=user_id))


AdminMember = Annotated[Membership, Depends(member_of_project)]
