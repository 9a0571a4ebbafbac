"""The dashboard of a project, its annotators, and the review of disputed tasks."""

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.accounts.auth import CurrentUser
from app.accounts.models import Role
from app.accounts.rules import break_after
from app.db import Now, SessionDep
from app.projects.auth import (
    AdminMember,
    AdminProject,
    AnnotatorProject,
    MemberProject,
    ProjectRole,
    ReviewerProject,
    ViewerProject,
)
from app.projects.queries import guidelines_of, questions_in_set, stranded_tasks
from app.quality.auth import ReviewableTask
from app.quality.queries import review as queries
from app.quality.queries.qualification import candidates
from app.quality.rules.progress import FEWEST_TASKS
from app.quality.rules.review import in_words, label, standard_ranks
from app.quality.schemas import AdjudicationForm, QualificationForm
from app.quality.service import review as service
from app.quality.service import summary
from app.quality.service.annotators import annotators
from app.quality.service.dashboard import dashboard, disputed_tasks
from app.quality.service.progress import progress_of
from app.tasks import service as tasks
from app.web import redirect, render

router = APIRouter(include_in_schema=False)

PER_PAGE = 25


@router.get("/projects/{project_id}", name="project_dashboard", response_model=None)
def project_dashboard(
    request: Request, session: SessionDep, project: MemberProject, role: ProjectRole
) -> Response:
    """Whether today's labels can be trusted, and why; an annotator goes on to her work."""
    if role is Role.ANNOTATOR:
        return redirect(request, "rank", project_id=project.id)
    view = summary.current(session, project=project)
    return render(
        request,
        "quality/dashboard.html",
        charts=True,
        project=project,
        section="overview",
        view=view,
        board=view and dashboard(session, project=project, view=view),
        may_review=role in {Role.ADMIN, Role.REVIEWER},
        may_freeze=role is Role.ADMIN,
        stranded=stranded_tasks(session, project=project),
        questions=questions_in_set(session, project=project),
    )


@router.get("/projects/{project_id}/rank/progress", name="rank_progress")
def rank_progress(
    request: Request, session: SessionDep, project: AnnotatorProject, user: CurrentUser, now: Now
) -> HTMLResponse:
    """Her own work, for herself."""
    progress = progress_of(session, project=project, user=user, now=now)
    return render(
        request,
        "quality/progress.html",
        project=project,
        section="rank",
        progress=progress,
        slowest=max((day.median_seconds or 0 for day in progress.days), default=0),
        fewest=FEWEST_TASKS,
        break_after=break_after(user.preferences),
    )


@router.get("/projects/{project_id}/annotators", name="people")
def people(request: Request, session: SessionDep, project: ViewerProject) -> HTMLResponse:
    view = summary.current(session, project=project)
    return render(
        request,
        "quality/people.html",
        project=project,
        section="people",
        view=view,
        people=annotators(session, project=project, view=view) if view else [],
        questions=questions_in_set(session, project=project),
        candidates=candidates(session, project=project) if project.qualification_size else [],
    )


@router.post("/projects/{project_id}/members/{user_id}/qualification", name="decide_qualification")
def decide_qualification(
    request: Request,
    session: SessionDep,
    project: AdminProject,
    user: CurrentUser,
    membership: AdminMember,
    now: Now,
    form: Annotated[QualificationForm, Form()],
) -> RedirectResponse:
    """Let somebody in without passing, allow another attempt, or ask her to qualify (again)."""
    person = membership.user
    match form.decision:
        case "let_in":
            tasks.let_in(session, project=project, user=person, by=user, now=now)
        case "allow":
            tasks.allow_attempt(session, project=project, user=person, by=user)
        case "ask_again":
            tasks.ask_again(session, project=project, user=person, by=user)
    return redirect(request, "people", project_id=project.id)


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
