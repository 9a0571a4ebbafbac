"""Jinja pages: render, redirect, and the helpers that templates use."""

import hashlib
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from starlette.responses import HTMLResponse, RedirectResponse

from app.web.outline import with_anchors
from app.web.protection import CHART_POLICY, form_token_of
from app.web.text import language_tag, markdown, order_in_words, plain, turns

ROOT = Path(__file__).resolve().parent.parent.parent
STATIC = ROOT / "static"


def when(moment: datetime | None) -> Markup:
    """A point in time as `<time>`; the browser shows it in the reader's zone."""
    if moment is None:
        return Markup("–")
    utc = moment.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        utc.isoformat(timespec="seconds"), utc.strftime("%Y-%m-%d %H:%M UTC")
    )


def number(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def percent(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def duration(seconds: float | None) -> str:
    """A stretch of time as people say it."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


def size(value: int | None) -> str:
    """Bytes as people read them."""
    if value is None:
        return "–"
    amount = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


@cache
def content_hash(path: Path, _changed: float) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def static_url(name: str) -> str:
    """The address of a static file, new with each change so that browsers may keep it for ever."""
    path = STATIC / name
    return f"/static/{name}?v={content_hash(path, path.stat().st_mtime)}"


@cache
def plotly_folder() -> Path:
    """Where the installed wheel keeps plotly.min.js; found without importing the package."""
    spec = find_spec("plotly")
    assert spec is not None
    return Path(next(iter(spec.submodule_search_locations or []))) / "package_data"


def plotly_url() -> str:
    """The chart library, served from its own wheel."""
    return f"/static/plotly/plotly.min.js?v={version('plotly')}"


@pass_context
def form_token(context: Context) -> str:
    request: Request = context["request"]
    return form_token_of(request)


@pass_context
def form_token_field(context: Context) -> Markup:
    return Markup('<input type="hidden" name="form_token" value="{}">').format(form_token(context))


@pass_context
def url(context: Context, name: str, **path_params: Any) -> str:
    request: Request = context["request"]
    return str(request.app.url_path_for(name, **path_params))


def make_environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(ROOT / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        when=when,
        number=number,
        percent=percent,
        size=size,
        duration=duration,
        markdown=markdown,
        with_anchors=with_anchors,
        order_in_words=order_in_words,
        plain=plain,
        turns=turns,
        language_tag=language_tag,
    )
    environment.globals.update(
        static_url=static_url,
        plotly_url=plotly_url,
        form_token=form_token,
        form_token_field=form_token_field,
        url=url,
    )
    return environment


ENVIRONMENT = make_environment()


def render(
    request: Request, template: str, *, status: int = 200, charts: bool = False, **context: Any
) -> HTMLResponse:
    """The page; `charts` loosens the style policy, which Plotly needs, and nothing else."""
    user = getattr(request.state, "user", None)
    html = ENVIRONMENT.get_template(template).render(
        request=request, **({"user": user, "project": None, "section": ""} | context)
    )
    reply = HTMLResponse(html, status_code=status)
    if charts:
        reply.headers["Content-Security-Policy"] = CHART_POLICY
    return reply


def fragment(request: Request, template: str, **context: Any) -> str:
    """A part of a page, for a module that puts it in place."""
    return ENVIRONMENT.get_template(template).render(request=request, **context)


def redirect(request: Request, name: str, /, **path_params: Any) -> RedirectResponse:
    """See-other to a named page, so that a reload does not post again."""
    return RedirectResponse(str(request.app.url_path_for(name, **path_params)), status_code=303)


def safe_next(target: str | None) -> str:
    """A path of our own to go on to; anything that could lead elsewhere becomes the front page."""
    if not target or "\\" in target or any(ord(sign) < 0x20 for sign in target):
        return "/"
    parts = urlsplit(target)
    is_ours = not parts.scheme and not parts.netloc and target[:1] == "/" and target[:2] != "//"
    return target if is_ours else "/"


__all__ = ["ENVIRONMENT", "STATIC", "fragment", "redirect", "render", "safe_next"]
