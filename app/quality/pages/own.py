"""What somebody says of her own part: a message is read, a key or a pause is wrong."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse

from app.accounts.auth import CurrentUser
from app.annotation.auth import OwnAssignment
from app.db import SessionDep
from app.errors import Invalid
from app.projects import service as projects
from app.projects.auth import AnnotatorProject
from app.quality.schemas.care import AppealForm
from app.tasks import service as tasks
from app.web import redirect
from app.web.pages import safe_next

router = APIRouter(include_in_schema=False)


@router.post("/projects/{project_id}/messages/{message_id}/read", name="read_message")
def read_message(
    request: Request,
    session: SessionDep,
    project: AnnotatorProject,
    user: CurrentUser,
    message_id: UUID,
    back: Annotated[str, Form()] = "",
) -> RedirectResponse:
    """She has read it: it goes, and the sender sees when."""
    projects.mark_read(session, user=user, project=project, message_id=message_id)
    if back:
        return RedirectResponse(safe_next(back), status_code=303)
    return redirect(request, "rank", project_id=project.id)


@router.post("/assignments/{assignment_id}/appeal", name="appeal_question")
def appeal_question(
    request: Request,
    session: SessionDep,
    own: OwnAssignment,
    user: CurrentUser,
    form: Annotated[AppealForm, Form()],
) -> RedirectResponse:
    """She thinks that the expected answer to a question of the qualification is wrong."""
    if own.assignment.attempt_id is None:  # of real work nobody says what was expected
        raise Invalid("There is no expected answer to this task that could be wrong.")
    tasks.appeal_question(
        session, project=own.project, assignment=own.assignment, user=user, body=form.body
    )
    return redirect(request, "assignment", assignment_id=own.assignment.id)


@router.post("/projects/{project_id}/rank/appeal", name="appeal_pause")
def appeal_pause(
    request: Request,
    session: SessionDep,
    project: AnnotatorProject,
    user: CurrentUser,
    form: Annotated[AppealForm, Form()],
) -> RedirectResponse:
    """She writes to the admins about her pause."""
    tasks.appeal_pause(session, project=project, user=user, body=form.body)
    return redirect(request, "rank", project_id=project.id)
