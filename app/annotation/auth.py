"""Whose assignment, whose task: load and authorise in one step."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request

from app.accounts.auth import CurrentUser
from app.accounts.models import Role
from app.annotation import queries
from app.db import SessionDep
from app.errors import found
from app.projects.auth import project_access, require
from app.projects.models import Project
from app.tasks.models import Assignment, Task
from app.tasks.queries import project_and_task


@dataclass(frozen=True, slots=True)
class Own:
    """An assignment of the caller, and the project it belongs to."""

    assignment: Assignment
    project: Project


def own_assignment(
    request: Request, session: SessionDep, user: CurrentUser, assignment_id: UUID
) -> Own:
    """The caller's assignment; for anyone else it does not exist."""
    assignment, project, role = found(
        queries.assignment_of(session, user=user, assignment_id=assignment_id)
    )
    require(role, Role.ANNOTATOR, Role.REVIEWER, Role.ADMIN)
    request.state.project, request.state.role = project, role
    return Own(assignment, project)


OwnAssignment = Annotated[Own, Depends(own_assignment)]


def admin_task(
    request: Request, session: SessionDep, user: CurrentUser, task_id: UUID
) -> tuple[Project, Task]:
    """A task with its project, for an admin of it."""
    project, task = found(project_and_task(session, task_id=task_id))
    _, role = project_access(request, session, user, project.id)
    require(role, Role.ADMIN)
    return project, task


AdminTask = Annotated[tuple[Project, Task], Depends(admin_task)]
