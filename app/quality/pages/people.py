"""The annotators of a project."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.accounts.auth import CurrentUser
from app.accounts.models import Role
from app.db import Now, SessionDep
from app.errors import found
from app.projects.auth import (
    AdminMember,
    AdminProject,
    ProjectRole,
    ViewerProject,
)
from app.projects.queries import questions_in_set, short_of_questions
from app.quality.models import Part
from app.quality.queries.qualification import candidates
from app.quality.schemas.people import QualificationDecision
from app.quality.service import qualification, summary
from app.quality.service.annotators import annotators
from app.quality.service.care import care_for
from app.quality.service.consensus import confusion_of
from app.quality.service.people import Order, one, ordered, person_view
from app.tasks.queries import number_of_open_appeals
from app.web import redirect, render
from app.web.tables import csv_reply

router = APIRouter(include_in_schema=False)


CSV_FIGURES = (
    "peer_agreement",
    "self_consistency",
    "position_bias",
    "length_bias",
    "length_against_others",
    "tie_share",
    "ties_against_others",
    "seconds_per_task",
)


@router.get("/projects/{project_id}/annotators", name="people")
def people(
    request: Request, session: SessionDep, project: ViewerProject, order: Order = Order.LOOK
) -> HTMLResponse:
    """Everybody with her figures, first who needs a look first."""
    view = summary.current(session, project=project)
    rows = annotators(session, project=project, view=view) if view else []
    return render(
        request,
        "quality/people.html",
        project=project,
        section="people",
        view=view,
        people=ordered(rows, order),
        order=order,
        questions=questions_in_set(session, project=project),
        short=short_of_questions(session, project=project),
        appeals=number_of_open_appeals(session, project=project),
        candidates=candidates(session, project=project) if project.qualification_size else [],
    )


@router.get("/projects/{project_id}/annotators.csv", name="people_csv")
def people_csv(session: SessionDep, project: ViewerProject) -> Response:
    """The table of people; findings in one cell, a sentence each."""
    view = found(summary.current(session, project=project, wait=True))
    rows = annotators(session, project=project, view=view)
    plain = ("name", "user_id", "kind", "role", "standing", "paused_at", "last_submitted_at")
    counts = ("n_annotations", "n_shared", "n_repeats", "gold_seen", "gold_passed")
    bounds = [f"{name}{suffix}" for name in CSV_FIGURES for suffix in ("", "_low", "_high")]
    return csv_reply(
        "annotators",
        [*plain, *counts, "p_below_threshold", *bounds, "below_reading_speed", "findings"],
        [
            [
                *(getattr(row, name) for name in (*plain, *counts)),
                row.p_below_threshold,
                *(
                    getattr(getattr(row, name), part)
                    for name in CSV_FIGURES
                    for part in ("value", "low", "high")
                ),
                row.pace.below_reading_speed.value,
                " ".join(each.text for each in row.findings),
            ]
            for row in rows
        ],
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
    view = found(summary.current(session, project=project, wait=True))
    row = one(annotators(session, project=project, view=view, everybody=True), user_id)
    answers = summary.current(session, project=project, part=Part.CONSENSUS)
    shown = person_view(session, project=project, view=view, row=row)
    return render(
        request,
        "quality/person.html",
        project=project,
        section="people",
        view=summary.oldest(view, answers) if answers else view,
        person=shown.person,
        charts=True,
        drawn=shown.charts,
        latest=shown.latest,
        looked_at=shown.looked_at,
        may_review=role in {Role.ADMIN, Role.REVIEWER},
        confusion=confusion_of(answers, user_id=user_id) if answers else None,
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
    form: Annotated[QualificationDecision, Form()],
) -> RedirectResponse:
    qualification.decide(
        session,
        project=project,
        user=membership.user,
        decision=form.decision,
        by=user,
        now=now,
    )
    return redirect(request, "people", project_id=project.id)
