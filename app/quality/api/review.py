"""Disputed tasks and what settles them, as JSON."""

from typing import Literal
from uuid import UUID

from fastapi import APIRouter

from app.accounts.auth import CurrentUser
from app.db import SessionDep
from app.errors import Invalid, found
from app.projects.auth import ReviewerProject
from app.quality.api.paging import Cursor, Limit
from app.quality.auth import ReviewableTask
from app.quality.models import Part
from app.quality.queries import review as queries
from app.quality.schemas.review import AdjudicationBody, AdjudicationOut, TaskOut, TaskPage
from app.quality.service import review as service
from app.quality.service import summary

router = APIRouter(tags=["quality"])

PARTS = {"disagreement": (Part.OVERVIEW, "disputed"), "posterior": (Part.CONSENSUS, "uncertain")}


@router.get("/projects/{project_id}/tasks")
def list_tasks(
    session: SessionDep,
    project: ReviewerProject,
    order: Literal["disagreement", "posterior"] = "disagreement",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> TaskPage:
    """Tasks that need a look, the first thousand.

    By disagreement: judged by two people or more, the most disputed first. By posterior: not
    settled by a reviewer, the least certain answer first.
    """
    part, key = PARTS[order]
    view = found(summary.current(session, project=project, part=part, wait=True))
    start = int(cursor or 0)
    disputed = view.figures[key]
    chosen = {UUID(task["task_id"]): task for task in disputed[start : start + limit]}
    lines = queries.task_lines(session, task_ids=list(chosen))
    return TaskPage(
        as_of=view.computed_at,
        is_current=view.is_current,
        items=[
            TaskOut(
                id=str(task_id),
                external_id=lines[task_id].external_id,
                disagreement=task["disagreement"],
                posterior=task.get("posterior"),
                n_annotations=task["n_annotations"],
                n_responses=lines[task_id].n_responses,
                adjudicated_at=lines[task_id].adjudicated_at,
            )
            for task_id, task in chosen.items()
            if task_id in lines
        ],
        next_cursor=str(start + limit) if len(disputed) > start + limit else None,
    )


@router.put("/tasks/{task_id}/adjudication")
def adjudicate(
    session: SessionDep, task: ReviewableTask, user: CurrentUser, body: AdjudicationBody
) -> AdjudicationOut:
    """Settle a task with a final ranking and the reason for it; the newest one holds."""
    if not body.ranking:
        raise Invalid("The ranking is empty. Name each response once, best first.")
    adjudication = service.adjudicate_ranking(
        session, task=task, ranking=body.ranking, reason=body.reason, by=user
    )
    responses = queries.responses_of(session, task=task)
    return AdjudicationOut(
        id=str(adjudication.id),
        task_id=str(task.id),
        response_ids=[str(response.id) for response in responses],
        ranks=adjudication.ranks,
        reason=adjudication.reason,
        by=adjudication.user_id,
        created_at=adjudication.created_at,
    )
