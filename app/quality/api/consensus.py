"""Answers and the leaderboard, as JSON."""

from uuid import UUID

from fastapi import APIRouter

from app.db import SessionDep
from app.errors import found
from app.projects.auth import ViewerProject
from app.quality.models import Part
from app.quality.schemas.consensus import ConfusionOut, ConsensusOut, LeaderboardOut
from app.quality.service import summary
from app.quality.service.consensus import confusion_of

router = APIRouter(tags=["quality"])


@router.get("/projects/{project_id}/consensus")
def get_consensus(session: SessionDep, project: ViewerProject) -> ConsensusOut:
    """How sure the answers are by Dawid and Skene's model, and how each person errs."""
    view = found(summary.current(session, project=project, part=Part.CONSENSUS, wait=True))
    return ConsensusOut.model_validate(
        view.figures | {"as_of": view.computed_at, "is_current": view.is_current}
    )


@router.get("/projects/{project_id}/annotators/{user_id}/confusion")
def get_confusion(session: SessionDep, project: ViewerProject, user_id: UUID) -> ConfusionOut:
    """How one person errs, side by side with the answers."""
    view = found(summary.current(session, project=project, part=Part.CONSENSUS, wait=True))
    return found(confusion_of(view, user_id=user_id))


@router.get("/projects/{project_id}/leaderboard")
def get_leaderboard(session: SessionDep, project: ViewerProject) -> LeaderboardOut:
    """Which source of responses people prefer."""
    view = found(summary.current(session, project=project, part=Part.LEADERBOARD, wait=True))
    return LeaderboardOut.model_validate(
        view.figures | {"as_of": view.computed_at, "is_current": view.is_current}
    )
