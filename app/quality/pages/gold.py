"""Known answers: whether they are right, who objects, and what follows when one is changed."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Request
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.accounts.auth import CurrentUser
from app.accounts.models import Role
from app.db import Now, SessionDep
from app.errors import AppError, Conflict, found
from app.projects.auth import ProjectRole, ReviewerProject, require
from app.projects.models import Project
from app.quality.auth import ReviewableTask
from app.quality.queries import gold as queries
from app.quality.queries import review
from app.quality.rules.gold import ScoreChange, key_in_words, key_of_places, places_of_key
from app.quality.rules.review import in_words, label
from app.quality.schemas.gold import GoldChange, SettlementForm
from app.quality.service.appeals import settle_appeal
from app.quality.service.gold import Doubt, change_gold, edition_of, rehearse
from app.tasks import queries as task_queries
from app.tasks.models import GoldKey, Task
from app.tasks.rules import satisfies
from app.web import redirect, render
from app.web.tables import csv_reply

router = APIRouter(include_in_schema=False)

CSV_HEADER = (
    *("task_id", "external_id", "kind", "prompt", "key", "explanation", "answers", "right"),
    *("pass_rate", "low", "high", "disputed", "suspended_at", "suspend_reason", "upheld_at"),
    "open_appeals",
)
SETTLED = 20  # appeals that the page still shows


@router.get("/projects/{project_id}/gold", name="gold")
def gold(request: Request, session: SessionDep, project: ReviewerProject) -> HTMLResponse:
    """Every task with a key, the most doubtful first, and what people object to."""
    return render(
        request,
        "quality/gold.html",
        project=project,
        section="overview",
        lines=queries.gold_lines(session, project=project),
        appeals=task_queries.open_appeals(session, project=project),
        settled=task_queries.settled_appeals(session, project=project, limit=SETTLED),
        paused=queries.paused_without_cause(session, project=project),
    )


@router.get("/projects/{project_id}/gold.csv", name="gold_csv")
def gold_csv(session: SessionDep, project: ReviewerProject) -> Response:
    return csv_reply(
        "gold",
        CSV_HEADER,
        (
            [
                str(line.task_id),
                line.external_id,
                "qualification" if line.is_question else "gold",
                line.opening,
                line.key,
                line.explanation,
                line.seen,
                line.passed,
                line.pass_rate.value,
                line.pass_rate.low,
                line.pass_rate.high,
                line.is_disputed,
                line.suspended_at,
                line.suspend_reason,
                line.upheld_at,
                line.appeals,
            ]
            for line in queries.gold_lines(session, project=project)
        ),
    )


@router.get("/tasks/{task_id}/gold", name="gold_task", response_model=None)
def gold_task(request: Request, session: SessionDep, task: ReviewableTask) -> Response:
    """One key beside its responses and answers; an ordinary task is reviewed instead."""
    if session.get(GoldKey, task.id) is None:
        return redirect(request, "review_task", task_id=task.id)
    return _task_page(request, session, task=task)


@router.post("/tasks/{task_id}/gold", name="change_gold", response_model=None)
def change(
    request: Request,
    session: SessionDep,
    task: ReviewableTask,
    user: CurrentUser,
    now: Now,
    form: Annotated[GoldChange, Form()],
) -> Response:
    """First what the change would do; confirmed, the change."""
    project: Project = request.state.project
    if form.action == "unset":  # what was gold counts from then on
        require(request.state.role, Role.ADMIN)
    doubt = Doubt(project=project, task=task, change=form, by=user, now=now)
    task_id = task.id
    try:
        if not form.is_confirmed:
            changes = rehearse(session, project, lambda: change_gold(session, doubt))
            return _task_page(
                request, session, task=_again(session, task_id), form=form, changes=changes
            )
        with session.begin_nested():
            change_gold(session, doubt)
    except AppError as error:
        return _task_page(request, session, task=_again(session, task_id), form=form, problem=error)
    if form.action == "unset":
        return redirect(request, "gold", project_id=project.id)
    return redirect(request, "gold_task", task_id=task_id)


def _again(session: Session, task_id: UUID) -> Task:
    """The task as it is after something was taken back."""
    session.expire_all()
    return found(review.task_with_prompt(session, task_id=task_id))


def _task_page(
    request: Request,
    session: Session,
    *,
    task: Task,
    form: GoldChange | None = None,
    changes: list[ScoreChange] | None = None,
    problem: AppError | None = None,
) -> HTMLResponse:
    project: Project = request.state.project
    key = session.get(GoldKey, task.id, populate_existing=True)
    if key is None:
        raise problem or Conflict("This is an ordinary task by now: it has no key any more.")
    responses = review.responses_of(session, task=task)
    size = len(responses)
    prefers, equal = key.prefers, key.equal
    given = form or GoldChange.model_construct(  # an imported explanation may be of any length
        places=places_of_key(prefers, equal, size=size),
        ties_allowed=key.ties_allowed,
        explanation=key.explanation,
    )
    return render(
        request,
        "quality/gold_task.html",
        status=problem.status if problem else 200,
        project=project,
        section="overview",
        task=task,
        key=key,
        key_words=key_in_words(prefers, equal, size=size, ties_allowed=key.ties_allowed),
        is_question=task.kind.value == "qualification",
        responses=[(label(place), response) for place, response in enumerate(responses)],
        judgements=[
            (judgement, _passes(key, judgement.ranks))
            for judgement in review.judgements_of(session, task=task)
            if not judgement.is_repeat
        ],
        appeals=task_queries.open_appeals(session, project=project, task_id=task.id),
        paused=queries.paused_without_cause(session, project=project),
        edition=edition_of(task, key),
        form=given,
        places=given.places
        if len(given.places) == size
        else places_of_key(prefers, equal, size=size),
        changes=changes,
        new_words=_new_words(given, size=size) if changes is not None else None,
        problem=problem.detail if problem else None,
        in_words=in_words,
    )


def _new_words(form: GoldChange, *, size: int) -> str | None:
    """What a corrected key would say."""
    if form.action != "correct":
        return None
    prefers, equal = key_of_places(form.places)
    return key_in_words(prefers, equal, size=size, ties_allowed=form.ties_allowed)


def _passes(key: GoldKey, ranks: Sequence[int]) -> bool:
    return satisfies(ranks, prefers=key.prefers, equal=key.equal, ties_allowed=key.ties_allowed)


@router.post("/projects/{project_id}/appeals/{appeal_id}", name="settle_appeal")
def settle(
    request: Request,
    session: SessionDep,
    project: ReviewerProject,
    role: ProjectRole,
    user: CurrentUser,
    now: Now,
    appeal_id: UUID,
    form: Annotated[SettlementForm, Form()],
) -> RedirectResponse:
    """Answer an appeal and leave the key as it is, or lift the pause it is about."""
    appeal = found(task_queries.appeal_in(session, project=project, appeal_id=appeal_id))
    if appeal.task_id is None:  # a pause is an admin's
        require(role, Role.ADMIN)
    settle_appeal(session, project=project, appeal=appeal, settlement=form, by=user, now=now)
    return redirect(request, "gold", project_id=project.id)
