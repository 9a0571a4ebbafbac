"""What of a project's files may go, and how long the rest is kept, as JSON."""

from fastapi import APIRouter

from app.accounts.auth import CurrentUser
from app.db import Now, SessionDep
from app.projects.auth import AdminProject
from app.runs import service
from app.runs.models import CleanUp, Retention
from app.runs.queries import needs
from app.runs.schemas import CleanUpOut, RetentionBody, WasteOut

router = APIRouter(tags=["storage"])


@router.get("/projects/{project_id}/retention")
def get_retention(session: SessionDep, project: AdminProject) -> RetentionBody:
    return retention_out(needs.retention_of(session, project=project))


@router.put("/projects/{project_id}/retention")
def put_retention(
    session: SessionDep, user: CurrentUser, project: AdminProject, body: RetentionBody
) -> RetentionBody:
    """How many days what nothing needs is kept; null is for ever."""
    kept = service.set_retention(session, project=project, days=body.model_dump(), by=user)
    return retention_out(kept)


@router.get("/projects/{project_id}/clean-up")
def preview_clean_up(session: SessionDep, project: AdminProject, now: Now) -> WasteOut:
    """What a clean-up would remove now; nothing is done."""
    found = needs.waste(session, project=project, now=now)
    return WasteOut(items=[each.as_json() for each in found], bytes=sum(f.bytes for f in found))


@router.post("/projects/{project_id}/clean-up", status_code=202)
def start_clean_up(session: SessionDep, user: CurrentUser, project: AdminProject) -> CleanUpOut:
    """Queue a clean-up; one that waits already is answered instead of a second."""
    return clean_up_out(service.ask_for_clean_up(session, project=project, by=user))


def retention_out(kept: Retention) -> RetentionBody:
    return RetentionBody(
        saved_days=kept.saved_days,
        failed_days=kept.failed_days,
        checkpoint_days=kept.checkpoint_days,
    )


def clean_up_out(asked: CleanUp) -> CleanUpOut:
    return CleanUpOut(
        id=str(asked.id),
        created_at=asked.created_at,
        finished_at=asked.finished_at,
        removed=asked.removed,
        bytes=asked.bytes,
    )
