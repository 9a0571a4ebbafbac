"""Who may see and make snapshots: whoever may see a project's data sees them, its admins make them.

A stranger to the project gets 404.
"""

from typing import Annotated
from uuid import UUID

from fastapi import Depends

from app.accounts.auth import CurrentUser
from app.accounts.models import Role
from app.datasets import queries
from app.datasets.models import Snapshot
from app.db import SessionDep
from app.errors import found
from app.projects.auth import AdminProject, ViewerProject, require
from app.projects.queries import project_for


def viewed_snapshot(session: SessionDep, user: CurrentUser, snapshot_id: UUID) -> Snapshot:
    snapshot, project = found(queries.snapshot_for(session, snapshot_id=snapshot_id))
    _, role = found(project_for(session, user=user, project_id=project.id))
    require(role, Role.VIEWER, Role.REVIEWER, Role.ADMIN)
    return snapshot


ViewedSnapshot = Annotated[Snapshot, Depends(viewed_snapshot)]


# Pages name the project in their address, too: what lies in another project is not there.


def _snapshot_in(session: SessionDep, project_id: UUID, snapshot_id: UUID) -> Snapshot:
    snapshot, project = found(queries.snapshot_for(session, snapshot_id=snapshot_id))
    return found(snapshot if project.id == project_id else None)


def page_snapshot(session: SessionDep, project: ViewerProject, snapshot_id: UUID) -> Snapshot:
    return _snapshot_in(session, project.id, snapshot_id)


def admin_page_snapshot(session: SessionDep, project: AdminProject, snapshot_id: UUID) -> Snapshot:
    return _snapshot_in(session, project.id, snapshot_id)


PageSnapshot = Annotated[Snapshot, Depends(page_snapshot)]
AdminPageSnapshot = Annotated[Snapshot, Depends(admin_page_snapshot)]


def admin_snapshot(session: SessionDep, user: CurrentUser, snapshot_id: UUID) -> Snapshot:
    snapshot, project = found(queries.snapshot_for(session, snapshot_id=snapshot_id))
    _, role = found(project_for(session, user=user, project_id=project.id))
    require(role, Role.ADMIN)
    return snapshot


def other_snapshot(session: SessionDep, user: CurrentUser, other_id: UUID) -> Snapshot:
    """The second one of a comparison: whoever may see both may compare them."""
    return viewed_snapshot(session, user, other_id)


def role_in_project_of(session: SessionDep, user: CurrentUser, snapshot: ViewedSnapshot) -> Role:
    _, role = found(project_for(session, user=user, project_id=snapshot.project_id))
    return role


AdminSnapshot = Annotated[Snapshot, Depends(admin_snapshot)]
OtherSnapshot = Annotated[Snapshot, Depends(other_snapshot)]
SnapshotRole = Annotated[Role, Depends(role_in_project_of)]
