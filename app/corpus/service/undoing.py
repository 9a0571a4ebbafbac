"""Taking an import back: asked for here, done by a job batch by batch, and noted on its row."""

from collections.abc import Collection, Mapping
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.service import audit
from app.corpus import queries
from app.corpus.models import Import, Prompt, Response
from app.db import JobState, among
from app.errors import Conflict, LeaseLost
from app.jobs import JobName, defer

NOT_BROUGHT = "This import has brought nothing that could be taken back."
GENERATING = (
    "A checkpoint is writing responses to prompts of this project. Wait for its end, or cancel it."
)


def request_undo(session: Session, *, row: Import, by: User) -> None:
    """Queue the removal of what the import brought and nobody has used since. Twice is once."""
    if row.dry_run or row.state is not JobState.SUCCEEDED:
        raise Conflict(NOT_BROUGHT)
    if row.undo_requested_at is None and queries.is_generating(session, project_id=row.project_id):
        raise Conflict(GENERATING)
    asked = session.scalar(
        update(Import)
        .where(
            Import.id == row.id,
            Import.state == JobState.SUCCEEDED,
            Import.undo_requested_at.is_(None),
        )
        .values(undo_requested_at=func.now())
        .returning(Import),
        execution_options={"populate_existing": True},
    )
    if asked is None:
        return
    defer(session, JobName.UNDO_IMPORT, import_id=str(row.id))
    audit(session, user=by, action="import.undo", target=row.filename, project_id=row.project_id)


def start_undo(session: Session, *, import_id: UUID) -> Import | None:
    """Take it on, or go on where another worker stopped; None when there is nothing to undo."""
    return session.scalar(
        update(Import)
        .where(
            Import.id == import_id,
            Import.undo_requested_at.is_not(None),
            Import.undone_at.is_(None),
        )
        .values(attempt=Import.attempt + 1)
        .returning(Import)
    )


def note_undone(
    session: Session,
    *,
    import_id: UUID,
    attempt: int,
    more: Mapping[str, int],
    is_end: bool = False,
) -> None:
    """Add to what has gone; `LeaseLost` when another worker goes on with it."""
    row = session.scalar(
        select(Import)
        .where(Import.id == import_id, Import.attempt == attempt, Import.undone_at.is_(None))
        .with_for_update(key_share=True)
    )
    if row is None:
        raise LeaseLost(import_id, attempt)
    gone = dict(row.undone)
    for name, count in more.items():
        gone[name] = gone.get(name, 0) + count
    row.undone = gone
    if is_end:
        row.undone_at = func.clock_timestamp()


def remove_unused_responses(
    session: Session, *, import_id: UUID, response_ids: Collection[UUID]
) -> int:
    """Remove those that the import brought and no task shows any more."""
    shown = select(queries.TASK_RESPONSE.c.response_id).where(
        queries.TASK_RESPONSE.c.response_id == Response.id
    )
    gone = session.execute(
        delete(Response)
        .where(among(Response.id, response_ids), Response.import_id == import_id, ~shown.exists())
        .returning(Response.id),
        execution_options={"synchronize_session": False},
    )
    return len(gone.all())


def remove_unused_prompts(
    session: Session, *, import_id: UUID, prompt_ids: Collection[UUID]
) -> int:
    """Remove those that the import brought and that have no response left."""
    answered = select(Response.id).where(Response.prompt_id == Prompt.id)
    gone = session.execute(
        delete(Prompt)
        .where(among(Prompt.id, prompt_ids), Prompt.import_id == import_id, ~answered.exists())
        .returning(Prompt.id),
        execution_options={"synchronize_session": False},
    )
    return len(gone.all())


def unanswered_prompts(
    session: Session, *, import_id: UUID, after: bytes, limit: int
) -> list[tuple[UUID, bytes]]:
    """The next prompts of the import without a response, by content hash."""
    answered = select(Response.id).where(Response.prompt_id == Prompt.id)
    rows = session.execute(
        select(Prompt.id, Prompt.content_hash)
        .where(Prompt.import_id == import_id, Prompt.content_hash > after, ~answered.exists())
        .order_by(Prompt.content_hash)
        .limit(limit)
    )
    return [(row.id, row.content_hash) for row in rows]
