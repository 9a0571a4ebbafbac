"""What model servers answer, whole or as a stream of pieces: pure."""

import json
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

LONGEST_WAIT = 60.0  # seconds that a server may ask for before the next try


class BadReply(Exception):
    """One prompt got no response; another may."""


@dataclass(frozen=True)
class Reply:
    text: str
    finish: str | None  # stop, length, content_filter, …
    refused: bool = False


@dataclass(frozen=True)
class Piece:
    """What a response grew by. `tokens` are {text, logp, rank, top}, where the server tells.

    `rank` is None for a token that is not among the likeliest in its place.
    """

    text: str
    tokens: tuple[dict[str, Any], ...] = ()
    finish: str | None = None


def pieces_of(lines: Iterable[bytes]) -> Iterator[Piece]:
    """The pieces of a stream of server-sent events; `BadReply` where it ends in an error."""
    for line in lines:
        name, _, data = line.strip().partition(b":")
        if name != b"data":
            continue
        if data.strip() == b"[DONE]":
            return
        try:
            event = json.loads(data)
        except ValueError:
            raise BadReply("the stream is no JSON") from None
        if isinstance(event, dict) and event.get("error"):
            raise BadReply(said(data) or "the stream ended in an error")
        if piece := _piece(event):
            yield piece


def _piece(event: Any) -> Piece | None:
    """None for an event that tells nothing of the first choice, such as one of the usage."""
    try:
        if not event["choices"]:
            return None
        choice = event["choices"][0]
        delta = choice.get("delta") or {}
        text = delta.get("content") or delta.get("refusal") or ""
        finish = choice.get("finish_reason")
        told = (choice.get("logprobs") or {}).get("content") or ()
        tokens = tuple(_token(each) for each in told)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        raise BadReply("the stream has another shape than choices[0].delta") from None
    if not isinstance(text, str):
        raise BadReply("the stream's content is no text")
    return Piece(text, tokens, finish) if text or tokens or finish else None


def _token(told: dict[str, Any]) -> dict[str, Any]:
    likeliest = [(_logp(each), str(each["token"])) for each in told.get("top_logprobs") or ()]
    likeliest.sort(reverse=True)
    text, names = str(told["token"]), [name for _, name in likeliest]
    rank = 1 + names.index(text) if text in names else None
    top = [[name, logp] for logp, name in likeliest]
    return {"text": text, "logp": _logp(told), "rank": rank, "top": top}


def _logp(told: dict[str, Any]) -> float:
    found = float(told["logprob"])
    if math.isnan(found):
        raise ValueError
    return max(found, -9999.0)  # what OpenAI says for next to impossible


def reply_of(answer: Any) -> Reply:
    """The text of the first choice; `BadReply` for any other shape."""
    try:
        choice = answer["choices"][0]
        message = choice["message"]
        refusal, content = message.get("refusal"), message.get("content")
        finish = choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise BadReply("the answer has no choices[0].message") from None
    if isinstance(content, list):  # parts, as some servers write
        content = "".join(p.get("text") or "" for p in content if isinstance(p, dict))
    if not isinstance(content, str | None) or not isinstance(refusal, str | None):
        raise BadReply("the answer's content is no text")
    refused = bool(refusal) or finish == "content_filter"
    return Reply((content or refusal or "").strip(), finish, refused=refused)


def said(content: bytes) -> str:
    """What an error says of itself, short."""
    try:
        body = json.loads(content)
    except ValueError:
        return ""
    found = body.get("error") or body.get("detail") or body if isinstance(body, dict) else body
    if isinstance(found, dict):
        found = found.get("message") or ""
    return found.replace("\0", "")[:300] if isinstance(found, str) else ""


def retry_after(header: str | None) -> float:
    """Seconds that a server asks for, as a number or as a date; at most a minute."""
    if not header:
        return 0.0
    try:
        seconds = float(header)
    except ValueError:
        try:
            at = parsedate_to_datetime(header)
        except ValueError:
            return 0.0
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        seconds = (at - datetime.fromtimestamp(time.time(), UTC)).total_seconds()
    return min(max(seconds, 0.0), LONGEST_WAIT) if seconds == seconds else 0.0  # noqa: PLR0124
