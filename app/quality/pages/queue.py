"""The queue of a reviewer."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.db import SessionDep
from app.projects.auth import ReviewerProject
from app.quality.queries.queue import choices
from app.quality.rules.queue import Order, State, read_mark
from app.quality.schemas.queue import QueueFilters, QueuePage
from app.quality.service.queue import LOOKED_AT, Queue, place_of, queue
from app.web import redirect, render
from app.web.tables import csv_reply

router = APIRouter(include_in_schema=False)

PER_PAGE = 25
HEADER = (
    "task_id",
    "external_id",
    "prompt",
    "responses",
    "judgements",
    "disagreement",
    "posterior",
    "difference",
    "state",
    "settled_at",
)


class NextQuery(QueueFilters):
    """`behind`: the task after which the next one is wanted, the first of all without it."""

    behind: UUID | None = None


@router.get("/projects/{project_id}/review", name="review_queue")
def review_queue(
    request: Request,
    session: SessionDep,
    project: ReviewerProject,
    filters: Annotated[QueuePage, Query()],
) -> HTMLResponse:
    """What people differ on or are unsure of, the worst first."""
    found = queue(
        session,
        project=project,
        filters=filters,
        start=read_mark(filters.after) if filters.after else None,
        limit=PER_PAGE,
    )
    return render(
        request,
        "quality/review_queue.html",
        project=project,
        section="review",
        queue=found,
        filters=filters,
        choices=choices(session, project=project),
        Order=Order,
        State=State,
        looked_at=LOOKED_AT,
    )


@router.get("/projects/{project_id}/review.csv", name="review_queue_csv", response_model=None)
def review_queue_csv(
    session: SessionDep, project: ReviewerProject, filters: Annotated[QueueFilters, Query()]
) -> Response:
    """The whole queue as it is filtered, in its order."""
    found = queue(session, project=project, filters=filters, limit=LOOKED_AT, wait=True)
    return csv_reply(f"review-{project.id}", HEADER, _rows(found) if found else [])


def _rows(found: Queue) -> list[tuple[object, ...]]:
    return [
        (
            str(item.line.task_id),
            item.line.external_id,
            item.line.opening,
            item.line.n_responses,
            item.scores.n_annotations,
            item.scores.disagreement,
            item.scores.posterior,
            item.scores.difference,
            item.state.value,
            item.settled_at,
        )
        for item in found.items
    ]


@router.get("/projects/{project_id}/review/next", name="next_review")
def next_review(
    request: Request,
    session: SessionDep,
    project: ReviewerProject,
    asked: Annotated[NextQuery, Query()],
) -> RedirectResponse:
    """On to the task behind this one; at the end, back to the queue, which says so."""
    behind = asked.behind
    start = place_of(session, project=project, filters=asked, task_id=behind) if behind else None
    found = queue(session, project=project, filters=asked, start=start, limit=1)
    if found is None or not found.items:
        reply = redirect(request, "review_queue", project_id=project.id)
        more = "end=1" if behind else ""
    else:
        reply = redirect(request, "review_task", task_id=found.items[0].line.task_id)
        more = ""
    query = "&".join(part for part in (asked.query, more) if part)
    if query:
        reply.headers["location"] += f"?{query}"
    return reply
