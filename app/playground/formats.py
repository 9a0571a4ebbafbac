"""Events of a stream, and turns as JSON."""

import json
from collections.abc import Sequence
from typing import Any

from app.playground.models import PlayReading, PlayTurn
from app.playground.schemas import Answered, AnswerOut, ReadingOut, TurnOut


def event(name: str, data: Any, *, number: int | None = None) -> bytes:
    """One server-sent event; a number is what a browser comes back with to hear the rest."""
    lines = [f"event: {name}", f"data: {json.dumps(data, ensure_ascii=False)}"]
    if number is not None:
        lines.insert(0, f"id: {number}")
    return ("\n".join(lines) + "\n\n").encode()


def turn_out(turn: PlayTurn, answers: Sequence[Answered]) -> TurnOut:
    return TurnOut(
        id=str(turn.id),
        conversation_id=str(turn.conversation_id),
        message=turn.message,
        settings=turn.settings,
        state=turn.state,
        task_id=str(turn.task_id) if turn.task_id else None,
        created_at=turn.created_at,
        answers=[_answer_out(each) for each in answers],
    )


def _answer_out(answered: Answered) -> AnswerOut:
    answer = answered.answer
    return AnswerOut(
        id=str(answer.id),
        source=answer.source,
        name=answer.name,
        checkpoint_id=str(answer.checkpoint_id) if answer.checkpoint_id else None,
        endpoint_id=str(answer.endpoint_id) if answer.endpoint_id else None,
        state=answer.state,
        text=answer.text,
        why_ended=answer.why_ended,
        figures=answer.figures,
        error=answer.error,
        readings=[_reading_out(each) for each in answered.readings],
    )


def _reading_out(reading: PlayReading) -> ReadingOut:
    return ReadingOut(
        checkpoint_id=str(reading.checkpoint_id) if reading.checkpoint_id else None,
        by=reading.name,
        kind=reading.kind,
        is_done=reading.is_done,
        figures=reading.figures,
        error=reading.error,
    )
