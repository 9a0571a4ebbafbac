"""The work: claims, judgements, history; what admins read, and gold keys."""

from collections.abc import AsyncIterator
from datetime import datetime
from random import SystemRandom
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse, Response

from app.accounts.auth import CurrentUser
from app.annotation import formats, queries, service
from app.annotation.auth import AdminTask, AtDesk, OwnAssignment, OwnToSubmit
from app.annotation.schemas import (
    AnnotationOut,
    AnnotationPage,
    AssignmentOut,
    ClaimBody,
    DraftBody,
    DraftOut,
    HistoryPage,
    JudgementBody,
    SkipBody,
    SubmittedOut,
)
from app.db import Now, SessionDep
from app.errors import found
from app.projects.auth import AdminProject
from app.projects.models import Project
from app.tasks import queries as task_queries
from app.tasks import service as tasks
from app.tasks.models import Assignment
from app.web import fragment

router = APIRouter(tags=["annotation"])

CHANCE = SystemRandom()  # nobody can predict what comes, nor where gold is

AT_WORK = 4  # claims and submissions of one process at one time


async def take_turn() -> AsyncIterator[None]:
    yield


# More at once would only take the interpreter from each other: with sixteen, a judgement of one of
# 32 people at work costs half as much again. Who waits holds neither thread nor connection.
IN_TURN = [Depends(take_turn, scope="function", max_concurrency=AT_WORK)]

Html = Annotated[bool, Query(description="Add the task as the ranking page shows it.")]
IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=200)]
Limit = Annotated[int, Query(ge=1, le=200)]


@router.post(
    "/projects/{project_id}/assignments",
    response_model=AssignmentOut,
    responses={201: {"model": AssignmentOut}, 204: {"description": "There is nothing for her."}},
    dependencies=IN_TURN,
)
def claim(
    request: Request,
    session: SessionDep,
    desk: AtDesk,
    now: Now,
    body: ClaimBody | None = None,
    *,
    html: Html = False,
) -> Response:
    """The caller's current task, else a new one; with `after`, the one to follow that.

    Who has to qualify gets the questions of the qualification, one by one: none to follow.
    """
    project, user = desk.project, desk.user
    after = body.after if body else None
    held = None
    if after is not None:
        held, _, _ = found(queries.assignment_of(session, user=user, assignment_id=after))
    assignment = tasks.claim(
        session,
        project=project,
        user=user,
        now=now,
        rng=CHANCE,
        after=held,
        membership=desk.membership,
        holds=desk.holds,
    )
    if assignment is None:
        return Response(status_code=204)
    view = _view(request, session, assignment=assignment, project=project, now=now, html=html)
    return JSONResponse(view, status_code=201 if assignment.is_new else 200)


@router.get("/assignments/{assignment_id}", response_model=AssignmentOut)
def get_assignment(
    request: Request, session: SessionDep, own: OwnAssignment, now: Now, *, html: Html = False
) -> Response:
    return JSONResponse(
        _view(request, session, assignment=own.assignment, project=own.project, now=now, html=html)
    )


@router.post("/assignments/{assignment_id}/renew", response_model=AssignmentOut)
def renew(request: Request, session: SessionDep, own: OwnAssignment, now: Now) -> Response:
    """Prolong the lease; possible twenty times."""
    renewed = tasks.renew(session, assignment=own.assignment, project=own.project, now=now)
    return JSONResponse(_view(request, session, assignment=renewed, project=own.project, now=now))


@router.post("/assignments/{assignment_id}/release", status_code=204)
def release(session: SessionDep, own: OwnAssignment, now: Now) -> None:
    """Give the task back unjudged; somebody else, or the caller later, may have it."""
    tasks.release(session, assignment=own.assignment, now=now)


@router.post("/assignments/{assignment_id}/skip", status_code=204)
def skip(session: SessionDep, own: OwnAssignment, body: SkipBody, now: Now) -> None:
    """Pass on the task for good, with a reason; the draft is kept."""
    tasks.skip(
        session, assignment=own.assignment, reason=body.reason, note=body.note or None, now=now
    )


@router.put("/assignments/{assignment_id}/draft")
def save_draft(session: SessionDep, own: OwnAssignment, body: DraftBody) -> DraftOut:
    """Keep an unfinished judgement; `saved` is false when a newer one is kept already."""
    return service.save_draft(session, assignment=own.assignment, draft=body)


@router.put(
    "/assignments/{assignment_id}/annotation",
    status_code=201,
    response_model=SubmittedOut,
    responses={200: {"model": SubmittedOut, "description": "The answer to the same key again."}},
    dependencies=IN_TURN,
)
def submit(
    request: Request,
    session: SessionDep,
    own: OwnToSubmit,
    body: JudgementBody,
    now: Now,
    *,
    idempotency_key: IdempotencyKey = None,
    next: Annotated[bool, Query(description="Add the following assignment.")] = False,  # noqa: A002
    after: Annotated[UUID | None, Query(description="… the one that follows this one.")] = None,
    html: Html = False,
) -> Response:
    """Hand in a judgement, or a revision of one of the caller's last ten."""
    assignment, project, user = own.assignment, own.project, own.user
    done = service.submit(
        session,
        assignment=assignment,
        project=project,
        user=user,
        judgement=body,
        key=idempotency_key,
        now=now,
        membership=own.membership,
    )
    answer: dict[str, Any] = {
        "id": str(done.annotation_id),
        "revision": done.revision,
        "counted": done.counted,
    }
    if assignment.attempt_id is not None:
        answer |= _feedback(session, assignment=assignment)
        answer |= {"next": None} if next else {}  # what was right is read before more comes
    elif next:
        shown = assignment
        if after is not None:
            shown, _, _ = found(queries.assignment_of(session, user=user, assignment_id=after))
        following = tasks.claim(
            session,
            project=project,
            user=user,
            now=now,
            rng=CHANCE,
            after=shown,
            membership=own.membership,
            holds=done.holds,
        )
        answer["next"] = following and _view(
            request, session, assignment=following, project=project, now=now, html=html
        )
    return JSONResponse(answer, status_code=201 if done.is_new else 200)


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
        last, _, _ = found(queries.assignment_of(session, user=user, assignment_id=cursor))
        before = last
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


def _feedback(session: Session, *, assignment: Assignment) -> dict[str, Any]:
    """Feedback to an answer of the qualification, none where it is no question any more."""
    annotation = found(queries.current_annotation(session, assignment=assignment))
    feedback = queries.feedback_of(session, assignment=assignment, annotation=annotation)
    dumped = feedback.model_dump(mode="json", exclude_none=True) if feedback else None
    return {"feedback": dumped}


def _view(
    request: Request,
    session: Session,
    *,
    assignment: Assignment,
    project: Project,
    now: datetime,
    html: bool = False,
) -> dict[str, Any]:
    """The task as its annotator sees it, without what is not there."""
    view = queries.assignment_view(session, assignment=assignment, project=project)
    if html:
        view.html = fragment(
            request,
            "annotation/_task.html",
            **formats.task_context(view, now=now, lease_minutes=project.lease_minutes),
        )
    return view.model_dump(mode="json", exclude_none=True)
