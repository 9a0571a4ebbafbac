"""How people come in and go: set-up link, invitations, disabling."""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from app.accounts import queries, rules
from app.accounts.models import LinkKind, LoginSession, OneTimeLink, Role, User, UserKind
from app.accounts.service.audit_log import audit
from app.accounts.service.passwords import hash_password, require_good_password
from app.config import settings
from app.db import bulk_insert
from app.errors import Conflict, Forbidden, NotFound, found


def create_user(
    session: Session, *, email: str, name: str, role: Role, password: str | None = None
) -> User:
    """A person who signs in; without a password she waits for an invitation link."""
    if queries.user_by_email(session, email) is not None:
        raise Conflict(f"There is already somebody with the address {email}.")
    if password is not None:
        require_good_password(password, email=email, name=name)
    user = User(
        email=email.strip(),
        name=name.strip(),
        role=role,
        password_hash=hash_password(password) if password is not None else None,
    )
    session.add(user)
    session.flush()  # the database makes the row's defaults, and says when the address is taken
    return user


def imported_users(session: Session, *, names: Collection[str]) -> dict[str, UUID]:
    """New people who only carry judgements, by name: no address, no sign-in."""
    ids = {name: uuid4() for name in sorted(names)}
    if ids:
        about = {"kind": UserKind.IMPORTED, "role": Role.ANNOTATOR}
        rows = [{"id": user_id, "name": name} | about for name, user_id in ids.items()]
        session.execute(bulk_insert(User, rows))
    return ids


def setup_link(session: Session, *, now: datetime) -> str | None:
    """A fresh key of the one-time set-up page; None once there is an admin."""
    if queries.has_admin(session):
        return None
    session.execute(delete(OneTimeLink).where(OneTimeLink.kind == LinkKind.SETUP))
    return new_link(session, kind=LinkKind.SETUP, role=Role.ADMIN, now=now, days=1)


def invite(
    session: Session,
    *,
    email: str,
    role: Role,
    by: User | None,
    now: datetime,
    project_id: UUID | None = None,
) -> str:
    """Make a person who has no password yet; answers the key of the link where she sets it.

    With `project_id` she is an annotator of the installation, and `role` is hers in the project
    (whoever calls makes the membership). Asking again makes a fresh link and ends the old one.
    """
    user = queries.user_by_email(session, email)
    if user is not None and user.password_hash is not None:
        raise Conflict(f"{email} has an account already; no invitation is needed.")
    if user is None:
        installation_role = role if project_id is None else Role.ANNOTATOR
        user = create_user(
            session, email=email, name=email.split("@", maxsplit=1)[0], role=installation_role
        )
    session.execute(
        delete(OneTimeLink).where(
            OneTimeLink.kind == LinkKind.INVITATION,
            OneTimeLink.email == user.email,
            OneTimeLink.used_at.is_(None),
        )
    )
    key = new_link(
        session,
        kind=LinkKind.INVITATION,
        role=role,
        now=now,
        days=settings.invitation_days,
        email=user.email,
        by=by,
        project_id=project_id,
    )
    audit(session, user=by, action="invite", target=email, project_id=project_id, role=role)
    return key


def new_link(
    session: Session,
    *,
    kind: LinkKind,
    role: Role,
    now: datetime,
    days: int,
    email: str | None = None,
    by: User | None = None,
    project_id: UUID | None = None,
) -> str:
    key = rules.new_key()
    session.add(
        OneTimeLink(
            kind=kind,
            token_hash=rules.key_hash(key),
            email=email,
            role=role,
            project_id=project_id,
            created_by=by.id if by else None,
            expires_at=now + timedelta(days=days),
        )
    )
    return key


def open_link(session: Session, *, key: str, kind: LinkKind, now: datetime) -> OneTimeLink:
    """The link of a key, still good; otherwise a sentence that says what to do."""
    link = queries.link_by_key(session, key, kind)
    is_over = link is not None and rules.is_expired(link.expires_at, now=now)
    if kind is LinkKind.SETUP and (link is None or is_over or queries.has_admin(session)):
        raise NotFound(
            "This set-up link does not work any more. If nobody has set up Touchstone yet, "
            "restart it: it prints a fresh link."
        )
    if link is None:
        raise NotFound("This invitation is unknown. Ask whoever invited you for a new one.")
    if link.used_at is not None:
        raise Conflict("This invitation has been used already. Sign in with your own password.")
    if is_over:
        raise Conflict("This invitation has expired. Ask whoever invited you for a new one.")
    return link


def use_link(
    session: Session, *, link: OneTimeLink, name: str, email: str, password: str, now: datetime
) -> User:
    """Set up the first admin, or give the invited person her name and password; works once."""
    require_good_password(password, email=email, name=name)
    used = session.scalar(
        update(OneTimeLink)
        .where(OneTimeLink.id == link.id, OneTimeLink.used_at.is_(None))
        .values(used_at=now)
        .returning(OneTimeLink.id)
    )
    if used is None:
        raise Conflict("This link was used a moment ago. Sign in with your own password.")
    if link.kind is LinkKind.SETUP:
        user = create_user(session, email=email, name=name, role=Role.ADMIN, password=password)
    else:
        user = found(queries.user_by_email(session, link.email or ""))
        if user.disabled_at is not None:
            raise Forbidden("This account is disabled. Ask an admin.")
        user.name, user.password_hash = name, hash_password(password)
    audit(session, user=user, action=f"accept {link.kind}", target=str(user.id))
    return user


def disable(session: Session, *, user: User, by: User | None, now: datetime) -> None:
    """Shut a person out at once: sessions and tokens end with it."""
    if by is not None and by.id == user.id:
        raise Conflict("You cannot disable yourself. Ask another admin.")
    user.disabled_at = now
    session.execute(delete(LoginSession).where(LoginSession.user_id == user.id))
    audit(session, user=by, action="disable", target=str(user.id))


def enable(session: Session, *, user: User, by: User) -> None:
    if user.kind is UserKind.ERASED:
        raise Conflict(f"{user.name} has been erased and cannot come back.")
    user.disabled_at = None
    audit(session, user=by, action="enable", target=str(user.id))
