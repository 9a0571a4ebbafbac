"""Whose assignment, whose task: load and authorise in one step."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from app.accounts.auth import CurrentUser
from app.accounts.models import Role, User
from app.annotation import queries
from app.db import SessionDep
from app.errors import NotFound, found
from app.projects.auth import project_access, require
from app.projects.models import Membership, Project
from app.tasks.models import Assignment, Task
from app.tasks.queries import project_and_task


@dataclass(frozen=True, slots=True)
class Own:
    """An assignment of the caller, the project it belongs to, and her part in that."""

    assignment: Assignment
    project: Project
    membership: Membership


def _own(
    request: Request, session: Session, user: User, assignment_id: UUID, *, locks: bool
) -> Own:
    row = queries.assignment_of(session, user=user, assignment_id=assignment_id, locks=locks)
    if row is None and queries.had_judgements_removed(session, user=user):
        raise NotFound(
            "Your judgements in a project have been removed, and the tasks that you held with "
            "them. What you just sent belongs to them and is not kept."
        )
    own = Own(*found(row))
    role = Role.ADMIN if user.is_admin else own.membership.role
    require(role, Role.ANNOTATOR, Role.REVIEWER, Role.ADMIN)
    request.state.project, request.state.role = own.project, role
    return own


def own_assignment(
    request: Request, session: SessionDep, user: CurrentUser, assignment_id: UUID
) -> Own:
    """The caller's assignment; for anyone else it does not exist."""
    return _own(request, session, user, assignment_id, locks=False)


OwnAssignment = Annotated[Own, Depends(own_assignment)]


def own_to_submit(
    request: Request, session: SessionDep, user: CurrentUser, assignment_id: UUID
) -> Own:
    """The same, for a submission: nothing else of hers happens in the project meanwhile."""
    return _own(request, session, user, assignment_id, locks=True)


OwnToSubmit = Annotated[Own, Depends(own_to_submit)]


def admin_task(
    request: Request, session: SessionDep, user: CurrentUser, task_id: UUID
) -> tuple[Project, Task]:
    """A task with its project, for an admin of it."""
    project, task = found(project_and_task(session, task_id=task_id))
    _, role = project_access(request, session, user, project.id)
    require(role, Role.ADMIN)
    return project, task


AdminTask = Annotated[tuple[Project, Task], Depends(admin_task)]
