"""The page people rank on, and their history.

Everything works as a plain form; `static/js/annotate.js` adds keys, drafts, prefetching and a
queue, through the same API that programs use. GET changes nothing: a task is taken by POST.
"""

from datetime import datetime
from random import SystemRandom
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.datastructures import FormData
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.accounts.auth import CurrentUser
from app.accounts.models import User
from app.accounts.rules import break_after
from app.accounts.schemas import RankingPreferences
from app.annotation import formats, queries, rules, service
from app.annotation.auth import OwnAssignment
from app.annotation.schemas import JudgementBody, SkipBody
from app.db import Now, SessionDep
from app.errors import AppError, Invalid, found
from app.projects.auth import AnnotatorProject
from app.projects.models import Membership, Project
from app.projects.queries import guidelines_of, unread_messages
from app.tasks import queries as task_queries
from app.tasks.models import Appeal, Assignment, AssignmentState, QualificationAttempt
from app.tasks.schemas import Nothing
from app.web import redirect, render

router = APIRouter(include_in_schema=False)

CHANCE = SystemRandom()
PER_PAGE = 50


async def posted_fields(request: Request) -> FormData:
    return await request.form()


Fields = Annotated[FormData, Depends(posted_fields)]


@router.get("/projects/{project_id}/rank", name="rank", response_model=None)
def rank(
    request: Request, session: SessionDep, project: AnnotatorProject, user: CurrentUser, now: Now
) -> Response:
    """Her task; before it new guidelines; or the offer of a task, or why there is none."""
    membership = session.get(Membership, (project.id, user.id))
    guidelines = found(guidelines_of(session, project=project))
    read = membership.guidelines_read if membership else 0  # None: an admin of the installation
    is_news = read < guidelines.needed  # a clarification holds nobody up
    if is_news and (guidelines.text.strip() or guidelines.examples or read):
        return redirect(request, "guidelines", project_id=project.id)
    held = task_queries.open_assignments(session, project=project, user=user)
    must_qualify = task_queries.must_qualify(project, user=user, membership=membership)
    # The others end with the next claim.
    hers = [each for each in held if (each.attempt_id is not None) == must_qualify]
    live = [each for each in hers if each.leased_until and each.leased_until > now]
    if live:
        return _task_page(request, session, assignment=live[0], project=project, user=user, now=now)
    nothing = task_queries.why_nothing(session, project=project, user=user, now=now)
    is_paused = nothing in {Nothing.PROJECT_PAUSED, Nothing.PAUSED}
    if must_qualify and not is_paused:
        return _qualification_page(request, session, project=project, user=user, now=now)
    if hers and not is_paused:
        nothing = None  # its time is over, and nobody has taken it: a claim lends it to her again
    return render(
        request,
        "annotation/no_task.html",
        project=project,
        section="rank",
        nothing=nothing,
        pause_reason=membership.pause_reason if membership else None,
        appeal=_appeal(session, project=project, user=user) if nothing is Nothing.PAUSED else None,
        membership=membership,
        daily_limit=task_queries.daily_limit(project, membership),
        total_limit=task_queries.total_limit(project, membership),
        **_standing(session, project=project, user=user, now=now),
    )


@router.post("/projects/{project_id}/rank/next", name="next_task")
def next_task(
    request: Request, session: SessionDep, project: AnnotatorProject, user: CurrentUser, now: Now
) -> RedirectResponse:
    service.claim(session, project=project, user=user, now=now, rng=CHANCE)
    return redirect(request, "rank", project_id=project.id)


@router.get("/projects/{project_id}/rank/history", name="rank_history")
def history(
    request: Request,
    session: SessionDep,
    project: AnnotatorProject,
    user: CurrentUser,
    now: Now,
    before: UUID | None = None,
) -> HTMLResponse:
    """Her judgements, newest first; the newest ones she can still change."""
    last = None
    if before is not None:
        last, _, _ = found(queries.assignment_of(session, user=user, assignment_id=before))
    items = queries.history(
        session, user=user, project_id=project.id, before=last, limit=PER_PAGE + 1
    )
    return render(
        request,
        "annotation/history.html",
        project=project,
        section="rank",
        items=items[:PER_PAGE],
        older=items[PER_PAGE - 1].assignment_id if len(items) > PER_PAGE else None,
        is_newest=before is None,
        undo_depth=rules.UNDO_DEPTH,
        strengths=formats.STRENGTHS[project.strength_levels],
        done_today=_done_today(session, project=project, user=user, now=now),
    )


@router.get("/projects/{project_id}/rank/qualification", name="qualification")
def qualification(
    request: Request, session: SessionDep, project: AnnotatorProject, user: CurrentUser, now: Now
) -> HTMLResponse:
    """Where she stands with the qualification: what it is, how it went, and what comes next."""
    return _qualification_page(request, session, project=project, user=user, now=now)


@router.get("/assignments/{assignment_id}", name="assignment", response_model=None)
def assignment_page(
    request: Request, session: SessionDep, own: OwnAssignment, user: CurrentUser, now: Now
) -> Response:
    """One task of hers, to finish or to change; of the qualification, how the answer was."""
    return _task_page(
        request, session, assignment=own.assignment, project=own.project, user=user, now=now
    )


@router.post("/assignments/{assignment_id}", name="submit_form", response_model=None)
def submit_form(
    request: Request,
    session: SessionDep,
    own: OwnAssignment,
    user: CurrentUser,
    fields: Fields,
    now: Now,
) -> Response:
    """The plain form: hand in, then the next task; an answer to mend stays on the page."""
    is_change = own.assignment.state is AssignmentState.SUBMITTED
    given = formats.judgement_of_form(fields.multi_items())
    try:
        with session.begin_nested():  # what was written before the refusal goes, the page stays
            service.submit(
                session,
                assignment=own.assignment,
                project=own.project,
                user=user,
                judgement=_judgement(given),
                key=str(fields.get("key") or "")[:200] or None,
                now=now,
            )
    except AppError as error:
        session.refresh(own.assignment)
        return _task_page(
            request,
            session,
            assignment=own.assignment,
            project=own.project,
            user=user,
            now=now,
            error=error,
            given=given,
        )
    if own.assignment.attempt_id is not None:  # what was right is read before more comes
        return redirect(request, "assignment", assignment_id=own.assignment.id)
    if is_change:
        return redirect(request, "rank_history", project_id=own.project.id)
    service.claim(session, project=own.project, user=user, now=now, rng=CHANCE)
    return redirect(request, "rank", project_id=own.project.id)


@router.post("/assignments/{assignment_id}/skip", name="skip_form", response_model=None)
def skip_form(
    request: Request,
    session: SessionDep,
    own: OwnAssignment,
    user: CurrentUser,
    fields: Fields,
    now: Now,
) -> Response:
    try:
        body = SkipBody.model_validate(
            {"reason": fields.get("reason"), "note": fields.get("note") or None}
        )
    except ValidationError:
        error = Invalid("Choose a reason for skipping this task.")
        return _task_page(
            request,
            session,
            assignment=own.assignment,
            project=own.project,
            user=user,
            now=now,
            error=error,
        )
    service.skip(
        session,
        assignment=own.assignment,
        project=own.project,
        reason=body.reason,
        note=body.note,
        now=now,
    )
    service.claim(session, project=own.project, user=user, now=now, rng=CHANCE)
    return redirect(request, "rank", project_id=own.project.id)


def _judgement(given: dict[str, Any]) -> JudgementBody:
    if "ranking" not in given:
        raise Invalid("Say which response is better, or rank all of them, before you submit.")
    ranking = [group for group in given["ranking"] if group]
    try:
        return JudgementBody.model_validate({**given, "ranking": ranking})
    except ValidationError as error:
        first = error.errors()[0]
        raise Invalid(f"{first['loc'][0]}: {first['msg']}") from error


def _task_page(
    request: Request,
    session: Session,
    *,
    assignment: Assignment,
    project: Project,
    user: User,
    now: datetime,
    error: AppError | None = None,
    given: dict[str, Any] | None = None,
) -> HTMLResponse:
    """The page with one task; `given` is what a refused form held."""
    view = queries.assignment_view(session, assignment=assignment, project=project)
    answer = None if given is None else formats.filled(given, size=len(view.responses))
    is_answered = view.qualification is not None and view.annotation is not None
    attempt = session.get(QualificationAttempt, assignment.attempt_id) if is_answered else None
    return render(
        request,
        "annotation/feedback.html" if is_answered else "annotation/rank.html",
        status=error.status if error else 200,
        project=project,
        section="rank",
        guidelines=found(guidelines_of(session, project=project)),
        appeal=(
            _appeal(session, project=project, user=user, task_id=assignment.task_id)
            if is_answered
            else None
        ),
        guidelines_read=_guidelines_read(session, project=project, user=user),
        is_over=attempt is not None and attempt.finished_at is not None,
        in_words=formats.in_words,
        expected_in_words=formats.expected_in_words,
        preferences=_preferences(user),
        break_after=break_after(user.preferences),
        **_standing(session, project=project, user=user, now=now),
        **formats.task_context(
            view,
            now=now,
            lease_minutes=project.lease_minutes,
            answer=answer,
            error=error.detail if error else None,
        ),
    )


def _qualification_page(
    request: Request, session: Session, *, project: Project, user: User, now: datetime
) -> HTMLResponse:
    membership = session.get(Membership, (project.id, user.id))
    standing = task_queries.qualification_of(
        session, project=project, user=user, membership=membership, now=now
    )
    attempt = standing.attempt
    return render(
        request,
        "annotation/qualification.html",
        project=project,
        section="rank",
        guidelines=found(guidelines_of(session, project=project)),
        standing=standing,
        attempt=attempt,
        answers=queries.answers_of(session, attempt=attempt) if attempt else [],
        preferences=_preferences(user),
        **_standing(session, project=project, user=user, now=now),
    )


def _appeal(
    session: Session, *, project: Project, user: User, task_id: UUID | None = None
) -> Appeal | None:
    """What she has objected to, and the answer."""
    return task_queries.appeal_of(session, project=project, user=user, task_id=task_id)


def _guidelines_read(session: Session, *, project: Project, user: User) -> int:
    membership = session.get(Membership, (project.id, user.id))
    return membership.guidelines_read if membership else 0


def _preferences(user: User) -> dict[str, Any]:
    """How she likes to work here; what she has not set is as usual."""
    return RankingPreferences(**user.preferences.get("ranking") or {}).model_dump()


def _standing(session: Session, *, project: Project, user: User, now: datetime) -> dict[str, Any]:
    """What the toolbar tells her of her own work."""
    return {
        "done_today": _done_today(session, project=project, user=user, now=now),
        "pace": queries.pace(session, project=project, user=user),
        "messages": unread_messages(session, project=project, user=user),
    }


def _done_today(session: Session, *, project: Project, user: User, now: datetime) -> int:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return task_queries.submitted_since(session, project=project, user=user, since=midnight)
