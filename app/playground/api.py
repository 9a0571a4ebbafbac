"""The playground as JSON, and an answer as a stream while it is written."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from app.accounts.auth import CurrentUser
from app.db import JsonObject, SessionDep, transaction
from app.playground import formats, queries, service
from app.playground.auth import ManagedTurn, ViewedAnswer, ViewedTurn
from app.playground.models import PlayConversation, PlayReading, PlayTurn, ReadingKind
from app.playground.schemas import AskBody, ReplyBody, SentOut, TokensOut, TurnOut, ViewOut
from app.projects.auth import AdminProject
from app.projects.models import Project

router = APIRouter(tags=["playground"])

LOOK = 0.08  # seconds between two looks at what was written
SIGN_OF_LIFE = 5.0  # seconds after which a silent stream says that it is still there
LIFE = 25.0  # seconds of one stream; the browser comes back for the rest, if it is still allowed
COMES_BACK = 200  # ms


class EventStream(StreamingResponse):
    media_type = "text/event-stream"


@router.post("/projects/{project_id}/playground", status_code=202)
def ask_models(
    session: SessionDep, user: CurrentUser, project: AdminProject, body: AskBody
) -> TurnOut:
    """Have one or two checkpoints answer a message; reward models score what they write."""
    conversation = queries.conversation_of(session, project=project, body=body)
    turn = service.ask(session, project=project, body=body, by=user, conversation=conversation)
    return _out(session, turn)


@router.get("/playground/turns/{turn_id}")
def get_turn(session: SessionDep, turn: ViewedTurn) -> TurnOut:
    """The answers to a message as far as they are written, with scores."""
    return _out(session, turn)


@router.post("/playground/turns/{turn_id}/stop", status_code=202)
def stop_turn(session: SessionDep, turn: ManagedTurn) -> TurnOut:
    """Stop the answers before their next token; what is written stays."""
    service.stop(session, turn=turn)
    return _out(session, turn)


@router.post("/playground/turns/{turn_id}/replies", status_code=202)
def add_reply(
    session: SessionDep, user: CurrentUser, turn: ManagedTurn, body: ReplyBody
) -> TurnOut:
    """Add a reply of your own, to be read by the models and scored by the reward models."""
    service.type_reply(session, turn=turn, body=body, by=user)
    session.refresh(turn)
    return _out(session, turn)


@router.post("/playground/turns/{turn_id}/task")
def send_turn(session: SessionDep, user: CurrentUser, turn: ManagedTurn) -> SentOut:
    """Make the answers an ordinary task; whoever judges it does not see who wrote what."""
    conversation = session.get_one(PlayConversation, turn.conversation_id)
    project = session.get_one(Project, conversation.project_id)
    sent = service.send(session, project=project, conversation=conversation, turn=turn, by=user)
    return SentOut(task_id=str(sent.task_id), prompt_id=str(sent.prompt_id), is_new=sent.is_new)


@router.get("/playground/answers/{answer_id}/tokens")
def answer_tokens(session: SessionDep, answer: ViewedAnswer) -> TokensOut:
    """Each token with its probability: by the model that wrote it, and by those that read it."""
    views = []
    if answer.tokens:
        views.append(
            ViewOut(
                by=answer.name,
                is_writer=True,
                perplexity=answer.figures.get("perplexity"),
                tokens=answer.tokens,
            )
        )
    readings = session.scalars(
        select(PlayReading)
        .where(PlayReading.answer_id == answer.id, PlayReading.kind == ReadingKind.TOKENS)
        .order_by(PlayReading.place)
    )
    views += [
        ViewOut(
            by=reading.name,
            is_writer=False,
            perplexity=reading.figures.get("perplexity"),
            tokens=reading.tokens,
        )
        for reading in readings
        if reading.tokens
    ]
    return TokensOut(items=views)


@router.get("/playground/turns/{turn_id}/events", response_class=EventStream)
def turn_events(
    turn: ViewedTurn, last_event_id: Annotated[int, Header(ge=0, lt=2**63)] = 0
) -> EventStream:
    """What is written, as it is written (server-sent events).

    `piece` {answer, text}, `standing` {state, answers, …} at each change, and `end`. Whoever comes
    back with `Last-Event-ID` hears what follows it; the whole answers are at the turn's address.
    """
    return EventStream(events(turn.id, after=last_event_id))


async def events(turn_id: UUID, *, after: int) -> AsyncIterator[bytes]:
    """The stream of a turn, until it is done or has lived long enough."""
    begun = spoke = time.monotonic()
    yield f"retry: {COMES_BACK}\n\n".encode()
    told: JsonObject = {}
    while True:
        standing, pieces = await run_in_threadpool(_look, turn_id, after)
        for number, answer, text in pieces:
            after, spoke = number, time.monotonic()
            yield formats.event("piece", {"answer": str(answer), "text": text}, number=number)
        if standing != told:
            told, spoke = standing, time.monotonic()
            yield formats.event("standing", told)
        now = time.monotonic()
        if told["is_final"]:
            yield formats.event("end", {})
            return
        if now - begun > LIFE:
            return
        if now - spoke > SIGN_OF_LIFE:
            spoke = now
            yield b": still here\n\n"
        await asyncio.sleep(LOOK)


def _look(turn_id: UUID, after: int) -> tuple[JsonObject, list[tuple[int, UUID, str]]]:
    """How the turn stands, and what was written since."""
    with transaction() as session:
        standing = queries.standing(session, turn_id=turn_id)
        if standing is None:
            return {"is_final": True}, []
        told = {
            "state": standing.state,
            "is_final": standing.state.is_final,
            "answers": {str(key): state for key, state, _ in standing.answers},
            "loading": [str(key) for key, _, is_loading in standing.answers if is_loading],
            "unread": standing.unread,
            "ahead": standing.ahead,
            "has_worker": standing.ahead is None or queries.has_worker(session),
        }
        return told, list(queries.pieces_after(session, turn_id=turn_id, after=after))


def _out(session: Session, turn: PlayTurn) -> TurnOut:
    return formats.turn_out(turn, queries.answers_of(session, turns=[turn])[turn.id])
