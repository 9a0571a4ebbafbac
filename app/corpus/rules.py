"""What makes two prompts or responses the same, and the order of responses and ranks."""

import hashlib
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring as quoted  # a JSON string that keeps text as it is


def prompt_hash(*, system: str | None, messages: Sequence[Mapping[str, str]]) -> bytes:
    """SHA-256 of the canonical JSON `[system, [[role, content], …]]`: no blanks, UTF-8."""
    turns = ",".join(
        f"[{quoted(message['role'])},{quoted(message['content'])}]" for message in messages
    )
    return _sha256(f"[{_optional(system)},[{turns}]]")


def response_hash(*, prompt: bytes, text: str, source: str | None) -> bytes:
    """SHA-256 of the canonical JSON `[prompt hash in hex, text, source]`.

    The same words of another model are another response.
    """
    return _sha256(f'["{prompt.hex()}",{quoted(text)},{_optional(source)}]')


def _optional(text: str | None) -> str:
    return "null" if text is None else quoted(text)


def _sha256(canonical: str) -> bytes:
    return hashlib.sha256(canonical.encode()).digest()


def canonical_order(responses: Sequence[bytes]) -> list[int]:
    """Indices of the responses in the order of their hashes.

    It depends on nothing but their content, and so tells nothing of which was preferred.
    """
    return sorted(range(len(responses)), key=responses.__getitem__)


def weak_order(ranks: Sequence[int]) -> list[int]:
    """The same order as ranks with gaps: 1 = best, equal = tie (1, 2, 2, 4)."""
    ordered = sorted(ranks)
    return [1 + ordered.index(rank) for rank in ranks]
