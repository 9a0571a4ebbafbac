"""Conversations of the playground as rows."""

from dataclasses import dataclass

from sqlalchemy import func

from app.db import JobState
from app.playground.models import (
    PlayAnswer,
    PlayConversation,
    PlayReading,
    PlayTurn,
    ReadingKind,
)

SETTINGS = {"temperature": 0.8, "top_p": 1.0, "max_new_tokens": 12, "seed": 42}
TOKENS = [
    {"text": "Three", "logp": -0.1, "rank": 1, "top": [["Three", -0.1], ["Four", -2.5]]},
    {"text": " eggs", "logp": -6.0, "rank": 40, "top": [[" hens", -0.2], [" eggs", -6.0]]},
    {"text": "", "logp": -0.5, "rank": 1, "top": [["<|end|>", -0.5]], "end": True},
]


@dataclass
class Played:
    turn: PlayTurn
    answers: list[PlayAnswer]


def make_turn(
    session, project, *writers, texts=("Three eggs", "Four eggs"), by=None, after=None, judges=()
):
    """A finished turn that checkpoints answered; in a conversation of its own, or after an answer.

    Answers the turn, and its conversation.
    """
    if after is None:
        conversation = PlayConversation(
            project_id=project.id, title="How many?", created_by=by.id if by else None
        )
    else:
        turn = session.get_one(PlayTurn, after.turn_id)
        conversation = session.get_one(PlayConversation, turn.conversation_id)
    session.add(conversation)
    session.flush()
    ended = {"state": JobState.SUCCEEDED, "finished_at": func.now()}
    turn = PlayTurn(
        conversation_id=conversation.id,
        parent_answer_id=after.id if after else None,
        message="How many eggs?",
        settings=SETTINGS,
        created_at=func.clock_timestamp(),
        **ended,
    )
    session.add(turn)
    session.flush()
    answers = []
    for place, (writer, text) in enumerate(zip(writers, texts, strict=False)):
        answer = PlayAnswer(
            turn_id=turn.id,
            place=place,
            source=f"checkpoint:{writer.id.hex[:8]}",
            name=writer.name,
            checkpoint_id=writer.id,
            text=text,
            tokens=TOKENS,
            why_ended="end",
            figures={"perplexity": 9.03, "seconds": 0.5, "first_token": 0.2, "tokens": 3},
            **ended,
        )
        session.add(answer)
        session.flush()
        answers.append(answer)
        for judge in judges:
            session.add(
                PlayReading(
                    answer_id=answer.id,
                    checkpoint_id=judge.id,
                    kind=ReadingKind.SCORE,
                    name=judge.name,
                    is_done=True,
                    figures={"score": 0.4, "z": 0.8, "below": 0.788},
                )
            )
    session.flush()
    return Played(turn, answers), conversation
