"""Reads of people and keys."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import DateTime, Interval, Select, bindparam, func, or_, select
from sqlalchemy.orm import Session

from app.accounts.models import (
    ApiToken,
    AuditEvent,
    LinkKind,
    LoginSession,
    OneTimeLink,
    Role,
    User,
    UserKind,
)
from app.accounts.rules import key_hash


def user_by_email(session: Session, email: str) -> User | None:
    return session.scalar(select(User).where(func.lower(User.email) == email.strip().lower()))


def has_admin(session: Session) -> bool:
    """Whether anybody could run this installation."""
    admins = select(User.id).where(
        User.role == Role.ADMIN, User.kind == UserKind.PERSON, User.disabled_at.is_(None)
    )
    return session.scalar(admins.limit(1)) is not None


def is_last_admin(session: Session, *, user: User) -> bool:
    """Whether nobody but her could run this installation."""
    others = select(User.id).where(
        User.role == Role.ADMIN,
        User.kind == UserKind.PERSON,
        User.disabled_at.is_(None),
        User.id != user.id,
    )
    return session.scalar(others.limit(1)) is None


def people(session: Session) -> Sequence[User]:
    return session.scalars(
        select(User).where(User.kind == UserKind.PERSON).order_by(func.lower(User.name))
    ).all()


def erased_people(session: Session) -> Sequence[User]:
    """Those of whom nobody knows any more who they are, by number."""
    erased = select(User).where(User.kind == UserKind.ERASED)
    return session.scalars(erased.order_by(func.length(User.name), User.name)).all()


# Asked with every request, so made once; the answer tells the time as well, the tests' if they set
# one.
_set_time = bindparam("set_time", type_=DateTime(timezone=True))
_now = func.coalesce(_set_time, func.now())
LIVE_SESSION = (
    select(User, LoginSession.token_hash, LoginSession.seen_at, _now.label("now"))
    .join(LoginSession, LoginSession.user_id == User.id)
    .where(
        LoginSession.token_hash == bindparam("hash"),
        LoginSession.expires_at > _now,
        LoginSession.seen_at > _now - bindparam("idle", type_=Interval()),
        User.disabled_at.is_(None),
    )
)
LIVE_TOKEN = (
    select(User, ApiToken.id, ApiToken.scopes, ApiToken.last_used_at, _now.label("now"))
    .join(ApiToken, ApiToken.user_id == User.id)
    .where(
        ApiToken.token_hash == bindparam("hash"),
        ApiToken.revoked_at.is_(None),
        ApiToken.expires_at.is_(None) | (ApiToken.expires_at > _now),
        User.disabled_at.is_(None),
    )
)


class LiveSession(NamedTuple):
    """With `more`, what was asked beside it."""

    user: User
    token_hash: bytes
    seen_at: datetime
    now: datetime
    more: Sequence[Any] = ()


class LiveToken(NamedTuple):
    user: User
    id: UUID
    scopes: list[str]
    last_used_at: datetime | None
    now: datetime
    more: Sequence[Any] = ()


AnySelect = Select[*tuple[Any, ...]]


class Asked(NamedTuple):
    """Who asks, in two statements, the second for programs; each may ask for more of hers."""

    by_cookie: AnySelect
    by_token: AnySelect

    def along(self, add: Callable[[AnySelect], AnySelect]) -> "Asked":
        """The statements with what `add` joins to them: one way to the database for both."""
        return Asked(add(self.by_cookie), add(self.by_token))


WHO = Asked(LIVE_SESSION, LIVE_TOKEN)


def live_session(
    session: Session,
    token: str,
    *,
    idle: timedelta,
    set_time: datetime | None = None,
    asked: Asked = WHO,
    **about: Any,
) -> LiveSession | None:
    """The signed-in session of a cookie, with its user and the time; None once it has ended."""
    given = {"hash": key_hash(token), "set_time": set_time, "idle": idle, **about}
    row = session.execute(asked.by_cookie, given).one_or_none()
    if row is None:
        return None
    user, token_hash, seen_at, now, *more = row
    return LiveSession(user, token_hash, seen_at, now, more)


def live_token(
    session: Session,
    token: str,
    *,
    set_time: datetime | None = None,
    asked: Asked = WHO,
    **about: Any,
) -> LiveToken | None:
    given = {"hash": key_hash(token), "set_time": set_time, **about}
    row = session.execute(asked.by_token, given).one_or_none()
    if row is None:
        return None
    user, token_id, scopes, last_used_at, now, *more = row
    return LiveToken(user, token_id, scopes, last_used_at, now, more)


def tokens_of(session: Session, user: User) -> Sequence[ApiToken]:
    return session.scalars(
        select(ApiToken)
        .where(ApiToken.user_id == user.id, ApiToken.revoked_at.is_(None))
        .order_by(ApiToken.created_at.desc())
    ).all()


def link_by_key(session: Session, key: str, kind: LinkKind) -> OneTimeLink | None:
    return session.scalar(
        select(OneTimeLink).where(OneTimeLink.token_hash == key_hash(key), OneTimeLink.kind == kind)
    )


def open_invitations(
    session: Session, *, now: datetime, project_id: UUID | None = None
) -> Sequence[OneTimeLink]:
    return session.scalars(
        select(OneTimeLink)
        .where(
            OneTimeLink.kind == LinkKind.INVITATION,
            OneTimeLink.project_id.is_not_distinct_from(project_id),
            OneTimeLink.used_at.is_(None),
            OneTimeLink.expires_at > now,
        )
        .order_by(OneTimeLink.created_at.desc())
    ).all()


def audit_trail(
    session: Session, *, project_id: UUID | None = None, limit: int = 100
) -> Sequence[AuditEvent]:
    events = select(AuditEvent).order_by(AuditEvent.id.desc()).limit(limit)
    if project_id is not None:
        events = events.where(AuditEvent.project_id == project_id)
    return session.scalars(events).all()


def events_about(
    session: Session, *, project_id: UUID, person: User, limit: int = 100
) -> Sequence[tuple[AuditEvent, str | None]]:
    """What was done about a person in a project, newest first, with the name of who did it."""
    rows = session.execute(
        select(AuditEvent, User.name)
        .outerjoin(User, User.id == AuditEvent.user_id)
        .where(
            AuditEvent.project_id == project_id,
            or_(
                AuditEvent.details["user_id"].astext == str(person.id),
                AuditEvent.target == person.email,
            ),
        )
        .order_by(AuditEvent.id.desc())
        .limit(limit)
    )
    return [(event, name) for event, name in rows]
