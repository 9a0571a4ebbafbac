"""The review of disputed tasks."""

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse

from app.accounts.auth import CurrentUser
from app.db import SessionDep
from app.projects.auth import (
    ReviewerProject,
)
from app.projects.queries import guidelines_of
from app.quality.auth import ReviewableTask
from app.quality.queries import review as queries
from app.quality.rules.review import in_words, label, standard_ranks
from app.quality.schemas.review import AdjudicationForm
from app.quality.service import review as service
from app.quality.service import summary
from app.quality.service.dashboard import disputed_tasks
from app.web import redirect, render

router = APIRouter(include_in_schema=False)

PER_PAGE = 25


@router.get("/projects/{project_id}/review", name="review_queue")
def review_queue(
    request: Request,
    session: SessionDep,
    project: ReviewerProject,
    start: Annotated[int, Query(ge=0, le=1_000)] = 0,
) -> HTMLResponse:
    view = summary.current(session, project=project)
    tasks = disputed_tasks(session, view=view, start=start, limit=PER_PAGE + 1) if view else []
    return render(
        request,
        "quality/review_queue.html",
        project=project,
        section="review",
        view=view,
        tasks=tasks[:PER_PAGE],
        start=start,
        next_start=start + PER_PAGE if len(tasks) > PER_PAGE else None,
    )


@router.get("/tasks/{task_id}/review", name="review_task")
def review_task(request: Request, session: SessionDep, task: ReviewableTask) -> HTMLResponse:
    """Both sides, the rationales and the guidelines on one page."""
    project = request.state.project
    responses = queries.responses_of(session, task=task)
    adjudications = queries.adjudications_of(session, task=task)
    return render(
        request,
        "quality/review_task.html",
        project=project,
        section="review",
        task=task,
        prompt=task.prompt,
        responses=[(label(place), response) for place, response in enumerate(responses)],
        judgements=queries.judgements_of(session, task=task),
        adjudications=adjudications,
        gold_key=queries.gold_key_of(session, task=task),
        guidelines=guidelines_of(session, project=project),
        chosen=adjudications[0][0].ranks if adjudications else [1] * len(responses),
        label=label,
        in_words=in_words,
    )


@router.post("/tasks/{task_id}/adjudication", name="adjudicate_task")
def adjudicate(
    request: Request,
    session: SessionDep,
    task: ReviewableTask,
    user: CurrentUser,
    form: Annotated[AdjudicationForm, Form()],
) -> RedirectResponse:
    responses = queries.responses_of(session, task=task)
    service.adjudicate(
        session,
        task=task,
        ranks=standard_ranks(form.places, size=len(responses)),
        reason=form.reason,
        by=user,
    )
    return redirect(request, "review_task", task_id=task.id)
