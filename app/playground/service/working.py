"""What a worker writes about a turn, guarded by its attempt."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from app.db import JobState, JsonObject
from app.errors import LeaseLost
from app.playground import rules
from app.playground.models import PlayAnswer, PlayPiece, PlayReading, PlayTurn
from app.runs.models import Checkpoint
from app.runs.rules import storable
from app.runs.service.lease import Lease, held


def begin(session: Session, *, turn_id: UUID) -> Lease | None:
    """Take a queued turn as a new attempt; None where there is nothing to take."""
    attempt = session.scalar(
        update(PlayTurn)
        .where(PlayTurn.id == turn_id, PlayTurn.state == JobState.QUEUED)
        .values(state=JobState.RUNNING, attempt=PlayTurn.attempt + 1, seen_at=func.now())
        .returning(PlayTurn.attempt)
    )
    if attempt is None:
        return None
    session.execute(
        update(PlayAnswer)
        .where(PlayAnswer.turn_id == turn_id, PlayAnswer.state == JobState.QUEUED)
        .values(state=JobState.RUNNING)
    )
    return Lease(turn_id, attempt)


def hold(session: Session, *, lease: Lease) -> bool:
    """Say that the attempt lives; True when somebody asked to stop an answer."""
    known = session.scalar(held(PlayTurn, lease).values(seen_at=func.now()).returning(PlayTurn.id))
    if known is None:
        raise LeaseLost(lease)
    asked = session.scalar(
        select(PlayAnswer.id)
        .where(
            PlayAnswer.turn_id == lease.id,
            PlayAnswer.state == JobState.RUNNING,
            PlayAnswer.stop_requested_at.is_not(None),
        )
        .limit(1)
    )
    return asked is not None


def mark_loading(session: Session, *, lease: Lease, answer_id: UUID) -> None:
    """Its model is being loaded, which can take a while."""
    hold(session, lease=lease)
    _change(session, answer_id, figures={"loading": True, "cold": True})


def grow(session: Session, *, lease: Lease, pieces: Sequence[tuple[UUID, str]]) -> bool:
    """Add to answers what was written; True when somebody asked to stop them."""
    is_asked = hold(session, lease=lease)
    for answer_id, text in pieces:
        session.add(PlayPiece(answer_id=answer_id, text=storable(text)))
        session.flush()  # in the order in which they were written
    return is_asked


def end_answer(
    session: Session,
    *,
    lease: Lease,
    answer_id: UUID,
    text: str,
    tokens: list[JsonObject],
    why: str,
    figures: JsonObject,
) -> None:
    """The whole answer takes the place of its pieces."""
    hold(session, lease=lease)
    before = session.scalars(
        select(PlayAnswer.figures).where(PlayAnswer.id == answer_id)
    ).one_or_none()
    _change(
        session,
        answer_id,
        state=JobState.CANCELLED if why == "stopped" else JobState.SUCCEEDED,
        finished_at=func.now(),
        text=storable(text),
        tokens=storable(tokens),
        why_ended=why,
        figures=storable(figures | {"cold": bool((before or {}).get("cold"))}),
    )
    session.execute(delete(PlayPiece).where(PlayPiece.answer_id == answer_id))


def fail_answer(session: Session, *, lease: Lease, answer_id: UUID, error: str) -> None:
    """What was written of it stays to be read."""
    hold(session, lease=lease)
    _fail(session, answer_id, error)


def note_reading(
    session: Session,
    *,
    lease: Lease,
    reading_id: UUID,
    figures: JsonObject,
    tokens: Sequence[JsonObject] = (),
) -> None:
    """What a model made of an answer; a score is placed among those of its snapshot."""
    hold(session, lease=lease)
    reading = session.get(PlayReading, reading_id)
    if reading is None:
        return
    reading.is_done = True
    reading.tokens = storable(list(tokens))
    if "score" in figures and reading.checkpoint_id is not None:
        checkpoint = session.get(Checkpoint, reading.checkpoint_id)
        if checkpoint is not None:
            figures = figures | rules.placed(figures["score"], checkpoint.metrics)
    reading.figures = storable(figures)


def note_error(session: Session, *, lease: Lease, reading_id: UUID, error: str) -> None:
    hold(session, lease=lease)
    session.execute(
        update(PlayReading)
        .where(PlayReading.id == reading_id)
        .values(is_done=True, error=storable(error))
    )


def leave_unread(session: Session, *, lease: Lease) -> None:
    """Answers that failed, or that came out empty, are not read."""
    hold(session, lease=lease)
    nothing = select(PlayAnswer.id).where(
        PlayAnswer.turn_id == lease.id,
        or_(PlayAnswer.state == JobState.FAILED, func.btrim(PlayAnswer.text) == ""),
    )
    _unread(session, nothing, "There is no whole answer to read.")


def close(session: Session, *, lease: Lease, error: str | None = None) -> None:
    """End the attempt; with an error all that is not done ends with it."""
    closed = session.scalar(
        held(PlayTurn, lease)
        .values(
            state=JobState.FAILED if error else JobState.SUCCEEDED,
            finished_at=func.now(),
            seen_at=func.now(),
        )
        .returning(PlayTurn.id)
    )
    if closed is None:
        raise LeaseLost(lease)
    _end_rest(session, lease.id, error or rules.LOST)


def end_silent(session: Session, *, silent_for: timedelta) -> int:
    """End turns whose workers have not been heard of; the number of them.

    They are not taken up by another worker: who asked has seen half an answer, and decides.
    """
    silent = session.scalars(
        select(PlayTurn)
        .where(PlayTurn.state == JobState.RUNNING, PlayTurn.seen_at < func.now() - silent_for)
        .with_for_update(skip_locked=True)
    ).all()
    for turn in silent:
        close(session, lease=Lease(turn.id, turn.attempt), error=rules.LOST)
    return len(silent)


def _end_rest(session: Session, turn_id: UUID, error: str) -> None:
    unfinished = session.scalars(
        select(PlayAnswer).where(PlayAnswer.turn_id == turn_id, PlayAnswer.finished_at.is_(None))
    ).all()
    for answer in unfinished:
        _fail(session, answer.id, error)
    answers = select(PlayAnswer.id).where(PlayAnswer.turn_id == turn_id)
    _unread(session, answers, "It was not read, because the worker did not get so far.")


def _unread(session: Session, answers: Any, error: str) -> None:
    session.execute(
        update(PlayReading)
        .where(PlayReading.answer_id.in_(answers), ~PlayReading.is_done)
        .values(is_done=True, error=error)
    )


def _fail(session: Session, answer_id: UUID, error: str) -> None:
    written = session.scalars(
        select(PlayPiece.text).where(PlayPiece.answer_id == answer_id).order_by(PlayPiece.id)
    ).all()
    _change(
        session,
        answer_id,
        state=JobState.FAILED,
        finished_at=func.now(),
        text="".join(written),
        error=storable(error),
    )
    session.execute(delete(PlayPiece).where(PlayPiece.answer_id == answer_id))


def _change(session: Session, answer_id: UUID, **values: Any) -> None:
    session.execute(
        update(PlayAnswer)
        .where(PlayAnswer.id == answer_id, PlayAnswer.state == JobState.RUNNING)
        .values(**values)
    )
