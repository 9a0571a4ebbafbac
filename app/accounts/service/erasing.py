"""Taking out of the installation who somebody is. What she did stays, under a number."""

import re
from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Text, cast, delete, func, or_, select, text
from sqlalchemy.orm import Session

from app.accounts import queries
from app.accounts.models import (
    ApiToken,
    AuditEvent,
    LoginSession,
    OneTimeLink,
    RateLimit,
    Role,
    User,
    UserKind,
)
from app.errors import Conflict

ERASING_LOCK = 7_204_020
GONE = "(erased)"
ABOUT_HER = ("text", "reason", "languages", "expertise")  # what a log says of her in words


def lock_erasures(session: Session) -> None:
    """One person at a time: no two get the same number, and two admins do not erase each other."""
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ERASING_LOCK})


def require_erasable(session: Session, *, user: User) -> None:
    """`Conflict`, with what to do, where it cannot be forgotten who somebody is."""
    if user.kind is UserKind.ERASED:
        raise Conflict(f"{user.name} has been erased already: nobody knows who she was.")
    if user.is_admin and queries.is_last_admin(session, user=user):
        raise Conflict(
            f"{user.name} is the last admin of this installation. Make somebody else an admin "
            "first, or nobody could run it any more."
        )


def erase_identity(
    session: Session,
    *,
    user: User,
    names: Collection[str] = (),
    texts: bool = False,
    now: datetime,
) -> str:
    """Forget name, address, password and settings, end sessions and keys; answers her new name.

    `names` are further ones that the audit log may know her by. With `texts` also what she wrote
    there goes. The caller holds `lock_erasures`.
    """
    known = {each for each in (user.email, user.name, *names) if each}
    erased = select(func.count()).select_from(User).where(User.kind == UserKind.ERASED)
    called = f"Person {session.scalars(erased).one() + 1}"
    session.execute(delete(LoginSession).where(LoginSession.user_id == user.id))
    session.execute(delete(ApiToken).where(ApiToken.user_id == user.id))
    if user.email:
        address = user.email.lower()
        session.execute(delete(OneTimeLink).where(func.lower(OneTimeLink.email) == address))
        tries = f"sign-in:{address}:"
        session.execute(delete(RateLimit).where(RateLimit.key.startswith(tries, autoescape=True)))
    _redact(session, user=user, known=known, called=called, texts=texts, now=now)
    user.kind, user.email, user.name = UserKind.ERASED, None, called
    user.password_hash, user.preferences, user.role = None, {}, Role.ANNOTATOR
    user.disabled_at = user.disabled_at or now
    session.flush()  # what follows looks for her by what she is now
    return called


def _redact(
    session: Session,
    *,
    user: User,
    known: Collection[str],
    called: str,
    texts: bool,
    now: datetime,
) -> None:
    """Put her number where the audit log names her. The rows keep their hashes."""
    whole = re.compile(  # longest first: an address may hold a name
        "|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in sorted(known, key=len)[::-1]),
        re.IGNORECASE,
    )
    about = AuditEvent.details["user_id"].astext == str(user.id)
    said = func.lower(AuditEvent.target + " " + cast(AuditEvent.details, Text))
    named = [said.contains(_in_json(name).lower(), autoescape=True) for name in known]
    events = session.scalars(
        select(AuditEvent).where(or_(AuditEvent.user_id == user.id, about, *named))
    ).all()
    for event in events:
        is_about = event.details.get("user_id") == str(user.id) or whole.fullmatch(event.target)
        details = dict(event.details)
        if is_about or (texts and event.user_id == user.id):
            details |= {key: GONE for key in ABOUT_HER if key in details}
        details = _without(details, whole, called)
        target = GONE if _is_her_own(event, user.id) else whole.sub(called, event.target)
        if (target, details) != (event.target, event.details):
            event.target, event.details, event.redacted_at = target, details, now
    session.flush()


def _in_json(name: str) -> str:
    """As a column of JSON reads when it is cast to text."""
    return name.replace("\\", "\\\\").replace('"', '\\"')


def _is_her_own(event: AuditEvent, user_id: UUID) -> bool:
    """Whether its target is a word of her own choice: what she called a key."""
    return event.user_id == user_id and event.action == "create token"


def _without(value: Any, names: re.Pattern[str], called: str) -> Any:
    if isinstance(value, str):
        return names.sub(called, value)
    if isinstance(value, list):
        return [_without(each, names, called) for each in value]
    if isinstance(value, dict):
        return {key: _without(each, names, called) for key, each in value.items()}
    return value
