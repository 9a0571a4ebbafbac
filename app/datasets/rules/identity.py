"""What makes two rows the same, and on which side of the split a prompt stands."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any
from uuid import UUID

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
        digest.update(b"%d:%b" % (len(encoded), encoded))
    return digest.hexdigest()


def pseudonym(project_id: UUID, user_id: UUID | str) -> str:
    """What a manifest calls a person: the same in all of a project's, and nothing outside it."""
    secret = hashlib.sha256(f"{project_id} {user_id}".encode()).hexdigest()
    return f"annotator-{secret[:12]}"


def normalised(text: str) -> str:
    """`text` without what people see as the same: NFKC, case folded, white space collapsed."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


# Unicode's Default_Ignorable_Code_Point, and the format marks that nobody sees either.
_UNSEEN = re.compile(
    "[\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_NO_LETTER = re.compile(r"[\W_]+")
_NO_ASCII_LETTER = bytes(code for code in range(128) if not chr(code).isalnum())


def essence(text: str) -> str:
    """What is left where prompts that ask the same thing should not be told apart.

    `normalised`, and of that letters and digits alone: neither white space nor punctuation nor
    characters that nobody sees. A text without any letter keeps its signs.
    """
    if text.isascii():
        letters = text.lower().encode().translate(None, _NO_ASCII_LETTER).decode()
        return letters or "".join(text.split())
    plain = normalised(_UNSEEN.sub("", text))
    return _NO_LETTER.sub("", plain) or "".join(plain.split())


def first_user_turn(messages: Sequence[Message]) -> str:
    """The text a conversation starts from; without a user's turn, its first message."""
    for message in messages:
        if message["role"] == "user":
            return message["content"]
    return messages[0]["content"] if messages else ""


def draw_of(messages: Sequence[Message], *, seed: int) -> int:
    """Where a conversation stands between 0 and 2**64, decided by its first user turn alone.

    So a conversation and its continuation, under whatever system prompt, and prompts that differ
    in case, white space or punctuation, always stand at one place, whatever else there is.
    """
    return int(sha256(str(seed), essence(first_user_turn(messages)))[:16], 16)


def side_of(draw: int, *, test_share: float) -> Split:
    return Split.TEST if draw < test_share * 2**64 else Split.TRAIN


def split_of(messages: Sequence[Message], *, test_share: float, seed: int) -> Split:
    """The side of a prompt by its draw."""
    return side_of(draw_of(messages, seed=seed), test_share=test_share)


def moved_over(draws: Collection[int], *, test_share: float) -> int | None:
    """The draw that changes sides, so that neither is empty: the one nearest to the border.

    None where both sides have some, where there is but one, and without a test split.
    """
    distinct = set(draws)
    sides = {side_of(draw, test_share=test_share) for draw in distinct}
    if test_share <= 0 or len(distinct) < 2 or len(sides) > 1:
        return None
    return max(distinct) if Split.TEST in sides else min(distinct)


def drawn_first(ids: Sequence[str], *, seed: int) -> str:
    """A sort key that draws at random by content: the same row has the same place everywhere."""
    return sha256(str(seed), *ids)
