"""Who may review a task: load it and authorise in one step."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request

from app.accounts.auth import CurrentUser
from app.accounts.models import Role
from app.db import SessionDep
from app.errors import found
from app.projects.auth import ViewerProject, project_access, require
from app.quality.queries import review as queries
from app.tasks.models import ReAsk, Task


def reviewable_task(
    request: Request, session: SessionDep, user: CurrentUser, task_id: UUID
) -> Task:
    """The task with its prompt, for a reviewer of its project; for a stranger it does not exist."""
    task = found(queries.task_with_prompt(session, task_id=task_id))
    _, role = project_access(request, session, user, task.project_id)
    require(role, Role.REVIEWER, Role.ADMIN)
    return task


def golden_task(request: Request, task: Annotated[Task, Depends(reviewable_task)]) -> Task:
    """The same, for somebody who may say what is gold: it decides about people's standing."""
    require(request.state.role, Role.ADMIN)
    return task


GoldenTask = Annotated[Task, Depends(golden_task)]
ReviewableTask = Annotated[Task, Depends(reviewable_task)]


def re_ask_of_project(session: SessionDep, project: ViewerProject, re_ask_id: UUID) -> ReAsk:
    """A re-asked sample of the project."""
    re_ask = session.get(ReAsk, re_ask_id)
    return found(re_ask if re_ask and re_ask.project_id == project.id else None)


ProjectReAsk = Annotated[ReAsk, Depends(re_ask_of_project)]
