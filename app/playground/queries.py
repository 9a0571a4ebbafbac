"""Reads of conversations: the line of turns that a page shows, and what a stream has to tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.db import JobState
from app.errors import Invalid
from app.playground.models import PlayAnswer, PlayConversation, PlayPiece, PlayReading, PlayTurn
from app.playground.schemas import Answered, AskBody
from app.projects.models import Project
from app.runs.models import Checkpoint, RunKind
from app.runs.queries import checkpoints_of


@dataclass
class Shown:
    """A turn of the line that is shown, with those that stand in the same place."""

    turn: PlayTurn
    answers: list[Answered]
    siblings: list[UUID]  # in the order in which they were asked, this one among them
    chosen: UUID | None = None  # the answer that the line goes on from

    @property
    def number(self) -> int:
        return self.siblings.index(self.turn.id)


@dataclass(frozen=True)
class Listed:
    """A conversation of the history."""

    conversation: PlayConversation
    by: str | None
    turns: int
    sent: int


def conversation_in(
    session: Session, *, project_id: UUID, conversation_id: UUID
) -> PlayConversation | None:
    return session.scalar(
        select(PlayConversation).where(
            PlayConversation.id == conversation_id, PlayConversation.project_id == project_id
        )
    )


def conversation_of(
    session: Session, *, project: Project, body: AskBody
) -> PlayConversation | None:
    """The conversation that a message goes on with; None where it begins one.

    `Invalid` where what it names is not in this project.
    """
    if body.after is None and body.instead_of is None:
        return None
    turn_id = body.instead_of
    if body.after is not None:
        turn_id = session.scalar(select(PlayAnswer.turn_id).where(PlayAnswer.id == body.after))
    found = session.scalar(
        select(PlayConversation)
        .join(PlayTurn, PlayTurn.conversation_id == PlayConversation.id)
        .where(PlayTurn.id == turn_id, PlayConversation.project_id == project.id)
    )
    if found is None:
        raise Invalid("There is no such conversation in this project; it may have been deleted.")
    return found


def turn_in(session: Session, *, conversation_id: UUID, turn_id: UUID) -> PlayTurn | None:
    return session.scalar(
        select(PlayTurn).where(PlayTurn.id == turn_id, PlayTurn.conversation_id == conversation_id)
    )


def conversations_of(
    session: Session, *, project: Project, before: datetime | None = None, limit: int = 50
) -> list[Listed]:
    """The conversations of a project, the one asked last first."""
    counted = (
        select(
            PlayTurn.conversation_id,
            func.count().label("turns"),
            func.count(PlayTurn.sent_at).label("sent"),
        )
        .group_by(PlayTurn.conversation_id)
        .subquery()
    )
    wanted = (
        select(PlayConversation, User.name, counted.c.turns, counted.c.sent)
        .outerjoin(User, User.id == PlayConversation.created_by)
        .join(counted, counted.c.conversation_id == PlayConversation.id)
        .where(PlayConversation.project_id == project.id)
    )
    if before is not None:
        wanted = wanted.where(PlayConversation.asked_at < before)
    rows = session.execute(
        wanted.order_by(PlayConversation.asked_at.desc(), PlayConversation.id).limit(limit)
    )
    return [Listed(*row) for row in rows]


def judges_of(session: Session, *, project: Project) -> Sequence[Checkpoint]:
    """The reward models of a project, newest first."""
    return checkpoints_of(session, project=project, kinds=[RunKind.REWARD])


def line_of(
    session: Session, *, conversation: PlayConversation, turn: PlayTurn | None = None
) -> list[Shown]:
    """The turns from the first to `turn`, and on along the newest; without one, to the newest."""
    turns = session.scalars(
        select(PlayTurn)
        .where(PlayTurn.conversation_id == conversation.id)
        .order_by(PlayTurn.created_at, PlayTurn.id)
    ).all()
    turn_of = dict(
        session.execute(
            select(PlayAnswer.id, PlayAnswer.turn_id).where(
                PlayAnswer.turn_id.in_([each.id for each in turns])
            )
        ).all()
    )
    by_id = {each.id: each for each in turns}
    last = turn or (turns[-1] if turns else None)
    if last is None:
        return []
    line = [last]
    while (parent := line[0].parent_answer_id) is not None:
        line.insert(0, by_id[turn_of[parent]])
    while after := [
        each
        for each in turns
        if each.parent_answer_id is not None and turn_of[each.parent_answer_id] == line[-1].id
    ]:
        line.append(after[-1])
    answers = answers_of(session, turns=line)
    shown = [
        Shown(
            each,
            answers[each.id],
            [other.id for other in turns if _same_place(each, other, turn_of)],
        )
        for each in line
    ]
    for one, following in zip(shown, line[1:], strict=False):
        one.chosen = following.parent_answer_id
    return shown


def _same_place(one: PlayTurn, other: PlayTurn, turn_of: dict[UUID, UUID]) -> bool:
    places = [
        None if turn.parent_answer_id is None else turn_of[turn.parent_answer_id]
        for turn in (one, other)
    ]
    return places[0] == places[1]


def answers_of(session: Session, *, turns: Sequence[PlayTurn]) -> dict[UUID, list[Answered]]:
    """The answers of each turn in their order."""
    found: dict[UUID, list[Answered]] = {turn.id: [] for turn in turns}
    by_id = {}
    for answer in session.scalars(
        select(PlayAnswer).where(PlayAnswer.turn_id.in_(found)).order_by(PlayAnswer.place)
    ):
        by_id[answer.id] = Answered(answer)
        found[answer.turn_id].append(by_id[answer.id])
    for reading in session.scalars(
        select(PlayReading)
        .where(PlayReading.answer_id.in_(by_id))
        .order_by(PlayReading.kind, PlayReading.place, PlayReading.id)
    ):
        by_id[reading.answer_id].readings.append(reading)
    return found


def messages_before(session: Session, *, turn: PlayTurn) -> list[dict[str, str]]:
    """The conversation that this turn's answers reply to, its own message at the end."""
    messages = [{"role": "user", "content": turn.message}]
    parent = turn.parent_answer_id
    while parent is not None:
        answer = session.get_one(PlayAnswer, parent)
        before = session.get_one(PlayTurn, answer.turn_id)
        messages = [
            {"role": "user", "content": before.message},
            {"role": "assistant", "content": answer.text},
            *messages,
        ]
        parent = before.parent_answer_id
    return messages


def pieces_after(session: Session, *, turn_id: UUID, after: int) -> Sequence[tuple[int, UUID, str]]:
    """What the answers of a turn grew by since a piece."""
    return session.execute(
        select(PlayPiece.id, PlayPiece.answer_id, PlayPiece.text)
        .join(PlayAnswer, PlayAnswer.id == PlayPiece.answer_id)
        .where(PlayAnswer.turn_id == turn_id, PlayPiece.id > after)
        .order_by(PlayPiece.id)
    ).all()


@dataclass(frozen=True)
class Standing:
    """How far a turn is, in one look."""

    state: JobState
    answers: Sequence[tuple[UUID, JobState, bool]]  # … and whether its model is being loaded
    unread: int
    ahead: int | None  # turns of anybody that were asked before and wait, too; None: it is on


def standing(session: Session, *, turn_id: UUID) -> Standing | None:
    """None when the turn is gone."""
    turn = session.execute(
        select(PlayTurn.state, PlayTurn.created_at).where(PlayTurn.id == turn_id)
    ).one_or_none()
    if turn is None:
        return None
    ahead = None
    if turn.state is JobState.QUEUED:
        ahead = session.scalars(
            select(func.count())
            .select_from(PlayTurn)
            .where(PlayTurn.finished_at.is_(None), PlayTurn.created_at < turn.created_at)
        ).one()
    answers = session.execute(
        select(PlayAnswer.id, PlayAnswer.state, PlayAnswer.figures["loading"].as_boolean())
        .where(PlayAnswer.turn_id == turn_id)
        .order_by(PlayAnswer.place)
    ).all()
    unread = session.scalars(
        select(func.count())
        .select_from(PlayReading)
        .join(PlayAnswer, PlayAnswer.id == PlayReading.answer_id)
        .where(PlayAnswer.turn_id == turn_id, ~PlayReading.is_done)
    ).one()
    told = [(row[0], row[1], bool(row[2])) for row in answers]
    return Standing(turn.state, told, unread, ahead)


def has_worker(session: Session) -> bool:
    """Whether a worker was heard of lately, so that waiting makes sense."""
    return bool(
        session.scalar(
            text(
                "SELECT EXISTS (SELECT FROM procrastinate_workers"
                " WHERE last_heartbeat > now() - interval '30 seconds')"
            )
        )
    )
