"""`arena` (Zheng et al. 2023): two anonymous models answer, and somebody says which one is better.

Two shapes are published: whole conversations with `winner` and `judge` (Chatbot Arena, MT-bench),
and turns as lists inside texts with a column per outcome (the arena's competition of 2024).
"""

from collections.abc import Mapping
from typing import Any

from app.corpus.formats.preferences import split_turns
from app.corpus.formats.rows import BadLine, ImportedAnnotation, ImportedTask, Message
from app.corpus.formats.values import (
    check_responses,
    embedded,
    further_keys,
    identifier_of,
    is_true,
    kind,
    messages_of,
    model_source,
    opened,
    person_named,
    reply,
    tags_of,
    text_of,
)

SOURCE = "dataset:arena"
SIDES = ("a", "b")
WINNERS = ("winner_model_a", "winner_model_b", "winner_tie")
RANKS = {"model_a": [1, 2], "model_b": [2, 1], "tie": [1, 1], "tie (bothbad)": [1, 1]}
CONVERSATIONS = {"conversation_a", "conversation_b"}
TURNS = {"prompt", "response_a", "response_b"}
KEYS = frozenset(
    {"id", "question_id", "model_a", "model_b", "winner", "judge", "language", "tags"}
    | {*CONVERSATIONS, *TURNS, *WINNERS}
)


def is_arena(row: Mapping[str, Any]) -> bool:
    keys = row.keys()
    if row.keys() >= CONVERSATIONS:
        return True
    return keys >= TURNS and not {"winner", *WINNERS}.isdisjoint(keys)


def parse_arena(row: Mapping[str, Any]) -> ImportedTask:
    """A line of `arena`."""
    conversations = [_conversation(row, side=side) for side in SIDES]
    shared, tails = split_turns(*conversations, names=("the first side", "the second side"))
    messages, system = opened(shared, system=None)
    responses = [
        reply(tail, source=model_source(row.get(f"model_{side}")))
        for side, tail in zip(SIDES, tails, strict=True)
    ]
    check_responses(responses)
    return ImportedTask(
        messages=messages,
        system=system,
        responses=responses,
        annotations=_judgement(row),
        external_id=identifier_of(row, "id") or identifier_of(row, "question_id"),
        source=text_of(row, "source"),
        tags=tags_of(row),
        language=text_of(row, "language"),
        meta=further_keys(row, KEYS | {"source"}),
    )


def _conversation(row: Mapping[str, Any], *, side: str) -> list[Message]:
    whole = row.get(f"conversation_{side}")
    if whole is not None:
        return messages_of(whole, where=f"“conversation_{side}”")
    asked, answered = _turns(row, "prompt"), _turns(row, f"response_{side}")
    if len(asked) != len(answered):
        raise BadLine(
            f"“prompt” has {len(asked)} turns and “response_{side}” has {len(answered)}; each "
            "question needs one answer."
        )
    return [
        {"role": role, "content": text}
        for pair in zip(asked, answered, strict=True)
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]


def _turns(row: Mapping[str, Any], key: str) -> list[str]:
    """A text alone, a list of texts, or such a list written as JSON inside a text."""
    value = row.get(key)
    if isinstance(value, str):
        inner = embedded(value)
        value = inner if isinstance(inner, list) else value
    turns = [value] if isinstance(value, str) else value
    if not isinstance(turns, list) or not turns:
        raise BadLine(f"“{key}” must be a text or a list of texts, not {kind(value)}.")
    if not all(isinstance(turn, str) for turn in turns):
        raise BadLine(f"“{key}” has a turn that is no text (an answer that failed?).")
    return turns


def _judgement(row: Mapping[str, Any]) -> list[ImportedAnnotation]:
    """By the judge that the row names: a person, or a model as in the judgements of MT-bench."""
    winner = text_of(row, "winner")
    if winner is None and not any(name in row for name in WINNERS):
        return []
    if winner is None:
        won = [name for name in WINNERS if is_true(row.get(name))]
        if len(won) != 1:
            raise BadLine(f"Exactly one of {', '.join(WINNERS)} must be 1.")
        winner = won[0].removeprefix("winner_")
    if winner not in RANKS:
        raise BadLine(f"“winner” is {winner[:40]!r}; use model_a, model_b or tie.")
    judge = row.get("judge")
    if isinstance(judge, list):  # a judging model, with the prompt it was given
        judge = model_source(judge[0]) if judge else None
    if judge is not None and not isinstance(judge, str):
        raise BadLine(f"“judge” must be a name, not {kind(judge)}.")
    return [ImportedAnnotation(annotator=person_named(judge) or SOURCE, ranks=RANKS[winner])]
