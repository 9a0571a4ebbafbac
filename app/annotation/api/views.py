"""A task as JSON, for its annotator."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query, Request
from sqlalchemy.orm import Session

from app.annotation import formats, queries
from app.projects.models import Project
from app.tasks.models import Assignment
from app.web import fragment

Html = Annotated[bool, Query(description="Add the task as the ranking page shows it.")]


def view_of(
    request: Request,
    session: Session,
    *,
    assignment: Assignment,
    project: Project,
    now: datetime,
    html: bool = False,
) -> dict[str, Any]:
    """The task as its annotator sees it, without what is not there."""
    view = queries.assignment_view(session, assignment=assignment, project=project)
    if html:
        view.html = fragment(
            request,
            "annotation/_task.html",
            **formats.task_context(view, now=now, lease_minutes=project.lease_minutes),
        )
    return view.model_dump(mode="json", exclude_none=True)
