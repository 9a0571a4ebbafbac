"""Samples that are re-asked after a change of the guidelines, as JSON."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.accounts.auth import CurrentUser
from app.db import Now, SessionDep
from app.projects.auth import AdminProject, ViewerProject
from app.quality.auth import ProjectReAsk
from app.quality.rules.flips import LARGEST_SIZE
from app.quality.schemas.re_asks import (
    DirectionsOut,
    FlippedOut,
    PlanOut,
    ReAskBody,
    ReAskOut,
    ReAskReport,
    WaitsForOut,
)
from app.quality.service import re_asks as service

router = APIRouter(tags=["quality"])


@router.post("/projects/{project_id}/re-asks", status_code=201)
def begin_re_ask(
    session: SessionDep, project: AdminProject, user: CurrentUser, now: Now, body: ReAskBody
) -> ReAskReport:
    """Let the same people judge a sample again under the current guidelines, unknown to them."""
    re_ask = service.start(session, project=project, by=user, now=now, **body.model_dump())
    return report_out(service.report(session, project=project, re_ask=re_ask))


@router.get("/projects/{project_id}/re-asks")
def list_re_asks(session: SessionDep, project: ViewerProject) -> list[ReAskOut]:
    """All of them with how far they are, newest first."""
    return [
        ReAskOut.model_validate(_progress(each))
        for each in service.progress_of_all(session, project=project)
    ]


@router.get("/projects/{project_id}/re-asks/plan")
def plan_re_ask(
    session: SessionDep,
    project: AdminProject,
    from_version: Annotated[int | None, Query(ge=1)] = None,
    size: Annotated[int | None, Query(ge=1, le=LARGEST_SIZE)] = None,
    share: Annotated[float | None, Query(gt=0, le=1)] = None,
) -> PlanOut:
    """What a re-ask would do now; nothing is changed."""
    plan = service.plan(session, project=project, from_version=from_version, size=size, share=share)
    return PlanOut(
        from_version=plan.from_version,
        to_version=plan.to_version,
        tasks=len(plan.pairs),
        people=plan.people,
        eligible=plan.eligible,
        minutes=plan.minutes,
        sentence=plan.sentence,
        reason=plan.reason,
        warning=plan.warning,
    )


@router.get("/projects/{project_id}/re-asks/{re_ask_id}")
def get_re_ask(session: SessionDep, project: ViewerProject, re_ask: ProjectReAsk) -> ReAskReport:
    """The flip rate, against how much people change anyway; waiting tasks are never named."""
    return report_out(service.report(session, project=project, re_ask=re_ask))


@router.post("/projects/{project_id}/re-asks/{re_ask_id}/cancel")
def end_re_ask(
    session: SessionDep,
    project: AdminProject,
    re_ask: ProjectReAsk,
    user: CurrentUser,
    now: Now,
) -> ReAskReport:
    """What waits does not come any more; what is in stays. Twice is once."""
    service.cancel(session, project=project, re_ask=re_ask, by=user, now=now)
    session.refresh(re_ask)
    return report_out(service.report(session, project=project, re_ask=re_ask))


def _progress(progress: service.Progress) -> dict[str, object]:
    re_ask = progress.re_ask
    return {
        "id": str(re_ask.id),
        "state": progress.state,
        "from_version": re_ask.from_version,
        "to_version": re_ask.to_version,
        "size": re_ask.size,
        "waiting": progress.waiting,
        "open": progress.open,
        "judged": progress.judged,
        "away": progress.away,
        "lost": progress.lost,
        "waits_for": [
            WaitsForOut(user_id=str(user_id), name=name, tasks=number)
            for user_id, name, number in progress.waits_for
        ],
        "created_at": re_ask.created_at,
        "cancelled_at": re_ask.cancelled_at,
    }


def report_out(report: service.Report) -> ReAskReport:
    return ReAskReport.model_validate(
        {
            **_progress(report.progress),
            **report.figures(),
            "directions": DirectionsOut(**report.directions),
            "sentence": report.sentence,
            "flipped": [
                FlippedOut(
                    task_id=str(line.task_id),
                    external_id=line.external_id,
                    user_id=str(line.user_id),
                    before=list(line.before),
                    after=list(line.after or ()),
                )
                for line in report.flipped
            ],
        }
    )
