"""Changes to projects, their members and their guidelines."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.accounts.models import Role, User
from app.accounts.queries import user_by_email
from app.accounts.service import audit, imported_user
from app.db import JsonObject
from app.errors import Conflict, Invalid, NotFound, found
from app.jobs import JobName, defer
from app.projects import queries, rules
from app.projects.models import Guidelines, Membership, Project
from app.projects.schemas import ProjectBody, ProjectPatch


def create(session: Session, *, by: User, body: ProjectBody) -> Project:
    """A project with version 1 of its guidelines and its maker as first admin."""
    _refuse_taken_name(session, name=body.name)
    project = Project(
        name=body.name,
        description=body.description,
        criteria=[criterion.model_dump() for criterion in body.criteria],
        strength_levels=body.strength_levels,
        allow_ties=body.allow_ties,
        overlap_min=body.overlap.min,
        overlap_max=body.overlap.max,
        overlap_confidence=body.overlap.confidence,
        gold_rate=body.gold_rate,
        gold_threshold=body.gold_threshold,
        lease_minutes=body.lease_minutes,
        guidelines_version=1,
        created_by=by.id,
    )
    session.add(project)
    session.flush()  # its id is needed below
    session.add(Membership(project_id=project.id, user_id=by.id, role=Role.ADMIN))
    session.add(_version(project, text=body.guidelines, by=by))
    audit(session, user=by, action="project.create", target=project.name, project_id=project.id)
    session.flush()  # times and other defaults of the database are part of the answer
    return project


def update_settings(
    session: Session, *, project: Project, patch: ProjectPatch, by: User, now: datetime
) -> Project:
    """Change what `patch` names; a new meaning of judgements is a new guideline version.

    Raises `Conflict` when the patch was made on an older version of the guidelines.
    """
    _lock(session, project)
    if patch.guidelines_version not in {None, project.guidelines_version}:
        raise Conflict(
            f"Somebody has published version {project.guidelines_version} of the guidelines while "
            f"you worked on version {patch.guidelines_version}. Nothing of yours was saved: keep "
            "a copy of your text, open the page again and put your changes into the new version."
        )
    before = _settings(session, project)
    wanted = {**before, **_named(patch)}
    changed = {key: value for key, value in wanted.items() if value != before[key]}
    if not changed:
        return project
    if "name" in changed:
        _refuse_taken_name(session, name=changed["name"], but=project)
    for key, value in changed.items():
        if key == "paused":
            project.paused_at = now if value else None
        elif key != "guidelines":
            setattr(project, key, value)
    if rules.alters_meaning(changed):
        project.guidelines_version += 1
        session.add(_version(project, text=wanted["guidelines"], by=by))
    if changed.keys() & {"overlap_min", "overlap_max"}:
        # Tasks stand right of projects: a job brings their wanted numbers in line.
        defer(session, JobName.OVERLAP, queueing_lock=f"{project.id}", project_id=f"{project.id}")
    audit(
        session,
        user=by,
        action="project.update",
        target=project.name,
        project_id=project.id,
        **rules.audited(changed),
    )
    session.flush()  # a clash of names is told now, while there is somebody to tell
    return project


def set_member(session: Session, *, project: Project, user: User, role: Role, by: User) -> bool:
    """Give a person a role in the project; True when she is new to it.

    Raises `Conflict` where the project would lose its last admin.
    """
    _lock(session, project)  # two admins cannot demote each other at once
    existing = queries.member(session, project=project, user_id=user.id)
    if existing is not None and existing.imported_name is not None:
        raise Invalid(f"{user.name} came with imported data and cannot take part.")
    if existing is not None and existing.role is Role.ADMIN and role is not Role.ADMIN:
        _refuse_without_admin(session, project=project, leaving=user)
    session.execute(
        insert(Membership)
        .values(project_id=project.id, user_id=user.id, role=role)
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
    _lock(session, project)  # as in set_member
    if membership.imported_name is not None:
        raise Invalid("People who came with imported data stay as long as their judgements do.")
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
        target = membership.user.email or membership.user.name
        audit(
            session,
            user=by,
            action="project.member.pause",
            target=target,
            project_id=project.id,
            reason=reason,
        )


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
        target = membership.user.email or membership.user.name
        audit(
            session,
            user=by,
            action="project.member.resume",
            target=target,
            project_id=project.id,
        )


def ensure_membership(session: Session, *, project: Project, user: User) -> Membership:
    """The user's membership; an admin of the installation gets one (admin) when she first works."""
    session.execute(
        insert(Membership)
        .values(project_id=project.id, user_id=user.id, role=Role.ADMIN)
        .on_conflict_do_nothing()
    )
    return found(queries.member(session, project=project, user_id=user.id))


def imported_members(
    session: Session, *, project: Project, names: Collection[str]
) -> dict[str, UUID]:
    """The people behind names in imported data, by name; those who are new come in here."""
    known = select(Membership.imported_name, Membership.user_id).where(
        Membership.project_id == project.id, Membership.imported_name.in_(names)
    )
    members = {str(name): user_id for name, user_id in session.execute(known)}
    for name in sorted(set(names) - members.keys()):
        user = imported_user(session, name=name)
        members[name] = user.id
        session.add(
            Membership(
                project_id=project.id, user_id=user.id, role=Role.ANNOTATOR, imported_name=name
            )
        )
    session.flush()  # judgements refer to them
    return members


def imported_members(
    session: Session, *, project: Project, names: Collection[str]
) -> dict[str, UUID]:
    """The people who carry the judgements of these names in imported files; new ones are made."""
    known = queries.imported_members(session, project=project, names=names)
    for name in sorted(set(names) - known.keys()):
        user = imported_user(session, name=name)
        session.add(
            Membership(
                project_id=project.id, user_id=user.id, role=Role.ANNOTATOR, imported_name=name
            )
        )
        known[name] = user.id
    session.flush()  # what follows refers to them by id
    return known


def acknowledge_guidelines(session: Session, *, project: Project, user: User, version: int) -> None:
    """Remember that the member has read this version; an older one than hers changes nothing."""
    if not 1 <= version <= project.guidelines_version:
        raise Invalid(f"The guidelines have no version {version}.")
    session.execute(
        update(Membership)
        .where(
            Membership.project_id == project.id,
            Membership.user_id == user.id,
            Membership.guidelines_read < version,
        )
        .values(guidelines_read=version)
    )


def _lock(session: Session, project: Project) -> None:
    """Hold the project's row; rows that refer to it, as those of an import, still come in."""
    session.refresh(project, with_for_update={"key_share": True})


def _refuse_taken_name(session: Session, *, name: str, but: Project | None = None) -> None:
    taken = select(Project.id).where(func.lower(Project.name) == func.lower(name))
    if but is not None:
        taken = taken.where(Project.id != but.id)
    if session.scalar(taken.limit(1)) is not None:
        raise Conflict(f"There is already a project called “{name}”. Choose another name.")


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


def _settings(session: Session, project: Project) -> dict[str, Any]:
    current = found(queries.guidelines_of(session, project=project))
    columns = [key for key in rules.SETTINGS if key not in {"guidelines", "paused"}]
    values = {key: getattr(project, key) for key in columns}
    return {**values, "guidelines": current.text, "paused": project.paused_at is not None}


def _named(patch: ProjectPatch) -> dict[str, Any]:
    """The settings a patch names, by column; null means unchanged."""
    values: Mapping[str, Any] = patch.model_dump(
        exclude_none=True, exclude={"overlap", "guidelines_version"}
    )
    if patch.overlap is None:
        return dict(values)
    return {
        **values,
        "overlap_min": patch.overlap.min,
        "overlap_max": patch.overlap.max,
        "overlap_confidence": patch.overlap.confidence,
    }


def _version(project: Project, *, text: str, by: User) -> Guidelines:
    scale: JsonObject = {key: getattr(project, key) for key in rules.SCALE}
    return Guidelines(
        project_id=project.id,
        version=project.guidelines_version,
        text=text,
        scale=scale,
        created_by=by.id,
    )
