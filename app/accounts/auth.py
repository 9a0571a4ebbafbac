"""Who is asking, and what she may do on the installation."""

from datetime import datetime, timedelta
from typing import Annotated, Any, NamedTuple
from uuid import UUID

from fastapi import Depends, Request
from sqlalchemy import update
from sqlalchemy.orm import Session
from starlette.datastructures import Headers
from starlette.requests import cookie_parser

from app.accounts import queries
from app.accounts.models import ApiToken, LoginSession, Role, User
from app.accounts.queries import WHO, Asked, LiveSession, LiveToken
from app.config import settings
from app.db import TOLD_NOW, SessionDep, SetTime, transaction
from app.errors import Forbidden, Unauthenticated
from app.web.protection import SAFE_METHODS, SESSION_COOKIE


class Badge(NamedTuple):
    """What pages show of the signed-in person; good after the session is closed, too."""

    id: UUID
    name: str
    email: str
    role: Role

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN


SEEN_EVERY = timedelta(minutes=5)  # how often "last seen" is written


def session_of_cookie(
    session: Session,
    cookie: str,
    *,
    set_time: datetime | None = None,
    asked: Asked = WHO,
    **about: Any,
) -> LiveSession | None:
    idle = timedelta(hours=settings.session_idle_hours)
    login = queries.live_session(
        session, cookie, idle=idle, set_time=set_time, asked=asked, **about
    )
    if login is None:
        return None
    session.info[TOLD_NOW] = login.now
    if login.now - login.seen_at > SEEN_EVERY:
        session.execute(
            update(LoginSession)
            .where(LoginSession.token_hash == login.token_hash)
            .values(seen_at=login.now)
        )
    return login


def bearer_key(header: str) -> str | None:
    """The token of an Authorization header; the scheme's case says nothing (RFC 9110)."""
    scheme, _, key = header.partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def token_of_header(
    session: Session,
    request: Request,
    header: str,
    *,
    set_time: datetime | None = None,
    asked: Asked = WHO,
    **about: Any,
) -> LiveToken | None:
    key = bearer_key(header)
    if key is None:
        return None
    token = queries.live_token(session, key, set_time=set_time, asked=asked, **about)
    if token is None:
        return None
    if token.scopes and "write" not in token.scopes and request.method not in SAFE_METHODS:
        raise Forbidden("This API token may only read. Create one with the scope `write`.")
    session.info[TOLD_NOW] = token.now
    if token.last_used_at is None or token.now - token.last_used_at > SEEN_EVERY:
        session.execute(
            update(ApiToken).where(ApiToken.id == token.id).values(last_used_at=token.now)
        )
    return token


def who_asks(
    request: Request,
    session: Session,
    set_time: datetime | None,
    *,
    asked: Asked = WHO,
    **about: Any,
) -> LiveSession | LiveToken | None:
    """Whoever is signed in, with what was `asked` `about` beside it; None where there is no such.

    Pages find her as `request.state.user`.
    """
    header = request.headers.get("authorization")
    cookie = request.cookies.get(SESSION_COOKIE)
    known: LiveSession | LiveToken | None = None
    if header is not None:
        known = token_of_header(session, request, header, set_time=set_time, asked=asked, **about)
    elif cookie:
        known = session_of_cookie(session, cookie, set_time=set_time, asked=asked, **about)
    user = known and known.user
    request.state.user = user and Badge(user.id, user.name, user.email or "", user.role)
    return known


def visitor(request: Request, session: SessionDep, set_time: SetTime) -> User | None:
    """Whoever is signed in, or nobody; a token that is not good is refused."""
    known = who_asks(request, session, set_time)
    if known is None and "authorization" in request.headers:
        raise Unauthenticated("This API token is unknown, revoked or expired. Create a new one.")
    return known and known.user


Visitor = Annotated[User | None, Depends(visitor)]


def may_upload(headers: Headers) -> bool:
    """Whether somebody with an account asks; said before a long body is taken in."""
    key = bearer_key(headers.get("authorization", ""))
    cookie = cookie_parser(headers.get("cookie", "")).get(SESSION_COOKIE, "")
    with transaction() as session:
        if key is not None:
            return queries.live_token(session, key) is not None
        return session_of_cookie(session, cookie) is not None


def require_user(user: User | None) -> User:
    if user is None:
        raise Unauthenticated("Sign in, or send an API token as `Authorization: Bearer …`.")
    return user


# What only decides is `async`, here and in other `auth` modules: it needs no thread of its own.
async def current_user(user: Visitor) -> User:
    return require_user(user)


CurrentUser = Annotated[User, Depends(current_user)]


async def user_in_person(request: Request, user: CurrentUser) -> User:
    """Her by her own sign-in: a key that leaked must not make further keys."""
    if "authorization" in request.headers:
        raise Forbidden("An API token may not do this. Sign in with a browser.")
    return user


UserInPerson = Annotated[User, Depends(user_in_person)]


async def admin_user(user: CurrentUser) -> User:
    if not user.is_admin:
        raise Forbidden("Only an admin of this installation may do this.")
    return user


AdminUser = Annotated[User, Depends(admin_user)]
