"""A task as an example in the guidelines."""

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse

from app.accounts.auth import CurrentUser
from app.accounts.models import Role
from app.db import Now, SessionDep
from app.projects import service as projects
from app.projects.auth import require
from app.quality.auth import ReviewableTask
from app.quality.queries import review as queries
from app.quality.rules.review import holding, in_words

router = APIRouter(include_in_schema=False)


@router.post("/tasks/{task_id}/example", name="use_as_example")
def use_as_example(
    request: Request, session: SessionDep, task: ReviewableTask, user: CurrentUser, now: Now
) -> RedirectResponse:
    """Put the task into the admin's draft of the guidelines, with what a reviewer settled."""
    require(request.state.role, Role.ADMIN)
    settled = holding(each for each, _ in queries.adjudications_of(session, task=task))
    turns = [str(message["content"]) for message in task.prompt.messages]
    if task.prompt.system:
        turns.insert(0, task.prompt.system)
    projects.add_example(
        session,
        project=request.state.project,
        by=user,
        example={
            "prompt": "\n\n".join(turns),
            "responses": [each.text for each in queries.responses_of(session, task=task)],
            "order": in_words(settled.ranks) if settled else "",
            "why": settled.reason if settled else "",
            "kind": "good",
            "task_id": str(task.id),
        },
        now=now,
    )
    editor = request.app.url_path_for("edit_guidelines", project_id=task.project_id)
    return RedirectResponse(f"{editor}#edit-examples", status_code=303)
