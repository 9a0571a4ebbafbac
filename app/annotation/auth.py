"""Whose assignment, whose task: load and authorise in one step."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from app.accounts.auth import CurrentUser, require_user, visitor, who_asks
from app.accounts.models import Role, User
from app.annotation import queries
from app.db import SessionDep, transaction
from app.errors import NotFound, found
from app.projects.auth import project_access, require
from app.projects.models import Membership, Project
from app.tasks.models import Assignment, Task
from app.tasks.queries import project_and_task

WORKERS = (Role.ANNOTATOR, Role.REVIEWER, Role.ADMIN)


@dataclass(frozen=True, slots=True)
class Own:
    """An assignment of the caller, the project it belongs to, and her part in that."""

    assignment: Assignment
    project: Project
    membership: Membership
    user: User


@dataclass(frozen=True, slots=True)
class Desk:
    """Where somebody asks for work; her membership, where she has one yet, is locked.

    `holds`: her open assignments as they were just before that, where they are known.
    """

    project: Project
    user: User
    membership: Membership | None = None
    holds: Sequence[UUID] | None = None


def _own(
    request: Request, session: Session, user: User, assignment_id: UUID, *, locks: bool
) -> Own:
    row = queries.assignment_of(session, user=user, assignment_id=assignment_id, locks=locks)
    if row is None and queries.had_judgements_removed(session, user=user):
        raise NotFound(
            "Your judgements in a project have been removed, and the tasks that you held with "
            "them. What you just sent belongs to them and is not kept."
        )
    own = Own(*found(row), user)
    _may_work(request, own.project, own.membership, user)
    return own


def _may_work(request: Request, project: Project, membership: Membership, user: User) -> None:
    role = Role.ADMIN if user.is_admin else membership.role
    require(role, *WORKERS)
    request.state.project, request.state.role = project, role


def own_assignment(
    request: Request, session: SessionDep, user: CurrentUser, assignment_id: UUID
) -> Own:
    """The caller's assignment; for anyone else it does not exist."""
    return _own(request, session, user, assignment_id, locks=False)


OwnAssignment = Annotated[Own, Depends(own_assignment)]


def own_to_submit(
    request: Request, session: Session, set_time: datetime | None, assignment_id: UUID
) -> Own:
    """The same, for a submission: nothing else of hers happens in the project meanwhile.

    Who asks is part of the same statement; where that finds nothing, the reason is looked for.
    """
    known = who_asks(request, session, set_time, asked=queries.AN_OWN, assignment_id=assignment_id)
    if known is None:
        user = require_user(visitor(request, session, set_time))
        return _own(request, session, user, assignment_id, locks=True)
    assignment, project, membership = known.more
    _may_work(request, project, membership, known.user)
    return Own(assignment, project, membership, known.user)


def own_desk(
    request: Request, session: Session, set_time: datetime | None, project_id: UUID
) -> Desk:
    """Her place in the project that she asks work of, likewise."""
    known = who_asks(request, session, set_time, asked=queries.A_PLACE, project_id=project_id)
    if known is None:
        user = require_user(visitor(request, session, set_time))
        project, role = project_access(request, session, user, project_id)
        require(role, *WORKERS)
        return Desk(project, user)
    project, membership, holds = known.more
    _may_work(request, project, membership, known.user)
    return Desk(project, known.user, membership, holds or ())


def refuse_strangers(request: Request) -> None:
    """Raise what such a request of the caller's would raise, had it been understood."""
    with transaction() as session:
        require_user(visitor(request, session, None))
        try:
            ids = {name: UUID(value) for name, value in request.path_params.items()}
        except ValueError:  # there is nothing at such an address, for anybody
            return
        if "assignment_id" in ids:
            own_to_submit(request, session, None, ids["assignment_id"])
        else:
            own_desk(request, session, None, ids["project_id"])


def admin_task(
    request: Request, session: SessionDep, user: CurrentUser, task_id: UUID
) -> tuple[Project, Task]:
    """A task with its project, for an admin of it."""
    project, task = found(project_and_task(session, task_id=task_id))
    _, role = project_access(request, session, user, project.id)
    require(role, Role.ADMIN)
    return project, task


AdminTask = Annotated[tuple[Project, Task], Depends(admin_task)]
