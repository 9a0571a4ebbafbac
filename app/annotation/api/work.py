"""The work: leases, drafts, history; what admins read, and gold keys."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response

from app.accounts.auth import CurrentUser
from app.annotation import formats, queries, service
from app.annotation.api.views import Html, view_of
from app.annotation.auth import AdminTask, OwnAssignment
from app.annotation.schemas import (
    AnnotationOut,
    AnnotationPage,
    AssignmentOut,
    DraftBody,
    DraftOut,
    HistoryPage,
    SkipBody,
)
from app.db import Now, SessionDep
from app.errors import found
from app.projects.auth import AdminProject
from app.tasks import queries as task_queries
from app.tasks import service as tasks

router = APIRouter(tags=["annotation"])

Limit = Annotated[int, Query(ge=1, le=200)]


@router.get("/assignments/{assignment_id}", response_model=AssignmentOut)
def get_assignment(
    request: Request, session: SessionDep, own: OwnAssignment, now: Now, *, html: Html = False
) -> Response:
    return JSONResponse(
        view_of(
            request, session, assignment=own.assignment, project=own.project, now=now, html=html
        )
    )


@router.post("/assignments/{assignment_id}/renew", response_model=AssignmentOut)
def renew(request: Request, session: SessionDep, own: OwnAssignment, now: Now) -> Response:
    """Prolong the lease; possible twenty times."""
    renewed = tasks.renew(session, assignment=own.assignment, project=own.project, now=now)
    return JSONResponse(view_of(request, session, assignment=renewed, project=own.project, now=now))


@router.post("/assignments/{assignment_id}/release", status_code=204)
def release(session: SessionDep, own: OwnAssignment, now: Now) -> None:
    """Give the task back unjudged; somebody else, or the caller later, may have it."""
    service.release(session, assignment=own.assignment, project=own.project, now=now)


@router.post("/assignments/{assignment_id}/skip", status_code=204)
def skip(session: SessionDep, own: OwnAssignment, body: SkipBody, now: Now) -> None:
    """Pass on the task for good, with a reason; the draft is kept."""
    service.skip(
        session,
        assignment=own.assignment,
        project=own.project,
        reason=body.reason,
        note=body.note or None,
        now=now,
    )


@router.put("/assignments/{assignment_id}/draft")
def save_draft(session: SessionDep, own: OwnAssignment, body: DraftBody) -> DraftOut:
    """Keep an unfinished judgement; `saved` is false when a newer one is kept already."""
    return service.save_draft(session, assignment=own.assignment, draft=body)


@router.get("/me/annotations")
def my_annotations(
    session: SessionDep,
    user: CurrentUser,
    project: UUID | None = None,
    cursor: UUID | None = None,
    limit: Limit = 50,
) -> HistoryPage:
    """The caller's own judgements, newest first."""
    before = None
    if cursor is not None:
        before = found(queries.place_in_history(session, user=user, assignment_id=cursor))
    items = queries.history(session, user=user, project_id=project, before=before, limit=limit + 1)
    return HistoryPage(
        items=items[:limit],
        next_cursor=items[limit - 1].assignment_id if len(items) > limit else None,
    )


@router.get("/projects/{project_id}/annotations")
def project_annotations(
    session: SessionDep,
    project: AdminProject,
    cursor: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> AnnotationPage:
    """Every current judgement of the project, oldest first, of people and of sources."""
    after = None
    if cursor is not None:
        after = found(queries.annotation_in(session, project=project, annotation_id=cursor))
    rows = queries.annotations_of(session, project=project, after=after, limit=limit + 1)
    responses = task_queries.responses_of(
        session, task_ids={annotation.task_id for annotation, _, _ in rows[:limit]}
    )
    items: list[AnnotationOut] = [
        formats.for_admins(
            annotation,
            external_id=external_id,
            annotator=annotator,
            response_ids=responses[annotation.task_id],
        )
        for annotation, external_id, annotator in rows[:limit]
    ]
    return AnnotationPage(items=items, next_cursor=items[-1].id if len(rows) > limit else None)


@router.delete("/tasks/{task_id}/gold", status_code=204)
def unset_gold(session: SessionDep, at: AdminTask, user: CurrentUser) -> None:
    """Make a gold task an ordinary one again."""
    project, task = at
    service.unset_gold(session, task=task, project=project, by=user)
