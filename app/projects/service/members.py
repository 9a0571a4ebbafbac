"""Who takes part in a project, and how: roles, pauses, what she has read."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.accounts.models import Role, User
from app.accounts.queries import user_by_email
from app.accounts.service import audit, imported_users
from app.db import among, bulk_insert
from app.errors import Conflict, Invalid, NotFound, found
from app.projects import queries
from app.projects.models import Membership, Project
from app.projects.rules import fingerprint
from app.projects.service.care import note
from app.projects.service.returning import history_of
from app.projects.service.settings import lock


def set_member(session: Session, *, project: Project, user: User, role: Role, by: User) -> bool:
    """Give a person a role in the project; True when she is new to it.

    Raises `Conflict` where the project would lose its last admin.
    """
    lock(session, project)  # two admins cannot demote each other at once
    existing = queries.member(session, project=project, user_id=user.id)
    if existing is not None and existing.imported_name is not None:
        raise Invalid(f"{user.name} came with imported data and cannot take part.")
    if existing is not None and existing.role is Role.ADMIN and role is not Role.ADMIN:
        _refuse_without_admin(session, project=project, leaving=user)
    history = {} if existing else history_of(session, project=project, user=user)
    session.execute(
        insert(Membership)
        .values(project_id=project.id, user_id=user.id, role=role, **history)
        .on_conflict_do_update(
            index_elements=[Membership.project_id, Membership.user_id], set_={"role": role}
        )
    )
    if existing is not None:
        session.refresh(existing)
    audit(
        session,
        user=by,
        action="project.member",
        target=user.email or user.name,
        project_id=project.id,
        role=role,
    )
    return existing is None


def set_member_by_email(
    session: Session, *, project: Project, email: str, role: Role, by: User
) -> Membership:
    """As `set_member`, for the person with this address; `NotFound` where nobody has it."""
    user = user_by_email(session, email)
    if user is None:
        raise NotFound(
            f"Nobody here has the address {email}. Invite the person under People first, or "
            "create the account with “touchstone user create”."
        )
    set_member(session, project=project, user=user, role=role, by=by)
    return found(queries.member(session, project=project, user_id=user.id))


def remove_member(session: Session, *, project: Project, membership: Membership, by: User) -> None:
    """End a person's part in the project. What she judged stays."""
    lock(session, project)  # as in set_member
    if membership.imported_name is not None:
        raise Invalid("People who came with imported data stay as long as their judgements do.")
    if membership.excluded_at is not None:
        raise Conflict(
            f"{membership.user.name}’s judgements are kept out of snapshots, which would end with "
            "this. Pause the person instead, or let snapshots take the judgements in again first."
        )
    if membership.role is Role.ADMIN:
        _refuse_without_admin(session, project=project, leaving=membership.user)
    target = membership.user.email or membership.user.name
    session.delete(membership)
    audit(
        session,
        user=by,
        action="project.member.remove",
        target=target,
        project_id=project.id,
    )


def pause_member(
    session: Session,
    *,
    project: Project,
    membership: Membership,
    reason: str,
    by: User,
    now: datetime,
) -> None:
    """Hand this person no more tasks until she is resumed; twice is once."""
    paused = session.scalar(
        update(Membership)
        .where(
            Membership.project_id == project.id,
            Membership.user_id == membership.user_id,
            Membership.paused_at.is_(None),
        )
        .values(paused_at=now, pause_reason=reason or None)
        .returning(Membership.user_id)
    )
    if paused is not None:
        note(session, "project.member.pause", membership=membership, by=by, reason=reason)


def resume_member(session: Session, *, project: Project, membership: Membership, by: User) -> None:
    """Let a paused person work again; twice is once."""
    resumed = session.scalar(
        update(Membership)
        .where(
            Membership.project_id == project.id,
            Membership.user_id == membership.user_id,
            Membership.paused_at.is_not(None),
        )
        .values(paused_at=None, pause_reason=None)
        .returning(Membership.user_id)
    )
    if resumed is not None:
        note(session, "project.member.resume", membership=membership, by=by)


def acknowledge_guidelines(session: Session, *, project: Project, user: User, version: int) -> None:
    """Remember that the member has read this version; an older one than hers changes nothing."""
    if not 1 <= version <= project.guidelines_version:
        raise Invalid(f"The guidelines have no version {version}.")
    ensure_membership(session, project=project, user=user)
    session.execute(
        update(Membership)
        .where(
            Membership.project_id == project.id,
            Membership.user_id == user.id,
            Membership.guidelines_read < version,
        )
        .values(guidelines_read=version)
    )


def ensure_membership(session: Session, *, project: Project, user: User) -> Membership:
    """The user's membership; an admin of the installation gets one (admin) when she works here."""
    membership = queries.member(session, project=project, user_id=user.id)
    if membership is not None:
        return membership
    history = history_of(session, project=project, user=user)
    session.execute(
        insert(Membership)
        .values(project_id=project.id, user_id=user.id, role=Role.ADMIN, **history)
        .on_conflict_do_nothing()
    )
    return found(queries.member(session, project=project, user_id=user.id))


def imported_members(
    session: Session, *, project: Project, names: Collection[str]
) -> dict[str, UUID]:
    """The people behind names in imported data, by name; those who are new come in here."""
    known = select(Membership.imported_name, Membership.user_id).where(
        Membership.project_id == project.id, among(Membership.imported_name, names)
    )
    members = {str(name): user_id for name, user_id in session.execute(known)}
    members |= _erased_members(session, project=project, names=set(names) - members.keys())
    new = imported_users(session, names=set(names) - members.keys())
    if new:
        about = {"project_id": project.id, "role": Role.ANNOTATOR}
        rows = [
            {"user_id": user_id, "imported_name": name} | about for name, user_id in new.items()
        ]
        session.execute(bulk_insert(Membership, rows))
    return members | new


def _erased_members(
    session: Session, *, project: Project, names: Collection[str]
) -> dict[str, UUID]:
    """Those of the names that were erased here: the same people as before, under a number."""
    by_fingerprint = {fingerprint(project.id, name): name for name in names}
    rows = session.execute(
        select(Membership.erased_name, Membership.user_id).where(
            Membership.project_id == project.id,
            Membership.erased_name.is_not(None),
            among(Membership.erased_name, by_fingerprint.keys()),
        )
    )
    return {by_fingerprint[erased]: user_id for erased, user_id in rows if erased is not None}


def _refuse_without_admin(session: Session, *, project: Project, leaving: User) -> None:
    another = session.scalar(
        select(Membership.user_id)
        .where(
            Membership.project_id == project.id,
            Membership.role == Role.ADMIN,
            Membership.user_id != leaving.id,
        )
        .limit(1)
    )
    if another is None:
        raise Conflict(
            f"{leaving.name} is the only admin of this project. Make somebody else admin first."
        )
