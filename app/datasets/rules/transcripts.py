"""HH-RLHF transcripts: one text, turns told apart by markers (Bai et al. 2022)."""

import re
from collections.abc import Sequence
from enum import StrEnum

from app.datasets.rules.identity import Message

MARKERS = {"user": "\n\nHuman:", "assistant": "\n\nAssistant:"}
_ANY_MARKER = re.compile(r"\r?\n\r?\n(?:Human|Assistant):")  # as importers read them


class Refusal(StrEnum):
    """Why a conversation has no transcript."""

    ROLE_MARKER = "role_marker"  # a message would be read as several
    ROLE = "role"  # a system prompt, a tool: the format has no word for it
    CARRIAGE_RETURN = "carriage_return"  # a marker after it would take it for its own
    EMPTY = "empty"  # no turn at all


REFUSAL_TEXTS = {
    Refusal.ROLE_MARKER: "a message contains a role marker and would be read as several turns",
    Refusal.ROLE: "the format has no system prompt and no role besides user and assistant",
    Refusal.CARRIAGE_RETURN: "a message before the last ends in a carriage return, which would be"
    " read as part of the next role marker",
    Refusal.EMPTY: "there is no turn",
}


def refusal(messages: Sequence[Message], *, is_followed: bool = False) -> Refusal | None:
    """Why `transcript` would not read back as these messages, or None when it does.

    is_followed: another turn comes after the last of them.
    """
    if not messages:
        return Refusal.EMPTY
    if not {message["role"] for message in messages} <= MARKERS.keys():
        return Refusal.ROLE
    texts = [message["content"] for message in messages]
    if any(map(_markers, texts)):
        return Refusal.ROLE_MARKER
    before_others = texts if is_followed else texts[:-1]
    if any(text.endswith("\r") for text in before_others):
        return Refusal.CARRIAGE_RETURN
    return None


def reply_refusal(text: str, *, turns: int) -> Refusal | None:
    """Why a reply would not read back as so many turns; `text` has their markers in it."""
    found = _markers(text)
    if len(found) != turns - 1:
        return Refusal.ROLE_MARKER
    if found and any("\r" in marker for marker in found):
        return Refusal.CARRIAGE_RETURN
    return None


def _markers(text: str) -> list[str]:
    """The role markers in a text; that it has none is seen many times as fast as a search says."""
    if "\nHuman:" not in text and "\nAssistant:" not in text:
        return []
    return _ANY_MARKER.findall(text)


def transcript(messages: Sequence[Message]) -> str:
    r"""`\n\nHuman: …\n\nAssistant: …`, white space kept exactly; only where `refusal` is None."""
    return "".join(f"{MARKERS[message['role']]} {message['content']}" for message in messages)


def reply_transcript(text: str) -> str:
    """What a reply adds to the transcript of its prompt."""
    return f"{MARKERS['assistant']} {text}"
