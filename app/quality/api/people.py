"""People and their progress, as JSON."""

from uuid import UUID

from fastapi import APIRouter, Request

from app.accounts.auth import CurrentUser
from app.accounts.models import Role
from app.db import Now, SessionDep
from app.errors import found
from app.projects.auth import AdminMember, AdminProject, ViewerProject, project_access, require
from app.quality.api.paging import Cursor, Limit
from app.quality.schemas.people import (
    AnnotatorPage,
    PersonOut,
    ProgressOut,
    QualificationDecision,
)
from app.quality.service import qualification, summary
from app.quality.service.annotators import annotators
from app.quality.service.people import one, person_view
from app.quality.service.progress import progress_of

router = APIRouter(tags=["quality"])


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


@router.get("/projects/{project_id}/annotators/{user_id}", response_model_exclude_unset=True)
def show_annotator(session: SessionDep, project: ViewerProject, user_id: UUID) -> PersonOut:
    """One person's figures and findings, with her weeks and hours."""
    view = found(summary.current(session, project=project, wait=True))
    row = one(annotators(session, project=project, view=view, everybody=True), user_id)
    return person_view(session, project=project, view=view, row=row).person


@router.get("/me/progress")
def my_progress(
    request: Request, session: SessionDep, user: CurrentUser, now: Now, project: UUID
) -> ProgressOut:
    """The caller's own work in a project: counts, pace, and agreement week by week."""
    chosen, role = project_access(request, session, user, project)
    require(role, Role.ANNOTATOR, Role.REVIEWER, Role.ADMIN)
    return progress_of(session, project=chosen, user=user, now=now)


@router.post("/projects/{project_id}/members/{user_id}/qualification", status_code=204)
def decide_about_qualification(
    session: SessionDep,
    project: AdminProject,
    membership: AdminMember,
    user: CurrentUser,
    now: Now,
    body: QualificationDecision,
) -> None:
    """Decide about a member's qualification; the same decision twice is one."""
    qualification.decide(
        session,
        project=project,
        user=membership.user,
        decision=body.decision,
        by=user,
        now=now,
    )
