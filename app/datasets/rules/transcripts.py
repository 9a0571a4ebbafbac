"""HH-RLHF transcripts: one text, turns told apart by markers (Bai et al. 2022)."""

import re
from collections.abc import Sequence
from enum import StrEnum

from app.datasets.rules.identity import Message

MARKERS = {"user": "\n\nHuman:", "assistant": "\n\nAssistant:"}
_ANY_MARKER = re.compile("|".join(re.escape(marker) for marker in MARKERS.values()))


class Refusal(StrEnum):
    """Why a conversation has no transcript."""

    ROLE_MARKER = "role_marker"  # a message would be read as several
    ROLE = "role"  # a system prompt, a tool: the format has no word for it
    EMPTY = "empty"  # no turn at all


REFUSAL_TEXTS = {
    Refusal.ROLE_MARKER: "a message contains a role marker and would be read as several turns",
    Refusal.ROLE: "the format has no system prompt and no role besides user and assistant",
    Refusal.EMPTY: "there is no turn",
}


def refusal(messages: Sequence[Message]) -> Refusal | None:
    """Why `transcript` would not read back as these messages, or None when it does."""
    if not messages:
        return Refusal.EMPTY
    if any(message["role"] not in MARKERS for message in messages):
        return Refusal.ROLE
    if any(_ANY_MARKER.search(message["content"]) for message in messages):
        return Refusal.ROLE_MARKER
    return None


def transcript(messages: Sequence[Message]) -> str:
    r"""`\n\nHuman: …\n\nAssistant: …`, white space kept exactly; only where `refusal` is None."""
    return "".join(f"{MARKERS[message['role']]} {message['content']}" for message in messages)
