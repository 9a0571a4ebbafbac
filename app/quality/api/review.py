"""Tasks to be looked at and what settles them, as JSON."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request

from app.accounts.auth import CurrentUser
from app.db import SessionDep
from app.errors import Invalid, NotFound, found
from app.projects.auth import ReviewerProject
from app.quality.api.detail import adjudication_out, send_back_out, task_detail
from app.quality.auth import ReviewableTask
from app.quality.models import Part
from app.quality.queries import review as queries
from app.quality.rules.queue import read_mark
from app.quality.rules.review import holding
from app.quality.schemas.queue import TaskOut, TaskPage, TaskQuery
from app.quality.schemas.review import (
    AdjudicationBody,
    AdjudicationOut,
    SendBackBody,
    SendBackOut,
    TaskDetail,
)
from app.quality.service import review as service
from app.quality.service import settling
from app.quality.service.queue import queue
from app.quality.service.task_review import task_review

router = APIRouter(tags=["quality"])

PARTS = {"disagreement": (Part.OVERVIEW, "disputed"), "posterior": (Part.CONSENSUS, "uncertain")}


@router.get("/projects/{project_id}/tasks")
def list_tasks(
    session: SessionDep, project: ReviewerProject, asked: Annotated[TaskQuery, Query()]
) -> TaskPage:
    """Judged tasks, those first that people differ on most, or whose answer is least sure.

    Of a large project, the thousand most disputed ones are looked at.
    """
    view = found(
        queue(
            session,
            project=project,
            filters=asked,
            start=read_mark(asked.cursor) if asked.cursor else None,
            limit=asked.limit,
            doubtful=False,
            wait=True,
        )
    )
    return TaskPage(
        as_of=view.as_of,
        is_current=view.is_current,
        items=[
            TaskOut(
                id=str(item.line.task_id),
                external_id=item.line.external_id,
                state=item.state,
                disagreement=item.scores.disagreement,
                posterior=item.scores.posterior,
                difference=item.scores.difference,
                n_annotations=item.scores.n_annotations,
                n_responses=item.line.n_responses,
                adjudicated_at=item.settled_at,
            )
            for item in view.items
        ],
        next_cursor=str(view.next_mark) if view.next_mark else None,
    )


@router.get("/tasks/{task_id}")
def get_task(request: Request, session: SessionDep, task: ReviewableTask) -> TaskDetail:
    """A task with what people said of it; send its `stamp` back as `if_unchanged`."""
    view = task_review(session, task=task, project=request.state.project)
    return task_detail(task, view)


@router.put("/tasks/{task_id}/adjudication")
def adjudicate(
    session: SessionDep, task: ReviewableTask, user: CurrentUser, body: AdjudicationBody
) -> AdjudicationOut:
    """Settle a task with a final ranking and the reason for it; the newest one holds."""
    if not body.ranking:
        raise Invalid("The ranking is empty. Name each response once, best first.")
    adjudication = service.adjudicate_ranking(
        session,
        task=task,
        ranking=body.ranking,
        reason=body.reason,
        by=user,
        if_unchanged=body.if_unchanged,
    )
    return adjudication_out(adjudication, queries.responses_of(session, task=task))


@router.delete("/tasks/{task_id}/adjudication", status_code=204)
def withdraw_newest(session: SessionDep, task: ReviewableTask, user: CurrentUser) -> None:
    """Withdraw the adjudication that holds; the one before it holds again, where there is one."""
    held = holding(each for each, _ in queries.adjudications_of(session, task=task))
    if held is None:
        raise NotFound("Nothing has settled this task, so there is nothing to withdraw.")
    settling.withdraw(session, task=task, adjudication_id=held.id, by=user)


@router.post("/tasks/{task_id}/send-backs", status_code=201)
def ask_for_more(
    session: SessionDep, task: ReviewableTask, user: CurrentUser, body: SendBackBody
) -> SendBackOut:
    """Ask up to three more people to judge a task, soon and beyond the project's overlap."""
    row = settling.send_back(
        session,
        task=task,
        more=body.more,
        reason=body.reason,
        by=user,
        if_unchanged=body.if_unchanged,
    )
    return send_back_out(row)


@router.delete("/tasks/{task_id}/send-backs/{send_back_id}", status_code=204)
def ask_no_more(
    request: Request,
    session: SessionDep,
    task: ReviewableTask,
    user: CurrentUser,
    send_back_id: UUID,
) -> None:
    """Take that back, while nobody has begun."""
    settling.undo_send_back(
        session, task=task, project=request.state.project, send_back_id=send_back_id, by=user
    )
