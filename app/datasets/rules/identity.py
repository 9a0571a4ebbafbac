"""What makes two rows the same, and on which side of the split a prompt stands."""

import hashlib
import json
import unicodedata
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

Message = Mapping[str, str]


class Split(StrEnum):
    TRAIN = "train"
    TEST = "test"


def canonical_json(value: Any) -> bytes:
    """JSON with one spelling, in UTF-8: no blanks, text as it is, keys in the order given.

    A lone surrogate has no UTF-8 form; a value that holds one is spelled in ASCII with escapes.
    """
    try:
        return to_json(value)
    except PydanticSerializationError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def sha256(*parts: str) -> str:
    """SHA-256 in hex over the parts, told apart by their lengths."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(f"{len(encoded)}:".encode())
        digest.update(encoded)
    return digest.hexdigest()


def normalised(text: str) -> str:
    """`text` without what people see as the same: NFKC, case folded, white space collapsed."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def first_user_turn(messages: Sequence[Message]) -> str:
    """The text a conversation starts from; without a user's turn, its first message."""
    for message in messages:
        if message["role"] == "user":
            return message["content"]
    return messages[0]["content"] if messages else ""


def split_of(messages: Sequence[Message], *, test_share: float, seed: int) -> Split:
    """The side of a prompt, decided by its normalised first user turn alone.

    So a conversation and its continuation, and prompts that differ in case or white space, always
    stand on one side, whatever else is in the dataset.
    """
    digest = sha256(str(seed), normalised(first_user_turn(messages)))
    return Split.TEST if int(digest[:16], 16) < test_share * 2**64 else Split.TRAIN


def drawn_first(ids: Sequence[str], *, seed: int) -> str:
    """A sort key that draws at random by content: the same row has the same place everywhere."""
    return sha256(str(seed), *ids)


def pseudonym(project_id: str, person_id: str) -> str:
    """A name that holds inside a project and says nothing outside it."""
    secret = hashlib.sha256(f"{project_id} {person_id}".encode()).hexdigest()
    return f"annotator-{secret[:12]}"
