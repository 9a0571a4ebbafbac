"""What makes two prompts, responses or tasks the same, and the order of responses and ranks."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_SPELL = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
).encode


def canonical_json(value: Any) -> bytes:
    """JSON with one spelling: no blanks, keys sorted, text as it is, in UTF-8."""
    return _SPELL(value).encode()


def prompt_hash(*, system: str | None, messages: Sequence[Mapping[str, str]]) -> bytes:
    """SHA-256 of the system prompt and the conversation so far."""
    turns = [[message["role"], message["content"]] for message in messages]
    return hashlib.sha256(canonical_json([system, turns])).digest()


def response_hash(*, prompt: bytes, text: str, source: str | None) -> bytes:
    """SHA-256 of a response: the same words of another model are another response."""
    return hashlib.sha256(canonical_json([prompt.hex(), text, source])).digest()


def task_identity(*, prompt: bytes, responses: Iterable[bytes]) -> bytes:
    """SHA-256 of a prompt and the set of its responses (their hashes), in whatever order."""
    return hashlib.sha256(prompt + b"".join(sorted(responses))).digest()


def canonical_order(responses: Sequence[bytes]) -> list[int]:
    """Indices of the responses in canonical order, which is that of their hashes.

    So it depends on nothing but their content, and tells nothing of which was preferred.
    """
    return sorted(range(len(responses)), key=responses.__getitem__)


def weak_order(ranks: Sequence[int]) -> list[int]:
    """The same order as ranks with gaps: 1 = best, equal = tie (1, 2, 2, 4)."""
    return [1 + sum(other < rank for other in ranks) for rank in ranks]
