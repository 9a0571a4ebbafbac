"""The job that takes an import back, batch by batch, so that people go on with their work.

Each batch stands for itself: a worker that dies leaves the rest to the next one.
"""

import time
from uuid import UUID

import structlog
from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from app.accounts.models import User, UserKind
from app.annotation import service as annotation
from app.corpus import service as corpus
from app.corpus.models import Import
from app.corpus.queries import undoing
from app.db import transaction
from app.errors import LeaseLost
from app.jobs import JobName, queue
from app.projects import service as projects
from app.projects.models import Membership, Project
from app.tasks import service as tasks
from app.tasks.models import Assignment
from app.tasks.service.removing import FIRST

log = structlog.get_logger(__name__)

BATCH = 500
ROUNDS = 5  # for tasks that somebody was looking at …
PAUSE = 0.2  # … seconds between two of them


@queue.task(name=JobName.UNDO_IMPORT)
def undo_upload(*, import_id: str) -> None:
    undo_import(UUID(import_id))


def undo_import(import_id: UUID) -> None:
    """Remove what the import brought and nobody has used since; once done, nothing happens."""
    with transaction() as session:
        row = corpus.start_undo(session, import_id=import_id)
        if row is None:
            return
        attempt, project_id = row.attempt, row.project_id
    try:
        for turn in range(ROUNDS):
            removed = _remove_tasks(import_id, attempt=attempt, project_id=project_id)
            if turn and not removed:
                break
            time.sleep(PAUSE if turn else 0)
        _take_back_judgements(import_id, attempt=attempt, project_id=project_id)
        _remove_prompts(import_id, attempt=attempt, project_id=project_id)
        _end(import_id, attempt=attempt, project_id=project_id)
    except LeaseLost:
        log.warning("lost the undoing to another attempt", import_id=str(import_id))


def _project(session: Session, project_id: UUID) -> Project:
    """The project, while no import nor generation writes into it."""
    project = session.get_one(Project, project_id)
    tasks.lock_opening(session, project=project)
    return project


def _remove_tasks(import_id: UUID, *, attempt: int, project_id: UUID) -> int:
    after: UUID | None = FIRST
    total = 0
    while after is not None:
        with transaction() as session:
            _project(session, project_id)
            gone = tasks.remove_unused(session, import_id=import_id, after=after, limit=BATCH)
            after, total = gone.last, total + gone.tasks
            of_import = {"import_id": import_id}
            responses = corpus.remove_unused_responses(
                session, **of_import, response_ids=gone.response_ids
            )
            prompts = corpus.remove_unused_prompts(session, **of_import, prompt_ids=gone.prompt_ids)
            more = {"tasks": gone.tasks, "responses": responses, "prompts": prompts}
            corpus.note_undone(session, import_id=import_id, attempt=attempt, more=more)
    return total


def _take_back_judgements(import_id: UUID, *, attempt: int, project_id: UUID) -> None:
    """Those of tasks that others had brought, unless a snapshot holds them by now."""
    with transaction() as session:
        if undoing.frozen_since(session, import_id=import_id) is not None:
            return
    taken = 1
    while taken:
        with transaction() as session:
            _project(session, project_id)
            taken = annotation.take_back_imported(session, import_id=import_id, limit=BATCH)
            more = {"judgements": taken}
            corpus.note_undone(session, import_id=import_id, attempt=attempt, more=more)


def _remove_prompts(import_id: UUID, *, attempt: int, project_id: UUID) -> None:
    """Those that came alone."""
    after = b""
    while True:
        with transaction() as session:
            _project(session, project_id)
            if undoing.is_generating(session, project_id=project_id):
                return
            found = corpus.unanswered_prompts(
                session, import_id=import_id, after=after, limit=BATCH
            )
            if not found:
                return
            gone = corpus.remove_unused_prompts(
                session, import_id=import_id, prompt_ids=[prompt_id for prompt_id, _ in found]
            )
            after = found[-1][1]
            more = {"prompts": gone}
            corpus.note_undone(session, import_id=import_id, attempt=attempt, more=more)


def _end(import_id: UUID, *, attempt: int, project_id: UUID) -> None:
    with transaction() as session:
        project = _project(session, project_id)
        annotation.recount_imported(session, project=project)
        people = _remove_people(session, import_id=import_id, project_id=project_id)
        projects.follow_overlap(session, project=project)
        corpus.note_undone(
            session, import_id=import_id, attempt=attempt, more={"people": people}, is_end=True
        )


def _remove_people(session: Session, *, import_id: UUID, project_id: UUID) -> int:
    """Who came in with this import and has judged nothing that is left."""
    row = session.get_one(Import, import_id)
    has_judged = exists().where(
        Assignment.project_id == project_id, Assignment.user_id == Membership.user_id
    )
    came_with_it = select(Membership.user_id).where(
        Membership.project_id == project_id,
        Membership.imported_name.is_not(None),
        Membership.created_at.between(row.created_at, row.finished_at),
        ~has_judged,
    )
    gone = session.execute(
        delete(User)
        .where(User.id.in_(came_with_it), User.kind == UserKind.IMPORTED)
        .returning(User.id),
        execution_options={"synchronize_session": False},
    )
    return len(gone.all())
