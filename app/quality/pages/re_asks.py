"""Asking again after the guidelines have changed, and what the versions did to agreement."""

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.accounts.auth import CurrentUser
from app.db import Now, SessionDep
from app.errors import AppError, Conflict, found
from app.projects.auth import AdminProject, ViewerProject
from app.projects.models import Project
from app.projects.queries import authors_of, guidelines_versions
from app.quality.auth import ProjectReAsk
from app.quality.models import Part
from app.quality.queries.re_asks import versions_judged
from app.quality.rules.flips import DEFAULT_SIZE, LARGEST_SIZE
from app.quality.rules.review import in_words
from app.quality.schemas.re_asks import ReAskForm
from app.quality.service import re_asks as service
from app.quality.service import summary
from app.web import redirect, render
from app.web.tables import csv_reply

router = APIRouter(include_in_schema=False)

HEADER = (
    "task_id", "external_id", "annotator", "before", "after", "before_version", "after_version",
    "pairs", "tie_to_decisive", "decisive_to_tie", "reversed", "judged_at",
)  # fmt: skip


@router.get("/projects/{project_id}/re-asks", name="re_asks")
def re_asks(
    request: Request,
    session: SessionDep,
    project: AdminProject,
    from_version: Annotated[int | None, Query(ge=1)] = None,
    size: Annotated[int | None, Query(ge=1, le=LARGEST_SIZE)] = None,
) -> HTMLResponse:
    """What a re-ask would do now, and those that there were."""
    return _page(request, session, project=project, from_version=from_version, size=size)


def _page(
    request: Request,
    session: Session,
    *,
    project: Project,
    from_version: int | None = None,
    size: int | None = None,
    problem: AppError | None = None,
) -> HTMLResponse:
    try:
        plan = service.plan(session, project=project, from_version=from_version, size=size)
    except AppError as error:
        plan, problem = service.plan(session, project=project), error
    judged = versions_judged(session, project=project)
    past = service.progress_of_all(session, project=project)
    return render(
        request,
        "quality/re_asks.html",
        status=problem.status if problem else 200,
        project=project,
        section="guidelines",
        plan=plan,
        size=size or DEFAULT_SIZE,
        judged=sorted((v, n) for v, n in judged.items() if v < project.guidelines_version),
        past=past,
        is_running=any(each.waits for each in past),
        problem=problem.detail if problem else None,
    )


@router.post("/projects/{project_id}/re-asks", name="start_re_ask", response_model=None)
def start_re_ask(
    request: Request,
    session: SessionDep,
    project: AdminProject,
    user: CurrentUser,
    now: Now,
    form: Annotated[ReAskForm, Form()],
) -> Response:
    try:
        re_ask = service.start(
            session,
            project=project,
            by=user,
            now=now,
            from_version=form.from_version,
            size=form.size,
        )
    except AppError as error:
        asked = None if isinstance(error, Conflict) else form.from_version
        return _page(request, session, project=project, from_version=asked, problem=error)
    return redirect(request, "re_ask", project_id=project.id, re_ask_id=re_ask.id)


@router.get("/projects/{project_id}/re-asks/{re_ask_id}.csv", name="re_ask_csv")
def re_ask_csv(session: SessionDep, project: ViewerProject, re_ask: ProjectReAsk) -> Response:
    """Every task that is in, with both judgements."""
    report = service.report(session, project=project, re_ask=re_ask)
    rows = []
    for line in report.lines:
        if not line.counts:
            continue
        look = service.look_of(line)
        flips = look.flips
        rows.append(
            (
                str(line.task_id), line.external_id, line.name, in_words(line.before),
                in_words(line.after or ()), line.before_version, line.after_version, look.n_pairs,
                flips["tie_to_decisive"], flips["decisive_to_tie"], flips["reversed"],
                line.after_at,
            )
        )  # fmt: skip
    return csv_reply(f"re-ask-{re_ask.from_version}-to-{re_ask.to_version}", HEADER, rows)


@router.get("/projects/{project_id}/re-asks/{re_ask_id}", name="re_ask")
def re_ask_page(
    request: Request, session: SessionDep, project: ViewerProject, re_ask: ProjectReAsk
) -> HTMLResponse:
    """The flip rate, against how much people change anyway, and the tasks that flipped."""
    return render(
        request,
        "quality/re_ask.html",
        project=project,
        section="guidelines",
        re_ask=re_ask,
        report=service.report(session, project=project, re_ask=re_ask),
        in_words=in_words,
    )


@router.post("/projects/{project_id}/re-asks/{re_ask_id}/cancel", name="cancel_re_ask")
def cancel_re_ask(
    request: Request,
    session: SessionDep,
    project: AdminProject,
    re_ask: ProjectReAsk,
    user: CurrentUser,
    now: Now,
) -> RedirectResponse:
    service.cancel(session, project=project, re_ask=re_ask, by=user, now=now)
    return redirect(request, "re_ask", project_id=project.id, re_ask_id=re_ask.id)


@router.get("/projects/{project_id}/guidelines/versions", name="guideline_versions")
def guideline_versions(
    request: Request, session: SessionDep, project: ViewerProject
) -> HTMLResponse:
    """Whether people agree more since the guidelines changed: agreement by version."""
    view = summary.current(session, project=project, part=Part.GUIDELINES_VERSION, wait=True)
    groups = {group["key"]: group["fields"]["ranking"] for group in found(view).figures["groups"]}
    versions = guidelines_versions(session, project=project)
    return render(
        request,
        "quality/guideline_versions.html",
        project=project,
        section="guidelines",
        view=view,
        versions=versions,
        figures=groups,
        authors=authors_of(session, versions=versions),
    )


@router.get("/projects/{project_id}/guidelines/versions.csv", name="guideline_versions_csv")
def guideline_versions_csv(session: SessionDep, project: ViewerProject) -> Response:
    view = found(summary.current(session, project=project, part=Part.GUIDELINES_VERSION, wait=True))
    groups = {group["key"]: group["fields"]["ranking"] for group in view.figures["groups"]}
    header = ["version", "created_at", "note", "is_clarification", "n_tasks", "n_annotations"]
    shown = ("percent_agreement", "krippendorff_alpha", "gwet_ac")
    header += [f"{name}{end}" for name in shown for end in ("", "_low", "_high")]
    rows = []
    for each in guidelines_versions(session, project=project):
        figures = groups.get(str(each.version), {})
        row = [each.version, each.created_at, each.note, each.needed < each.version]
        row += [figures.get("n_tasks", 0), figures.get("n_annotations", 0)]
        for name in shown:
            row += [figures.get(name, {}).get(end) for end in ("value", "low", "high")]
        rows.append(row)
    return csv_reply("guideline-versions", header, rows)
