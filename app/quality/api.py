"""Agreement, people and review, as JSON."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request

from app.accounts.auth import CurrentUser
from app.accounts.models import Role
from app.db import Now, SessionDep
from app.errors import Invalid, found
from app.projects.auth import ReviewerProject, ViewerProject, project_access, require
from app.quality.auth import ReviewableTask
from app.quality.models import Part
from app.quality.queries import review as queries
from app.quality.rules.breakdowns import SMALLEST_GROUP
from app.quality.schemas import (
    AdjudicationBody,
    AdjudicationOut,
    AgreementOut,
    AnnotatorPage,
    ProgressOut,
    TaskOut,
    TaskPage,
)
from app.quality.service import review as service
from app.quality.service import summary
from app.quality.service.annotators import annotators
from app.quality.service.progress import progress_of

router = APIRouter(tags=["quality"])

By = Literal["annotator_pair", "group", "week", "source", "guidelines_version"]
Cursor = Annotated[
    str | None, Query(pattern=r"^\d{1,9}$", description="`next_cursor` of the page before")
]
Limit = Annotated[int, Query(ge=1, le=1000)]


@router.get("/projects/{project_id}/agreement", response_model_exclude_unset=True)
def get_agreement(
    session: SessionDep, project: ViewerProject, by: By | None = None
) -> AgreementOut:
    """How far people agree, on everything and, with `by`, part by part."""
    overall = found(summary.current(session, project=project, wait=True))
    answer = {
        "as_of": overall.computed_at,
        "is_current": overall.is_current,
        "fields": overall.figures["fields"],
    }
    if by is not None:
        parts = found(summary.current(session, project=project, part=Part(by), wait=True))
        answer |= {"by": by, "groups": parts.figures["groups"]}
        if reason := parts.figures.get("reason"):
            answer["reason"] = reason
        if by == "group" and not parts.figures["groups"]:
            answer["reason"] = (
                f"No group that people have described themselves by has {SMALLEST_GROUP} "
                "annotators; smaller ones are not shown, so that nobody can be recognised."
            )
    return AgreementOut.model_validate(answer)


@router.get("/projects/{project_id}/annotators", response_model_exclude_unset=True)
def list_annotators(
    session: SessionDep, project: ViewerProject, cursor: Cursor = None, limit: Limit = 1000
) -> AnnotatorPage:
    """Each person's figures, by name."""
    view = found(summary.current(session, project=project, wait=True))
    rows = annotators(session, project=project, view=view)
    start = int(cursor or 0)
    return AnnotatorPage(
        as_of=view.computed_at,
        is_current=view.is_current,
        items=rows[start : start + limit],
        next_cursor=str(start + limit) if len(rows) > start + limit else None,
    )


@router.get("/projects/{project_id}/tasks")
def list_tasks(
    session: SessionDep,
    project: ReviewerProject,
    order: Literal["disagreement"] = "disagreement",  # noqa: ARG001 – the one order there is
    cursor: Cursor = None,
    limit: Limit = 50,
) -> TaskPage:
    """Tasks judged by two people or more, the most disputed first (the first thousand)."""
    view = found(summary.current(session, project=project, wait=True))
    start = int(cursor or 0)
    disputed = view.figures["disputed"]
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
                n_annotations=task["n_annotations"],
                n_responses=lines[task_id].n_responses,
                adjudicated_at=lines[task_id].adjudicated_at,
            )
            for task_id, task in chosen.items()
            if task_id in lines
        ],
        next_cursor=str(start + limit) if len(disputed) > start + limit else None,
    )


@router.get("/me/progress")
def my_progress(
    request: Request, session: SessionDep, user: CurrentUser, now: Now, project: UUID
) -> ProgressOut:
    """The caller's own work in a project: counts, pace, and agreement week by week."""
    chosen, role = project_access(request, session, user, project)
    require(role, Role.ANNOTATOR, Role.REVIEWER, Role.ADMIN)
    return progress_of(session, project=chosen, user=user, now=now)


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
