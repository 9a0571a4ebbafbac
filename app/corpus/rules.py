"""What makes two prompts or responses the same, and the order of responses and ranks."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence

from pydantic_core import PydanticSerializationError, to_json

LONGEST_LABEL = 1_000  # characters of what rows are found by: ids, sources, languages, tags

_VARIES = re.compile(r"'[^']*'|\"[^\"]*\"|\d[\d,.]*(?<![,.])")


def prompt_hash(*, system: str | None, messages: Sequence[Mapping[str, str]]) -> bytes:
    """SHA-256 of the canonical JSON `[system, [[role, content], …]]`: no blanks, UTF-8.

    `UnicodeEncodeError` for half of a surrogate pair, which UTF-8 does not hold.
    """
    turns = b",".join(
        b"[%b,%b]" % (_quoted(message["role"]), _quoted(message["content"])) for message in messages
    )
    return _sha256(b"[%b,[%b]]" % (_quoted(system), turns))


def response_hash(*, prompt: bytes, text: str, source: str | None) -> bytes:
    """SHA-256 of the canonical JSON `[prompt hash in hex, text, source]`.

    The same words of another model are another response.
    """
    return _sha256(b'["%b",%b,%b]' % (prompt.hex().encode(), _quoted(text), _quoted(source)))


def _quoted(text: str | None) -> bytes:
    try:
        return to_json(text)
    except PydanticSerializationError:  # the other one is slower, and says what is wrong
        return json.dumps(text, ensure_ascii=False).encode()


def _sha256(canonical: bytes) -> bytes:
    return hashlib.sha256(canonical).digest()


def canonical_order(responses: Sequence[bytes]) -> list[int]:
    """Indices of the responses in the order of their hashes.

    It depends on nothing but their content, and so tells nothing of which was preferred.
    """
    return sorted(range(len(responses)), key=responses.__getitem__)


def weak_order(ranks: Sequence[int]) -> list[int]:
    """The same order as ranks with gaps: 1 = best, equal = tie (1, 2, 2, 4)."""
    ordered = sorted(ranks)
    return [1 + ordered.index(rank) for rank in ranks]


def order_in_numbers(ranks: Sequence[int]) -> str:
    """The order that ranks give, in numbers from 1: `2 > 1 = 3`."""
    groups: dict[int, list[str]] = {}
    for number, rank in enumerate(ranks, 1):
        groups.setdefault(rank, []).append(str(number))
    return " > ".join(" = ".join(group) for _, group in sorted(groups.items()))


def reason_of(message: str) -> str:
    """What refusals of one kind have in common: the message without its numbers and quotations.

    Names in “…” stay, for they say which key is meant.
    """
    return _VARIES.sub("…", message)


def file_stem(filename: str) -> str:
    """The name of a file without its endings, as the header of a reply can hold it."""
    stem = re.sub(r"(\.(gz|jsonl?|ndjson|csv|parquet))+$", "", filename, flags=re.IGNORECASE)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.")[:80] or "import"
