"""Which prompt a row of a data file belongs to, also where the row does not say so."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.corpus.rules import prompt_hash
from app.datasets.rules.identity import Message, canonical_json, sha256
from app.datasets.rules.rows import ConfigName
from app.datasets.rules.transcripts import MARKERS

_NAMED = b'"prompt_id":"'  # inside a text its quotes would have backslashes before them
_ID_LENGTH = 64
_ROLES = {marker: role for role, marker in MARKERS.items()}
_TURN = re.compile("(" + "|".join(re.escape(marker) for marker in _ROLES) + ")")


def prompt_id_in(line: bytes) -> str | None:
    """The id that a line of `preference` or `ranking` names, without reading all of it."""
    at = line.rfind(_NAMED)
    if at < 0:
        return None
    begin = at + len(_NAMED)
    return line[begin : begin + _ID_LENGTH].decode("ascii", "replace")


def prompt_id_of(config: ConfigName, row: Mapping[str, Any]) -> str:
    """The id of a row's prompt: the one it names, else the SHA-256 of its conversation."""
    if "prompt_id" in row:
        return str(row["prompt_id"])
    return id_of_messages(prompt_of(config, row))


def prompt_of(config: ConfigName, row: Mapping[str, Any]) -> Sequence[Message]:
    """The conversation that the row's responses answer, with its system prompt."""
    if config is ConfigName.HH_RLHF:
        return turns(str(row["chosen"]))[:-1]
    messages: Sequence[Message] = row["messages"][:-1] if config is ConfigName.SFT else []
    return messages or row.get("prompt") or []


def id_of_messages(messages: Sequence[Message]) -> str:
    has_system = bool(messages) and messages[0]["role"] == "system"
    try:
        return prompt_hash(
            system=messages[0]["content"] if has_system else None,
            messages=messages[1:] if has_system else messages,
        ).hex()
    except UnicodeEncodeError:  # a lone surrogate: no import takes it, a folder may hold it
        return sha256(canonical_json(messages).decode())


def turns(transcript: str) -> list[dict[str, str]]:
    """The messages of a transcript that this platform wrote."""
    _, *parts = _TURN.split(transcript)
    return [
        {"role": _ROLES[marker], "content": words.removeprefix(" ")}
        for marker, words in zip(parts[::2], parts[1::2], strict=True)
    ]
