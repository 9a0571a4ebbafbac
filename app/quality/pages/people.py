"""The annotators of a project."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Request
from starlette.responses import HTMLResponse, RedirectResponse

from app.accounts.auth import CurrentUser
from app.db import Now, SessionDep
from app.errors import found
from app.projects.auth import (
    AdminMember,
    AdminProject,
    ProjectRole,
    ViewerProject,
)
from app.projects.queries import questions_in_set
from app.quality.queries.qualification import candidates
from app.quality.schemas.people import QualificationForm
from app.quality.service import summary
from app.quality.service.annotators import annotators
from app.quality.service.care import care_for
from app.tasks import service as tasks
from app.tasks.queries import number_of_open_appeals
from app.web import redirect, render

router = APIRouter(include_in_schema=False)


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
        appeals=number_of_open_appeals(session, project=project),
        candidates=candidates(session, project=project) if project.qualification_size else [],
    )


@router.get("/projects/{project_id}/annotators/{user_id}", name="person")
def person(
    request: Request,
    session: SessionDep,
    project: ViewerProject,
    role: ProjectRole,
    user_id: UUID,
    now: Now,
) -> HTMLResponse:
    """One person's figures, and what can be done about them."""
    view = summary.current(session, project=project, wait=True)
    rows = annotators(session, project=project, view=found(view))
    return render(
        request,
        "quality/person.html",
        project=project,
        section="people",
        view=view,
        person=found(next((row for row in rows if row.user_id == str(user_id)), None)),
        care=care_for(session, project=project, role=role, user_id=user_id),
        today=now.date(),
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
