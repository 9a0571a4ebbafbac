"""Who is asking, and what she may do on the installation."""

from datetime import datetime, timedelta
from typing import Annotated, NamedTuple
from uuid import UUID

from fastapi import Depends, Request
from sqlalchemy import update
from sqlalchemy.orm import Session
from starlette.datastructures import Headers
from starlette.requests import cookie_parser

from app.accounts import queries
from app.accounts.models import ApiToken, LoginSession, Role, User
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


def user_of_cookie(
    session: Session, cookie: str, *, set_time: datetime | None = None
) -> User | None:
    idle = timedelta(hours=settings.session_idle_hours)
    login = queries.live_session(session, cookie, idle=idle, set_time=set_time)
    if login is None:
        return None
    session.info[TOLD_NOW] = login.now
    if login.now - login.seen_at > SEEN_EVERY:
        session.execute(
            update(LoginSession)
            .where(LoginSession.token_hash == login.token_hash)
            .values(seen_at=login.now)
        )
    return login.user


def user_of_token(
    session: Session, request: Request, header: str, *, set_time: datetime | None = None
) -> User:
    scheme, _, key = header.partition(" ")
    token = (
        queries.live_token(session, key.strip(), set_time=set_time) if scheme == "Bearer" else None
    )
    if token is None:
        raise Unauthenticated("This API token is unknown, revoked or expired. Create a new one.")
    if token.scopes and "write" not in token.scopes and request.method not in SAFE_METHODS:
        raise Forbidden("This API token may only read. Create one with the scope `write`.")
    session.info[TOLD_NOW] = token.now
    if token.last_used_at is None or token.now - token.last_used_at > SEEN_EVERY:
        session.execute(
            update(ApiToken).where(ApiToken.id == token.id).values(last_used_at=token.now)
        )
    return token.user


def visitor(request: Request, session: SessionDep, set_time: SetTime) -> User | None:
    """Whoever is signed in, or nobody; pages find her as `request.state.user`."""
    header = request.headers.get("authorization")
    cookie = request.cookies.get(SESSION_COOKIE)
    user: User | None = None
    if header is not None:
        user = user_of_token(session, request, header, set_time=set_time)
    elif cookie:
        user = user_of_cookie(session, cookie, set_time=set_time)
    request.state.user = user and Badge(user.id, user.name, user.email or "", user.role)
    return user


Visitor = Annotated[User | None, Depends(visitor)]


def may_upload(headers: Headers) -> bool:
    """Whether somebody with an account asks; said before a long body is taken in."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    cookie = cookie_parser(headers.get("cookie", "")).get(SESSION_COOKIE, "")
    with transaction() as session:
        if scheme == "Bearer":
            return queries.live_token(session, key.strip()) is not None
        return user_of_cookie(session, cookie) is not None


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
