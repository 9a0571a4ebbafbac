"""The web application: routers, middleware, error handlers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, Depends, FastAPI, Request, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import text
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

from app.accounts import api as accounts_api
from app.accounts import auth as accounts_auth
from app.accounts import pages as accounts_pages
from app.accounts.auth import Visitor
from app.annotation import api as annotation_api
from app.annotation import pages as annotation_pages
from app.config import settings
from app.corpus import api as corpus_api
from app.corpus import pages as corpus_pages
from app.datasets import api as datasets_api
from app.datasets import pages as datasets_pages
from app.db import SessionDep, connect
from app.evaluation import api as evaluation_api
from app.evaluation import pages as evaluation_pages
from app.generation import api as generation_api
from app.generation import pages as generation_pages
from app.playground import api as playground_api
from app.playground import pages as playground_pages
from app.privacy import api as privacy_api
from app.privacy import pages as privacy_pages
from app.projects import api as projects_api
from app.projects import pages as projects_pages
from app.quality import api as quality_api
from app.quality import pages as quality_pages
from app.rounds import api as rounds_api
from app.rounds import pages as rounds_pages
from app.runs import api as runs_api
from app.runs import pages as runs_pages
from app.schema import is_at_head
from app.web import redirect
from app.web.logs import RequestLog, configure_logs, figures
from app.web.pages import STATIC, plotly_folder
from app.web.problems import PROBLEM_REPLY, install
from app.web.protection import BodyLimit, HeadAsGet, SecurityHeaders, protect_writes
from app.work import api as work_api
from app.work import pages as work_pages

PAGES: list[APIRouter] = [
    annotation_pages.router,
    accounts_pages.router,
    *projects_pages.routers,
    *corpus_pages.routers,
    *quality_pages.routers,
    work_pages.router,
    *datasets_pages.routers,
    *runs_pages.routers,
    *generation_pages.routers,
    playground_pages.router,
    evaluation_pages.router,
    rounds_pages.router,
    privacy_pages.router,
]
API: list[APIRouter] = [
    *annotation_api.routers,
    accounts_api.router,
    projects_api.router,
    corpus_api.router,
    *quality_api.routers,
    work_api.router,
    *datasets_api.routers,
    *runs_api.routers,
    generation_api.router,
    playground_api.router,
    evaluation_api.router,
    rounds_api.router,
    privacy_api.router,
]

# Says in the OpenAPI document how programs sign in; `accounts.auth` does the checking.
BEARER = Security(HTTPBearer(auto_error=False, description="`touchstone token create`"))

upkeep = APIRouter()


@upkeep.get("/healthz", tags=["upkeep"])
async def healthz() -> dict[str, str]:
    """Say that the process answers, also while every thread waits for the database."""
    return {"status": "ok"}


@upkeep.get("/readyz", tags=["upkeep"], response_model=None)
def readyz(session: SessionDep) -> JSONResponse:
    """The database answers, its schema is ours, and the job queue is there."""
    checks = {
        "database": session.scalar(text("SELECT 1")) == 1,
        "migrations": is_at_head(session.connection()),
        "queue": session.scalar(text("SELECT to_regclass('procrastinate_jobs')")) is not None,
    }
    is_ready = all(checks.values())
    return JSONResponse(
        {"status": "ready" if is_ready else "not ready", "checks": checks},
        status_code=200 if is_ready else 503,
    )


@upkeep.get(
    "/metrics",
    tags=["upkeep"],
    dependencies=[Depends(accounts_auth.admin_user), BEARER],
    response_class=PlainTextResponse,
)
def metrics() -> PlainTextResponse:
    """Figures for Prometheus; for admins (an API token will do)."""
    return PlainTextResponse(figures(), media_type=CONTENT_TYPE_LATEST)


@upkeep.get("/", include_in_schema=False, name="home")
def home(request: Request, user: Visitor) -> RedirectResponse:
    return redirect(request, "projects" if user else "sign_in")


def operation_id(route: APIRoute) -> str:
    return route.name


def create_app(database_url: str | None = None) -> FastAPI:
    """The application; with `database_url` it connects when it starts."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        engine = connect(database_url) if database_url else None
        yield
        if engine is not None:
            engine.dispose()

    configure_logs(settings)
    app = FastAPI(
        title="Touchstone",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        generate_unique_id_function=operation_id,
        dependencies=[Depends(protect_writes)],
        responses={"default": PROBLEM_REPLY},
    )
    for router in API:  # first: a path is compared with one route after the other
        app.include_router(router, prefix="/api/v1", dependencies=[BEARER])
    for router in PAGES:
        app.include_router(router)
    app.include_router(upkeep)
    app.mount("/static/plotly", StaticFiles(directory=plotly_folder()), name="plotly")
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    install(app)
    app.add_middleware(BodyLimit, may_upload=accounts_auth.may_upload)
    app.add_middleware(HeadAsGet)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestLog)
    return app
