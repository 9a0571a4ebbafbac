"""Writes of people and keys: set-up, invitations, sign-in, tokens, and the audit log."""

import hashlib
import json
import math
from datetime import datetime, timedelta
from threading import BoundedSemaphore
from typing import Any
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.accounts import queries, rules
from app.accounts.models import (
    ApiToken,
    AuditEvent,
    LinkKind,
    LoginSession,
    OneTimeLink,
    RateLimit,
    Role,
    User,
    UserKind,
)
from app.config import settings
from app.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    TooManyRequests,
    Unauthenticated,
    found,
)

HASHER = PasswordHasher()  # argon2id, RFC 9106's second recommended setting: 64 MiB, t = 3
HASHING = BoundedSemaphore(2)  # 64 MiB each: a burst of sign-ins must not eat the memory
NOBODY = HASHER.hash(
    "nobody's password"
)  # an unknown address costs as much time as a wrong password
AUDIT_LOCK = 7_204_002

SIGN_IN_TRIES = 10  # per account and address, refilled at one in 30 s
SIGN_IN_REFILL = 1 / 30


def hash_password(password: str) -> str:
    with HASHING:
        return HASHER.hash(password)


def password_matches(password: str, password_hash: str) -> bool:
    with HASHING:
        try:
            return HASHER.verify(password_hash, password)
        except VerificationError:
            return False


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


def require_good_password(password: str, *, email: str, name: str) -> None:
    if sentence := rules.password_problem(password, email=email, name=name):
        raise Invalid(sentence, errors=[{"field": "password", "message": sentence}])


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
    by: User,
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
    if kind is LinkKind.SETUP and (link is None or queries.has_admin(session)):
        raise NotFound(
            "This set-up link does not work any more. If nobody has set up Touchstone yet, "
            "restart it: it prints a fresh link."
        )
    if link is None:
        raise NotFound("This invitation is unknown. Ask whoever invited you for a new one.")
    if link.used_at is not None:
        raise Conflict("This invitation has been used already. Sign in with your own password.")
    if rules.is_expired(link.expires_at, now=now):
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
        user.name, user.password_hash = name, hash_password(password)
    audit(session, user=user, action=f"accept {link.kind}", target=str(user.id))
    return user


def spend(
    session: Session, *, key: str, capacity: float, per_second: float, now: datetime
) -> float | None:
    """Take a token from a bucket; seconds to wait when it is empty, else None."""
    session.execute(
        insert(RateLimit)
        .values(key=key, tokens=capacity, updated_at=now)
        .on_conflict_do_nothing(index_elements=[RateLimit.key])
    )
    bucket = session.scalars(select(RateLimit).where(RateLimit.key == key).with_for_update()).one()
    tokens = rules.refilled(
        bucket.tokens, since=now - bucket.updated_at, capacity=capacity, per_second=per_second
    )
    is_empty = tokens < 1
    bucket.tokens = tokens if is_empty else tokens - 1
    bucket.updated_at = now
    return (1 - tokens) / per_second if is_empty else None


def sign_in(session: Session, *, email: str, password: str, address: str, now: datetime) -> str:
    """Check a password and open a session; answers the cookie's value.

    The caller must let the transaction commit when this raises: the spent try is in it.
    """
    wait = spend(
        session,
        key=f"sign-in:{email.strip().lower()}:{address}",
        capacity=SIGN_IN_TRIES,
        per_second=SIGN_IN_REFILL,
        now=now,
    )
    if wait is not None:
        seconds = math.ceil(wait)
        raise TooManyRequests(
            f"Too many tries. Wait {seconds} seconds and try again.", retry_after=seconds
        )
    user = queries.user_by_email(session, email)
    known = user.password_hash if user is not None and user.password_hash else NOBODY
    is_right = password_matches(password, known)
    if user is None or user.password_hash is None or not is_right:
        raise Unauthenticated("This address and password do not belong together.")
    if user.disabled_at is not None:
        raise Forbidden("This account is disabled. Ask an admin.")
    return open_session(session, user=user, now=now)


def open_session(session: Session, *, user: User, now: datetime) -> str:
    token = rules.new_key()
    session.add(
        LoginSession(
            token_hash=rules.key_hash(token),
            user_id=user.id,
            seen_at=now,
            expires_at=now + timedelta(days=settings.session_days),
        )
    )
    return token


def close_session(session: Session, *, token: str) -> None:
    session.execute(delete(LoginSession).where(LoginSession.token_hash == rules.key_hash(token)))


def change_password(session: Session, *, user: User, current: str, new: str) -> None:
    """Set a new password and end all sessions of the person."""
    if user.password_hash is None or not password_matches(current, user.password_hash):
        raise Invalid("Your current password is not right, so nothing was changed.")
    require_good_password(new, email=user.email or "", name=user.name)
    user.password_hash = hash_password(new)
    session.execute(delete(LoginSession).where(LoginSession.user_id == user.id))
    audit(session, user=user, action="change password", target=str(user.id))


def disable(session: Session, *, user: User, by: User | None, now: datetime) -> None:
    """Shut a person out at once: sessions and tokens end with it."""
    if by is not None and by.id == user.id:
        raise Conflict("You cannot disable yourself. Ask another admin.")
    user.disabled_at = now
    session.execute(delete(LoginSession).where(LoginSession.user_id == user.id))
    audit(session, user=by, action="disable", target=str(user.id))


def enable(session: Session, *, user: User, by: User) -> None:
    user.disabled_at = None
    audit(session, user=by, action="enable", target=str(user.id))


def create_token(
    session: Session,
    *,
    user: User,
    name: str,
    now: datetime,
    days: int | None = None,
    scopes: list[str] | None = None,
) -> str:
    """A new API token; it is shown once and never again."""
    unknown = set(scopes or []) - {"read", "write"}
    if unknown:
        raise Invalid(f"Unknown scope {', '.join(sorted(unknown))}: take read, write or both.")
    key = rules.TOKEN_PREFIX + rules.new_key()
    session.add(
        ApiToken(
            user_id=user.id,
            name=name,
            prefix=key[:12],
            token_hash=rules.key_hash(key),
            scopes=scopes or [],
            expires_at=now + timedelta(days=days) if days else None,
        )
    )
    audit(session, user=user, action="create token", target=name)
    return key


def revoke_token(session: Session, *, user: User, token_id: UUID, now: datetime) -> None:
    revoked = session.scalar(
        update(ApiToken)
        .where(ApiToken.id == token_id, ApiToken.user_id == user.id, ApiToken.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(ApiToken.id)
    )
    if revoked is None:
        raise NotFound
    audit(session, user=user, action="revoke token", target=str(token_id))


def audit(
    session: Session,
    *,
    user: User | None,
    action: str,
    target: str,
    project_id: UUID | None = None,
    **details: Any,
) -> None:
    """Append to the audit log. Each hash covers the one before, so that a change shows."""
    # One writer at a time until commit: two events must not follow the same one.
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": AUDIT_LOCK})
    previous = session.scalar(select(AuditEvent.hash).order_by(AuditEvent.id.desc()).limit(1))
    event = AuditEvent(
        at=session.scalars(select(func.clock_timestamp())).one(),
        user_id=user.id if user else None,
        project_id=project_id,
        action=action,
        target=target,
        details=details,
        previous_hash=previous or b"",
    )
    event.hash = event_hash(event)
    session.add(event)
    session.flush()  # the next event of this transaction follows this one


def event_hash(event: AuditEvent) -> bytes:
    content = json.dumps(
        [
            event.at.isoformat(),
            str(event.user_id),
            str(event.project_id),
            event.action,
            event.target,
            event.details,
        ],
        sort_keys=True,
    )
    return hashlib.sha256(event.previous_hash + content.encode()).digest()


def imported_user(session: Session, *, name: str, kind: UserKind = UserKind.IMPORTED) -> User:
    """Somebody who only carries judgements: no address, no sign-in."""
    user = User(kind=kind, name=name, role=Role.ANNOTATOR)
    session.add(user)
    session.flush()  # memberships refer to it
    return user
