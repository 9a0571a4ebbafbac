"""Asking models, stopping them, typing a reply of one's own, forgetting a conversation."""

from collections.abc import Sequence
from uuid import UUID, uuid4

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.service import audit
from app.db import JobState
from app.errors import Conflict, Invalid
from app.generation.models import Endpoint
from app.generation.service import usable_endpoint
from app.jobs import JobName, defer
from app.playground import queries, rules
from app.playground.models import (
    PlayAnswer,
    PlayConversation,
    PlayReading,
    PlayTurn,
    ReadingKind,
)
from app.playground.schemas import AskBody, AskedBody, ReplyBody
from app.projects.models import Project
from app.runs.models import Checkpoint, RunKind
from app.runs.queries import checkpoint_in
from app.runs.rules import is_writer

OPEN = (JobState.QUEUED, JobState.RUNNING)


def ask(
    session: Session,
    *,
    project: Project,
    body: AskBody,
    by: User,
    conversation: PlayConversation | None = None,
) -> PlayTurn:
    """A new turn and its answers, queued; a conversation around it where it begins one."""
    writers = [_writer(session, project, each) for each in body.all_writers()]
    if len({each.id for each in writers}) < len(writers):
        raise Invalid("Choose two different models, or one alone.")
    judges = [
        _checkpoint(session, project, each, is_judge=True) for each in body.reward_checkpoint_ids
    ]
    parent = None
    if conversation is not None:
        parent = _parent(session, conversation, body)
    else:
        conversation = PlayConversation(
            id=uuid4(),
            project_id=project.id,
            system=(body.system or "").strip() or None,
            title=rules.title_of(body.message),
            created_by=by.id,
        )
        session.add(conversation)
    conversation.asked_at = func.now()
    turn = PlayTurn(
        id=uuid4(),
        conversation_id=conversation.id,
        parent_answer_id=parent.id if parent else None,
        message=body.message,
        settings=body.settings(),
        created_by=by.id,
        # not now(), which is that of the transaction: turns are told apart by it
        created_at=func.clock_timestamp(),
    )
    session.add(turn)
    session.flush()
    _queue_answers(session, turn, writers, by)
    readers = [each for each in writers if isinstance(each, Checkpoint)]
    for answer in session.scalars(select(PlayAnswer).where(PlayAnswer.turn_id == turn.id)):
        _want_readings(session, answer, writers=readers, judges=judges)
    defer(session, JobName.PLAY, turn_id=str(turn.id))
    return turn


def _writer(session: Session, project: Project, body: AskedBody) -> Checkpoint | Endpoint:
    if body.endpoint is not None:
        return usable_endpoint(session, project=project, called=body.endpoint)
    assert body.checkpoint is not None
    return _checkpoint(session, project, body.checkpoint, is_judge=False)


def _checkpoint(
    session: Session, project: Project, checkpoint_id: UUID, *, is_judge: bool
) -> Checkpoint:
    found = checkpoint_in(session, project_id=project.id, checkpoint_id=checkpoint_id)
    if found is None:
        raise Invalid(f"There is no checkpoint {checkpoint_id} in this project.")
    if is_judge and found.kind is not RunKind.REWARD:
        raise Invalid(f"“{found.name}” writes and does not score. Choose a reward model.")
    if not is_judge and not is_writer(found.kind):
        raise Invalid(
            f"“{found.name}” is a reward model, which scores and does not write. Choose a "
            "checkpoint of SFT, DPO or PPO."
        )
    return found


def _parent(session: Session, conversation: PlayConversation, body: AskBody) -> PlayAnswer | None:
    """The answer that the new turn follows; None for another beginning of the conversation."""
    if body.instead_of is not None:
        turn = queries.turn_in(session, conversation_id=conversation.id, turn_id=body.instead_of)
        if turn is None:
            raise Invalid("instead_of: there is no such turn in this conversation.")
        return session.get(PlayAnswer, turn.parent_answer_id) if turn.parent_answer_id else None
    if body.after is None:
        raise Invalid("after: name the answer that this message follows.")
    answer = session.get(PlayAnswer, body.after)
    if answer is None or not queries.turn_in(
        session, conversation_id=conversation.id, turn_id=answer.turn_id
    ):
        raise Invalid("after: there is no such answer in this conversation.")
    if not answer.text.strip() or answer.state not in {JobState.SUCCEEDED, JobState.CANCELLED}:
        raise Conflict("That answer has no words to go on from. Ask it again first.")
    return answer


def _queue_answers(
    session: Session, turn: PlayTurn, writers: Sequence[Checkpoint | Endpoint], by: User
) -> None:
    for place, writer in enumerate(writers):
        answer = PlayAnswer(
            turn_id=turn.id,
            place=place,
            source=writer.source,
            name=writer.name,
            checkpoint_id=writer.id if isinstance(writer, Checkpoint) else None,
            endpoint_id=writer.id if isinstance(writer, Endpoint) else None,
            asked_by=by.id,
        )
        try:
            with session.begin_nested():
                session.add(answer)
                session.flush()
        except IntegrityError as error:
            raise Conflict(
                f"“{writer.name}” is still answering you. Wait for its answer, or stop it."
            ) from error


def _want_readings(
    session: Session,
    answer: PlayAnswer,
    *,
    writers: Sequence[Checkpoint],
    judges: Sequence[Checkpoint],
) -> None:
    """Each judge scores the answer, and each other writer says how much it surprises it."""
    readers = [(each, ReadingKind.TOKENS) for each in writers if each.id != answer.checkpoint_id]
    readers += [(each, ReadingKind.SCORE) for each in judges]
    for place, (reader, kind) in enumerate(readers):
        session.add(
            PlayReading(
                answer_id=answer.id,
                checkpoint_id=reader.id,
                kind=kind,
                name=reader.name,
                place=place,
            )
        )


def type_reply(session: Session, *, turn: PlayTurn, body: ReplyBody, by: User) -> PlayAnswer:
    """A reply that somebody typed, beside the models': they read it, and the judges score it."""
    again = session.scalar(
        update(PlayTurn)
        .where(PlayTurn.id == turn.id, PlayTurn.finished_at.is_not(None))
        .values(state=JobState.QUEUED, finished_at=None)
        .returning(PlayTurn.id)
    )
    if again is None:
        raise Conflict("The answers are still being written. Add yours when they are there.")
    answers = queries.answers_of(session, turns=[turn])[turn.id]
    if any(each.answer.text == body.text for each in answers):
        raise Conflict("This very reply stands here already.")
    checkpoints = {each.answer.checkpoint_id for each in answers}
    checkpoints |= {reading.checkpoint_id for each in answers for reading in each.readings}
    models = session.scalars(
        select(Checkpoint)
        .where(Checkpoint.id.in_([each for each in checkpoints if each]))
        .order_by(Checkpoint.created_at)
    ).all()
    answer = PlayAnswer(
        id=uuid4(),
        turn_id=turn.id,
        place=1 + max(each.answer.place for each in answers),
        source=rules.PERSON,
        name=rules.TYPED,
        asked_by=by.id,
        state=JobState.SUCCEEDED,
        finished_at=func.now(),
        text=body.text,
        why_ended="end",
    )
    session.add(answer)
    session.flush()
    _want_readings(
        session,
        answer,
        writers=[each for each in models if each.kind is not RunKind.REWARD],
        judges=[each for each in models if each.kind is RunKind.REWARD],
    )
    defer(session, JobName.PLAY, turn_id=str(turn.id))
    return answer


def stop(session: Session, *, turn: PlayTurn) -> None:
    """Answers that wait are cancelled at once, those being written before their next token.

    Nothing happens where all is done: closing a page asks for it, too.
    """
    session.execute(
        update(PlayAnswer)
        .where(PlayAnswer.turn_id == turn.id, PlayAnswer.state.in_(OPEN))
        .values(stop_requested_at=func.coalesce(PlayAnswer.stop_requested_at, func.now()))
    )
    waits = session.scalar(
        update(PlayTurn)
        .where(PlayTurn.id == turn.id, PlayTurn.state == JobState.QUEUED)
        .values(state=JobState.CANCELLED, finished_at=func.now())
        .returning(PlayTurn.id)
    )
    if waits is not None:
        session.execute(
            update(PlayAnswer)
            .where(PlayAnswer.turn_id == turn.id, PlayAnswer.state.in_(OPEN))
            .values(
                state=JobState.CANCELLED,
                finished_at=func.now(),
                why_ended="stopped",
            )
        )
        _leave_unread(session, turn)
    session.refresh(turn)


def _leave_unread(session: Session, turn: PlayTurn) -> None:
    answers = select(PlayAnswer.id).where(PlayAnswer.turn_id == turn.id)
    session.execute(
        update(PlayReading)
        .where(PlayReading.answer_id.in_(answers), ~PlayReading.is_done)
        .values(is_done=True, error="It was stopped before it was read.")
    )


def forget(session: Session, *, conversation: PlayConversation, by: User) -> None:
    """Take a conversation away, texts and all; tasks made of it stay what they are."""
    audit(
        session,
        user=by,
        action="playground.delete",
        target=f"conversation {conversation.id}",
        project_id=conversation.project_id,
    )
    session.delete(conversation)
