"""Set-up, invitation, sign-in, sign-out, one's own account, and the people of the installation."""

from datetime import timedelta
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from app.accounts import queries, rules, service
from app.accounts.auth import AdminUser, CurrentUser, UserInPerson, Visitor
from app.accounts.models import LinkKind, OneTimeLink, Role, User
from app.accounts.schemas import (
    BreaksForm,
    InvitationForm,
    JoiningForm,
    NewPerson,
    PasswordForm,
    SignInForm,
    TokenForm,
)
from app.config import settings
from app.db import Now, SessionDep
from app.errors import AppError, Forbidden, Invalid, TooManyRequests, found
from app.web import redirect, render, safe_next
from app.web.problems import app_error
from app.web.protection import LOOPBACK, SESSION_COOKIE, form_token_for, form_token_of

router = APIRouter(include_in_schema=False)

Reply = TypeVar("Reply", bound=Response)


def require_safe_transport(request: Request) -> None:
    """Browsers keep a `__Host-` cookie only over HTTPS or on this machine."""
    if request.url.scheme != "https" and request.url.hostname not in LOOPBACK:
        raise Forbidden(
            "Signing in needs HTTPS here: over plain HTTP your password could be read on the way. "
            "Put Touchstone behind a proxy with a certificate (README, 'Grow'), "
            "or open it on the machine where it runs, at http://127.0.0.1."
        )


def with_cookie(reply: Reply, token: str) -> Reply:
    reply.set_cookie(
        SESSION_COOKIE,
        token,
        max_age=int(timedelta(days=settings.session_days).total_seconds()),
        path="/",
        secure=True,
        httponly=True,
        samesite="lax",
    )
    return reply


@router.get("/setup/{key}", name="setup")
def setup(request: Request, session: SessionDep, now: Now, key: str) -> HTMLResponse:
    require_safe_transport(request)
    return joining_page(request, service.open_link(session, key=key, kind=LinkKind.SETUP, now=now))


@router.post("/setup/{key}", response_model=None)
def finish_setup(
    request: Request, session: SessionDep, now: Now, key: str, form: Annotated[JoiningForm, Form()]
) -> HTMLResponse | RedirectResponse:
    return join(request, session, now, form, key=key, kind=LinkKind.SETUP)


@router.get("/invitation/{key}", name="invitation")
def invitation(request: Request, session: SessionDep, now: Now, key: str) -> HTMLResponse:
    require_safe_transport(request)
    link = service.open_link(session, key=key, kind=LinkKind.INVITATION, now=now)
    return joining_page(request, link)


@router.post("/invitation/{key}", response_model=None)
def accept_invitation(
    request: Request, session: SessionDep, now: Now, key: str, form: Annotated[JoiningForm, Form()]
) -> HTMLResponse | RedirectResponse:
    return join(request, session, now, form, key=key, kind=LinkKind.INVITATION)


def joining_page(
    request: Request,
    link: OneTimeLink,
    form: JoiningForm | None = None,
    *,
    problem: str | None = None,
) -> HTMLResponse:
    return render(
        request,
        "accounts/new_person.html",
        status=Invalid.status if problem else 200,
        is_setup=link.kind is LinkKind.SETUP,
        email=link.email or (form.email if form else ""),
        name=form.name if form else "",
        problem=problem,
    )


def join(
    request: Request,
    session: SessionDep,
    now: Now,
    form: JoiningForm,
    *,
    key: str,
    kind: LinkKind,
) -> HTMLResponse | RedirectResponse:
    """Make the person of a link and sign her in; what will not do is said above what she typed."""
    require_safe_transport(request)
    link = service.open_link(session, key=key, kind=kind, now=now)
    try:
        new = NewPerson.of(form)
        user = service.use_link(
            session, link=link, name=new.name, email=new.email, password=new.password, now=now
        )
    except Invalid as error:  # found before anything is written
        return joining_page(request, link, form, problem=error.detail)
    token = service.open_session(session, user=user, now=now)
    return with_cookie(redirect(request, "home"), token)


@router.get("/sign-in", name="sign_in", response_model=None)
def sign_in_page(
    request: Request,
    session: SessionDep,
    user: Visitor,
    next_: Annotated[str, Query(alias="next")] = "/",
) -> HTMLResponse | RedirectResponse:
    if user is not None:
        return RedirectResponse(safe_next(next_), status_code=303)
    require_safe_transport(request)  # before anybody types a password
    return render(
        request,
        "accounts/sign_in.html",
        next=safe_next(next_),
        email="",
        problem=None,
        needs_setup=not queries.has_admin(session),
    )


@router.post("/sign-in", response_model=None)
def sign_in(
    request: Request, session: SessionDep, now: Now, form: Annotated[SignInForm, Form()]
) -> HTMLResponse | RedirectResponse:
    require_safe_transport(request)
    address = request.client.host if request.client else ""
    try:
        token = service.sign_in(
            session, email=form.email, password=form.password, address=address, now=now
        )
    except AppError as error:  # answered here, so that the spent try is committed
        page = render(
            request,
            "accounts/sign_in.html",
            status=error.status,
            next=safe_next(form.next),
            email=form.email,
            problem=error.detail,
            needs_setup=not queries.has_admin(session),
        )
        if isinstance(error, TooManyRequests):
            page.headers["Retry-After"] = str(error.retry_after)
        return page
    return with_cookie(RedirectResponse(safe_next(form.next), status_code=303), token)


@router.get("/sign-in/state", name="sign_in_state")
def sign_in_state(request: Request, user: Visitor) -> JSONResponse:
    """Who is signed in by now, for a page that is older than that; with the token of her forms."""
    return JSONResponse(_state_of(user, form_token_of(request)))


@router.post("/sign-in/here", name="sign_in_here")
def sign_in_here(
    request: Request, session: SessionDep, now: Now, form: Annotated[SignInForm, Form()]
) -> Response:
    """Sign in from within a page that must not be left: what is on it would be lost."""
    require_safe_transport(request)
    address = request.client.host if request.client else ""
    try:
        token = service.sign_in(
            session, email=form.email, password=form.password, address=address, now=now
        )
    except AppError as error:  # answered here, so that the spent try is committed
        return app_error(request, error)
    user = queries.user_by_email(session, form.email)
    return with_cookie(JSONResponse(_state_of(user, form_token_for(token))), token)


def _state_of(user: User | None, form_token: str) -> dict[str, str | None]:
    return {
        "user_id": str(user.id) if user else None,
        "name": user.name if user else None,
        "form_token": form_token,
    }


@router.post("/sign-out", name="sign_out")
def sign_out(request: Request, session: SessionDep) -> RedirectResponse:
    service.close_session(session, token=request.cookies.get(SESSION_COOKIE, ""))
    reply = redirect(request, "sign_in")
    reply.delete_cookie(SESSION_COOKIE, path="/", secure=True, httponly=True, samesite="lax")
    reply.headers["Clear-Site-Data"] = '"storage"'
    return reply


@router.get("/account", name="account")
def account(request: Request, session: SessionDep, user: CurrentUser) -> HTMLResponse:
    return account_page(request, session, user)


def account_page(
    request: Request,
    session: SessionDep,
    user: User,
    *,
    new_token: str | None = None,
    problem: str | None = None,
) -> HTMLResponse:
    """`problem`: why her password was not changed."""
    return render(
        request,
        "accounts/account.html",
        status=Invalid.status if problem else 200,
        problem=problem,
        tokens=queries.tokens_of(session, user),
        new_token=new_token,
        breaks_after=rules.BREAKS_AFTER,
        break_after=rules.break_after(user.preferences),
    )


@router.post("/account/breaks", name="set_breaks")
def set_breaks(
    request: Request, session: SessionDep, user: CurrentUser, form: Annotated[BreaksForm, Form()]
) -> RedirectResponse:
    if form.after not in rules.BREAKS_AFTER:
        raise Invalid(f"Choose one of {', '.join(str(each) for each in rules.BREAKS_AFTER)}.")
    service.set_preference(session, user=user, name="break_after", value=form.after)
    target = request.app.url_path_for("account")
    return RedirectResponse(f"{target}?saved=breaks#breaks", status_code=303)


@router.post("/account/password", name="change_password", response_model=None)
def change_password(
    request: Request,
    session: SessionDep,
    user: UserInPerson,
    now: Now,
    form: Annotated[PasswordForm, Form()],
) -> HTMLResponse | RedirectResponse:
    try:
        service.change_password(session, user=user, current=form.current, new=form.new)
    except Invalid as error:  # found before anything is written
        return account_page(request, session, user, problem=error.detail)
    token = service.open_session(session, user=user, now=now)
    return with_cookie(redirect(request, "account"), token)


@router.post("/account/tokens", name="create_token")
def create_token(
    request: Request,
    session: SessionDep,
    user: UserInPerson,
    now: Now,
    form: Annotated[TokenForm, Form()],
) -> HTMLResponse:
    scopes = ["read"] if form.read_only else []
    token = service.create_token(
        session, user=user, name=form.name, now=now, days=form.days, scopes=scopes
    )
    session.flush()  # the list below shows it
    return account_page(request, session, user, new_token=token)


@router.post("/account/tokens/{token_id}/revoke", name="revoke_token")
def revoke_token(
    request: Request, session: SessionDep, user: UserInPerson, now: Now, token_id: UUID
) -> RedirectResponse:
    service.revoke_token(session, user=user, token_id=token_id, now=now)
    return redirect(request, "account")


@router.get("/users", name="users")
def users(request: Request, session: SessionDep, _admin: AdminUser, now: Now) -> HTMLResponse:
    return users_page(request, session, now)


def users_page(
    request: Request, session: SessionDep, now: Now, *, link: str | None = None, email: str = ""
) -> HTMLResponse:
    return render(
        request,
        "accounts/users.html",
        people=queries.people(session),
        erased=queries.erased_people(session),
        invitations=queries.open_invitations(session, now=now),
        roles=list(Role),
        link=link,
        email=email,
    )


@router.post("/users/invitations", name="invite_user")
def invite_user(
    request: Request,
    session: SessionDep,
    user: AdminUser,
    now: Now,
    form: Annotated[InvitationForm, Form()],
) -> HTMLResponse:
    key = service.invite(session, email=form.email, role=form.role, by=user, now=now)
    session.flush()  # the list below shows it
    link = public_url(request, str(request.app.url_path_for("invitation", key=key)))
    return users_page(request, session, now, link=link, email=form.email)


def public_url(request: Request, path: str) -> str:
    """The address of a page as others reach it."""
    return (settings.public_url or str(request.base_url)).rstrip("/") + path


@router.post("/users/{user_id}/disable", name="disable_user")
def disable_user(
    request: Request, session: SessionDep, user: AdminUser, now: Now, user_id: UUID
) -> RedirectResponse:
    service.disable(session, user=found(session.get(User, user_id)), by=user, now=now)
    return redirect(request, "users")


@router.post("/users/{user_id}/enable", name="enable_user")
def enable_user(
    request: Request, session: SessionDep, user: AdminUser, user_id: UUID
) -> RedirectResponse:
    service.enable(session, user=found(session.get(User, user_id)), by=user)
    return redirect(request, "users")
