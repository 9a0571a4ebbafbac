"""Tasks whose prompts and responses have the hashes of their content, as imports give them."""

from sqlalchemy import select

from app.annotation.models import Annotation
from app.corpus.models import Prompt, Response
from app.corpus.rules import prompt_hash, response_hash
from app.tasks.models import TaskResponse
from tests.factories import make_task


def true_task(session, project, prompt, responses, **fields):
    """A task with true hashes, and the id that datasets give its prompt."""
    task = make_task(session, project, prompt=prompt, responses=responses, **fields)
    stored = session.get_one(Prompt, task.prompt_id)
    stored.content_hash = prompt_hash(system=None, messages=stored.messages)
    for response in session.scalars(
        select(Response)
        .join(TaskResponse, TaskResponse.response_id == Response.id)
        .where(TaskResponse.task_id == task.id)
    ):
        response.content_hash = response_hash(
            prompt=stored.content_hash, text=response.text, source=response.source
        )
    session.flush()
    return task, stored.content_hash.hex()


def revise(session, annotation, *, ranks):
    """The same person says something else: a new revision, as a submission appends one."""
    annotation.is_current = False
    session.flush()
    new = Annotation(
        project_id=annotation.project_id,
        task_id=annotation.task_id,
        assignment_id=annotation.assignment_id,
        user_id=annotation.user_id,
        guidelines_version=annotation.guidelines_version,
        revision=annotation.revision + 1,
        counted=annotation.counted,
        ranks=list(ranks),
    )
    session.add(new)
    session.flush()
    return new
