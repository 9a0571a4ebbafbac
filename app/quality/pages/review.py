"""The review of a task: what people said, and what a reviewer makes of it."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Query, Request
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.accounts.auth import CurrentUser
from app.accounts.models import Role
from app.annotation.schemas import FLAGS
from app.db import Now, SessionDep
from app.errors import AppError, Conflict, Invalid
from app.projects.models import Project
from app.quality.auth import GoldenTask, ReviewableTask
from app.quality.queries import review as queries
from app.quality.rules.keys import key_in_words, key_of
from app.quality.rules.review import in_words, label, standard_ranks
from app.quality.schemas.queue import ReviewPage
from app.quality.schemas.review import AdjudicationForm, GoldForm, SendBackForm
from app.quality.service import review as service
from app.quality.service import settling
from app.quality.service.queue import queue
from app.quality.service.task_review import flags_in_words, ratings_in_words, task_review
from app.tasks.models import Task
from app.web import redirect, render

router = APIRouter(include_in_schema=False)

Asked = Annotated[ReviewPage, Query()]
PAIR = 2


@router.get("/tasks/{task_id}/review", name="review_task")
def review_task(
    request: Request, session: SessionDep, task: ReviewableTask, asked: Asked
) -> HTMLResponse:
    """Both sides, the rationales and the guidelines on one page."""
    return _page(request, session, task, asked)


def _page(
    request: Request,
    session: Session,
    task: Task,
    asked: ReviewPage,
    *,
    problem: AppError | None = None,
    **put_in: Any,
) -> HTMLResponse:
    """The page with what somebody has put in already, and why that was not done."""
    project: Project = request.state.project
    view = task_review(session, task=task, project=project)
    holding = view.holding
    chosen: Sequence[int | None] = holding.ranks if holding else [None] * len(view.responses)
    if view.gold_key:
        key = key_in_words(view.gold_key.prefers, view.gold_key.equal)
    else:
        key = key_of(holding.ranks) if holding else ""
    shown: dict[str, Any] = {
        "project": project,
        "section": "review",
        "task": task,
        "prompt": task.prompt,
        "view": view,
        "asked": asked,
        "progress": queue(session, project=project, filters=asked, limit=1),
        "may_make_gold": request.state.role is Role.ADMIN,
        "problem": problem,
        "label": label,
        "in_words": in_words,
        "key_in_words": key_in_words,
        "ratings": ratings_in_words,
        "flags": lambda judgement: flags_in_words(judgement, FLAGS),
        "chosen": chosen,
        "reason": "",
        "more": 1,
        "more_reason": "",
        "key": key,
        "ties_allowed": bool(view.gold_key and view.gold_key.ties_allowed),
        "explanation": (view.gold_key.explanation if view.gold_key else None)
        or (holding.reason if holding else ""),
        "effect": None,
        "failed": "",
    } | put_in
    status = problem.status if problem else 200
    return render(request, "quality/review_task.html", status=status, **shown)


def _back(request: Request, task: Task, asked: ReviewPage, said: str = "") -> RedirectResponse:
    """To the page again, still on the way through the same queue."""
    reply = redirect(request, "review_task", task_id=task.id)
    query = "&".join(part for part in (asked.query, f"said={said}" if said else "") if part)
    if query:
        reply.headers["location"] += f"?{query}"
    return reply


@router.post("/tasks/{task_id}/adjudication", name="adjudicate_task", response_model=None)
def adjudicate(
    request: Request,
    session: SessionDep,
    task: ReviewableTask,
    user: CurrentUser,
    asked: Asked,
    form: Annotated[AdjudicationForm, Form()],
) -> Response:
    """Settle a task; when it has changed meanwhile, say how, and keep what she has put in."""
    try:
        size = len(queries.responses_of(session, task=task))
        service.adjudicate(
            session,
            task=task,
            ranks=_ranks(form, size=size),
            reason=form.reason,
            by=user,
            if_unchanged=form.seen or None,
        )
    except (Invalid, Conflict) as problem:
        size = len(queries.responses_of(session, task=task))
        chosen = (form.chosen + [None] * size)[:size]
        return _page(
            request,
            session,
            task,
            asked,
            problem=problem,
            failed="adjudication",
            chosen=chosen,
            reason=form.reason,
        )
    if form.then == "stay":
        return _back(request, task, asked, "settled")
    reply = redirect(request, "next_review", project_id=task.project_id)
    reply.headers["location"] += "?" + "&".join(
        part for part in (f"behind={task.id}", asked.query) if part
    )
    return reply


def _ranks(form: AdjudicationForm, *, size: int) -> list[int]:
    places = [place for place in form.chosen if place is not None]
    if len(places) < size and len(form.chosen) <= size:
        if size == PAIR:
            raise Invalid("Say which response is better, or that they tie.")
        raise Invalid("Give each response a place; the same place is a tie.")
    return standard_ranks(places, size=size)


@router.post(
    "/tasks/{task_id}/adjudication/{adjudication_id}/withdraw", name="withdraw_adjudication"
)
def withdraw(
    request: Request,
    session: SessionDep,
    task: ReviewableTask,
    user: CurrentUser,
    adjudication_id: UUID,
    asked: Asked,
) -> RedirectResponse:
    settling.withdraw(session, task=task, adjudication_id=adjudication_id, by=user)
    return _back(request, task, asked, "withdrawn")


@router.post("/tasks/{task_id}/send-back", name="send_back", response_model=None)
def send_back(
    request: Request,
    session: SessionDep,
    task: ReviewableTask,
    user: CurrentUser,
    asked: Asked,
    form: Annotated[SendBackForm, Form()],
) -> Response:
    try:
        settling.send_back(
            session,
            task=task,
            more=form.more,
            reason=form.reason,
            by=user,
            if_unchanged=form.seen or None,
        )
    except (Invalid, Conflict) as problem:
        return _page(
            request,
            session,
            task,
            asked,
            problem=problem,
            failed="send_back",
            more=form.more,
            more_reason=form.reason,
        )
    return _back(request, task, asked, "sent_back")


@router.post(
    "/tasks/{task_id}/send-back/{send_back_id}/undo", name="undo_send_back", response_model=None
)
def undo_send_back(
    request: Request,
    session: SessionDep,
    task: ReviewableTask,
    user: CurrentUser,
    send_back_id: UUID,
    asked: Asked,
) -> Response:
    project = request.state.project
    try:
        settling.undo_send_back(
            session, task=task, project=project, send_back_id=send_back_id, by=user
        )
    except Conflict as problem:
        return _page(request, session, task, asked, problem=problem)
    return _back(request, task, asked, "taken_back")


@router.post("/tasks/{task_id}/review/gold", name="make_gold", response_model=None)
def make_gold(
    request: Request,
    session: SessionDep,
    task: GoldenTask,
    user: CurrentUser,
    now: Now,
    asked: Asked,
    form: Annotated[GoldForm, Form()],
) -> Response:
    """First what a key would do to the judgements that are there, then, confirmed, do it."""
    put_in: dict[str, Any] = {
        "failed": "gold",
        "key": form.key,
        "ties_allowed": form.ties_allowed,
        "explanation": form.explanation,
    }
    try:
        gold = settling.gold_from(
            form.key,
            size=len(queries.responses_of(session, task=task)),
            ties_allowed=form.ties_allowed,
            explanation=form.explanation,
        )
        if form.confirmed:
            settling.make_gold(
                session,
                task=task,
                project=request.state.project,
                gold=gold,
                by=user,
                now=now,
                if_unchanged=form.seen,
            )
            return _back(request, task, asked, "gold")
        effect = settling.gold_effect(session, task=task, gold=gold)
        return _page(request, session, task, asked, effect=effect, **put_in)
    except (Invalid, Conflict) as problem:
        return _page(request, session, task, asked, problem=problem, **put_in)


@router.post("/tasks/{task_id}/review/ordinary", name="unmake_gold")
def unmake_gold(
    request: Request,
    session: SessionDep,
    task: GoldenTask,
    user: CurrentUser,
    asked: Asked,
) -> RedirectResponse:
    settling.unmake_gold(session, task=task, project=request.state.project, by=user)
    return _back(request, task, asked, "ordinary")
