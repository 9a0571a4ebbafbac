"""Agreement, as JSON."""

from typing import Literal

from fastapi import APIRouter

from app.db import SessionDep
from app.errors import found
from app.projects.auth import ViewerProject
from app.quality.models import Part
from app.quality.schemas.agreement import AgreementOut
from app.quality.service import summary

router = APIRouter(tags=["quality"])

By = Literal["annotator_pair", "group", "week", "day", "source", "tag", "guidelines_version"]


@router.get("/projects/{project_id}/agreement", response_model_exclude_unset=True)
def get_agreement(
    session: SessionDep, project: ViewerProject, by: By | None = None
) -> AgreementOut:
    """How far people agree, on everything and, with `by`, part by part."""
    overall = found(summary.current(session, project=project, wait=True))
    answer = {"fields": overall.figures["fields"]}
    view = overall
    if by is not None:
        parts = found(summary.current(session, project=project, part=Part(by), wait=True))
        view = summary.oldest(overall, parts)
        answer |= {"by": by, "groups": parts.figures["groups"]}
        if reason := parts.figures.get("reason"):
            answer["reason"] = reason
        if "between" in parts.figures:
            answer["between"] = parts.figures["between"]
    answer |= {"as_of": view.computed_at, "is_current": view.is_current}
    return AgreementOut.model_validate(answer)
