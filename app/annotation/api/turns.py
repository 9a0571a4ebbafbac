"""Claims and submissions: what annotators do all day, on the shortest way.

Each change of threads costs as much as a statement. So all of a request happens in one thread, and
these two have their session and the rights in it from functions, not from dependencies.
"""

from collections.abc import Callable, Coroutine, Sequence
from contextlib import nullcontext
from datetime import datetime
from functools import partial
from random import SystemRandom
from typing import Annotated, Any, NamedTuple, TypeVar
from uuid import UUID

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar
from fastapi import APIRouter, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse, Response

from app.accounts.models import User
from app.annotation import queries, service
from app.annotation.api.views import Html, view_of
from app.annotation.auth import Own, own_desk, own_to_submit, refuse_strangers
from app.annotation.schemas import AssignmentOut, ClaimBody, JudgementBody, SubmittedOut
from app.db import SetTime, now_of, transaction
from app.errors import found
from app.tasks.models import Assignment

T = TypeVar("T")


class RightsFirst(APIRoute):
    """Whoever has no right hears that, and not what is wrong with what was sent.

    With dependencies FastAPI sees to it.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_or_refuse(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError:
                await in_turn(partial(refuse_strangers, request))
                raise

        return handle_or_refuse


router = APIRouter(tags=["annotation"], route_class=RightsFirst)

CHANCE = SystemRandom()  # nobody can predict what comes, nor where gold is

IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=200)]

AT_WORK = 4  # claims and submissions of one process at one time
_turns: RunVar[tuple[CapacityLimiter, CapacityLimiter]] = RunVar("turns")


async def in_turn(work: Callable[[], T], *, is_claim: bool = True) -> T:
    """Do it in a thread when its turn has come; who came first goes first.

    More at once would only take the interpreter from each other. Who waits holds neither thread
    nor connection. Claims go before the submissions that wait: who claims has an empty page before
    her, who submits reads the next task already.
    """
    turns = _turns.get(None)
    if turns is None:
        turns = CapacityLimiter(AT_WORK), CapacityLimiter(AT_WORK)
        _turns.set(turns)
    all_of_them, submissions = turns
    async with nullcontext() if is_claim else submissions:
        return await to_thread.run_sync(work, limiter=all_of_them)


@router.post(
    "/projects/{project_id}/assignments",
    response_model=AssignmentOut,
    responses={201: {"model": AssignmentOut}, 204: {"description": "There is nothing for her."}},
)
async def claim(
    request: Request,
    project_id: UUID,
    set_time: SetTime,
    body: ClaimBody | None = None,
    *,
    html: Html = False,
) -> Response:
    """The caller's current task, else a new one; with `after`, the one to follow that.

    Who has to qualify gets the questions of the qualification, one by one: none to follow.
    """
    after = body.after if body else None
    return await in_turn(partial(_claim, request, project_id, set_time, after=after, html=html))


def _claim(
    request: Request,
    project_id: UUID,
    set_time: datetime | None,
    *,
    after: UUID | None,
    html: bool,
) -> Response:
    with transaction() as session:
        desk = own_desk(request, session, set_time, project_id)
        now = now_of(session, set_time)
        assignment = service.claim(
            session,
            project=desk.project,
            user=desk.user,
            now=now,
            rng=CHANCE,
            after=_shown(session, user=desk.user, assignment_id=after),
            membership=desk.membership,
            holds=desk.holds,
        )
        if assignment is None:
            return Response(status_code=204)
        view = view_of(
            request, session, assignment=assignment, project=desk.project, now=now, html=html
        )
        return JSONResponse(view, status_code=201 if assignment.is_new else 200)


def _shown(session: Session, *, user: User, assignment_id: UUID | None) -> Assignment | None:
    """The assignment of hers that another is to follow."""
    if assignment_id is None:
        return None
    assignment, _, _ = found(queries.assignment_of(session, user=user, assignment_id=assignment_id))
    return assignment


@router.put(
    "/assignments/{assignment_id}/annotation",
    status_code=201,
    response_model=SubmittedOut,
    responses={200: {"model": SubmittedOut, "description": "The answer to the same key again."}},
)
async def submit(
    request: Request,
    assignment_id: UUID,
    set_time: SetTime,
    body: JudgementBody,
    *,
    idempotency_key: IdempotencyKey = None,
    next: Annotated[bool, Query(description="Add the following assignment.")] = False,  # noqa: A002
    after: Annotated[UUID | None, Query(description="… the one that follows this one.")] = None,
    html: Html = False,
) -> Response:
    """Hand in a judgement, or a revision of one of the caller's last ten."""
    wanted = Wanted(after, html=html) if next else None
    return await in_turn(
        partial(
            _submit, request, assignment_id, set_time, body, key=idempotency_key, wanted=wanted
        ),
        is_claim=False,
    )


class Wanted(NamedTuple):
    """What is to come with the answer to a submission: the assignment behind `after`."""

    after: UUID | None
    html: bool


def _submit(
    request: Request,
    assignment_id: UUID,
    set_time: datetime | None,
    judgement: JudgementBody,
    *,
    key: str | None,
    wanted: Wanted | None,
) -> Response:
    with transaction() as session:
        own = own_to_submit(request, session, set_time, assignment_id)
        now = now_of(session, set_time)
        done = service.submit(
            session,
            assignment=own.assignment,
            project=own.project,
            user=own.user,
            judgement=judgement,
            key=key,
            now=now,
            membership=own.membership,
        )
        answer: dict[str, Any] = {
            "id": str(done.annotation_id),
            "revision": done.revision,
            "counted": done.counted,
        }
        if own.assignment.attempt_id is not None:
            answer |= _feedback(session, assignment=own.assignment)
            answer |= {"next": None} if wanted else {}  # what was right is read before more comes
        elif wanted:
            answer["next"] = _following(request, session, own, wanted, holds=done.holds, now=now)
        return JSONResponse(answer, status_code=201 if done.is_new else 200)


def _following(
    request: Request,
    session: Session,
    own: Own,
    wanted: Wanted,
    *,
    holds: Sequence[UUID] | None,
    now: datetime,
) -> dict[str, Any] | None:
    following = service.claim(
        session,
        project=own.project,
        user=own.user,
        now=now,
        rng=CHANCE,
        after=_shown(session, user=own.user, assignment_id=wanted.after) or own.assignment,
        membership=own.membership,
        holds=holds,
    )
    if following is None:
        return None
    return view_of(
        request, session, assignment=following, project=own.project, now=now, html=wanted.html
    )


def _feedback(session: Session, *, assignment: Assignment) -> dict[str, Any]:
    """Feedback to an answer of the qualification, none where it is no question any more."""
    annotation = found(queries.current_annotation(session, assignment=assignment))
    feedback = queries.feedback_of(session, assignment=assignment, annotation=annotation)
    dumped = feedback.model_dump(mode="json", exclude_none=True) if feedback else None
    return {"feedback": dumped}
