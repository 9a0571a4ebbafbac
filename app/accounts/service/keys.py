"""What opens the door afterwards: sessions of browsers and tokens of programs."""

import math
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import cast, delete, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Session

from app.accounts import queries, rules
from app.accounts.models import ApiToken, LoginSession, RateLimit, User
from app.accounts.service.audit_log import audit
from app.accounts.service.passwords import (
    hash_password,
    nobodys_hash,
    password_matches,
    require_good_password,
)
from app.config import settings
from app.errors import Forbidden, Invalid, NotFound, TooManyRequests, Unauthenticated

SIGN_IN_TRIES = 10  # per account and address, refilled at one in 30 s
SIGN_IN_REFILL = 1 / 30
ADDRESS_TRIES = 100  # per address, whoever it asks for: an office signs in, a list of names stops
ADDRESS_REFILL = 1 / 3
KEPT = timedelta(days=1)  # a bucket that nobody touched is full again long before


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
    buckets = {
        f"sign-in:{address}": (ADDRESS_TRIES, ADDRESS_REFILL),
        f"sign-in:{email.strip().lower()}:{address}": (SIGN_IN_TRIES, SIGN_IN_REFILL),
    }
    for key, (capacity, per_second) in buckets.items():
        wait = spend(session, key=key, capacity=capacity, per_second=per_second, now=now)
        if wait is None:
            continue
        seconds = math.ceil(wait)
        raise TooManyRequests(
            f"Too many tries. Wait {seconds} seconds and try again.", retry_after=seconds
        )
    user = queries.user_by_email(session, email)
    known = user.password_hash if user is not None and user.password_hash else nobodys_hash()
    is_right = password_matches(password, known)
    if user is None or user.password_hash is None or not is_right:
        raise Unauthenticated("This address and password do not belong together.")
    if user.disabled_at is not None:
        raise Forbidden("This account is disabled. Ask an admin.")
    session.execute(delete(RateLimit).where(RateLimit.updated_at < now - KEPT))
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


def set_preference(session: Session, *, user: User, name: str, value: Any) -> None:
    """Keep a choice of hers; the other ones stay, also those made at the same moment."""
    session.execute(
        update(User)
        .where(User.id == user.id)
        .values(preferences=User.preferences.op("||")(cast({name: value}, JSONB)))
    )


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
