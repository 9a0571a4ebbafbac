r"""Pairs as other projects publish them.

`hh-rlhf` (Bai et al. 2022): two transcripts, turns opened by `\n\nHuman:` and `\n\nAssistant:`.
`trl`: a prompt (explicit, or the common beginning), `chosen` and `rejected` as texts or messages.
"""

import os
import re
from collections.abc import Mapping
from typing import Any

from app.corpus.formats.rows import (
    BadLine,
    ImportedAnnotation,
    ImportedResponse,
    ImportedTask,
    Message,
)
from app.corpus.formats.values import (
    check_responses,
    further_keys,
    identifier_of,
    kind,
    messages_of,
    model_source,
    opened,
    prompt_of,
    reply,
    tags_of,
    text_of,
)

TURN = re.compile(r"\r?\n\r?\n(Human|Assistant):")
FIRST = re.compile(r"\s*(?=(Human|Assistant):)")  # blank lines before the first turn may be gone
ROLE = {"Human": "user", "Assistant": "assistant"}
PAIR_KEYS = frozenset({"id", "chosen", "rejected", "source", "tags", "language"})
PROMPT_NAMES = ("prompt", "question", "instruction")  # as pairs in the wild call it
SCORES = ("score_{side}", "{side}_score", "{side}-rating", "{side}_rating")
MODELS = ("{side}-model", "{side}_model")
ABOUT_SIDES = frozenset(
    name.format(side=side) for name in (*SCORES, *MODELS) for side in ("chosen", "rejected")
)
TRL_KEYS = PAIR_KEYS | ABOUT_SIDES | {"prompt", "system", "messages"}


def is_transcript(text: Any) -> bool:
    """A text with turns; one that begins oddly is still no text of another format."""
    return isinstance(text, str) and TURN.search(text) is not None


def parse_hh(row: Mapping[str, Any]) -> ImportedTask:
    """A line of `hh-rlhf`, split at the longest common prefix that ends a turn."""
    chosen, rejected = (_turns(row.get(key), key=key) for key in ("chosen", "rejected"))
    prompt, tails = split_turns(chosen, rejected)
    messages, system = opened(prompt, system=None)
    return _pair(
        row,
        messages=messages,
        system=system,
        responses=[reply(tail) for tail in tails],
        judge="dataset:hh-rlhf",
        meta=further_keys(row, PAIR_KEYS),
    )


def _turns(text: Any, *, key: str) -> list[Message]:
    if not isinstance(text, str):
        raise BadLine(f"“{key}” must be a transcript, which is a text, not {kind(text)}.")
    opening, *parts = TURN.split(FIRST.sub("\n\n", text, count=1) if FIRST.match(text) else text)
    if opening.strip() or not parts:
        raise BadLine(
            f"“{key}” does not begin with a turn: every turn opens with a blank line and "
            "“Human:” or “Assistant:”."
        )
    return [
        # One blank belongs to the marker, the rest to the text.
        {"role": ROLE[speaker], "content": words.removeprefix(" ")}
        for speaker, words in zip(parts[::2], parts[1::2], strict=True)
    ]


def split_turns(
    chosen: list[Message],
    rejected: list[Message],
    *,
    names: tuple[str, str] = ("“chosen”", "“rejected”"),
) -> tuple[list[Message], tuple[list[Message], list[Message]]]:
    """The turns both have in common, up to the last one of the user; what follows on each side."""
    both = " and ".join(names)
    if chosen == rejected:
        raise BadLine(f"{both} are the same, so there is nothing to choose.")
    common = 0
    while common < min(len(chosen), len(rejected)) and chosen[common] == rejected[common]:
        common += 1
    while common and chosen[common - 1]["role"] != "user":
        common -= 1
    if not common:
        raise BadLine(
            f"{both} do not begin with the same message of the user, so there is no common prompt."
        )
    tails = chosen[common:], rejected[common:]
    if not all(tails):
        raise BadLine(f"{both} must both go on after the prompt they share.")
    return chosen[:common], tails


def parse_trl(row: Mapping[str, Any]) -> ImportedTask:
    """A line of TRL's preference format."""
    chosen, rejected = row.get("chosen"), row.get("rejected")
    named = next((name for name in PROMPT_NAMES if row.get(name) is not None), "prompt")
    prompt, system = row.get(named), text_of(row, "system")
    if isinstance(chosen, list) and isinstance(rejected, list):
        messages, system, tails = _from_messages(chosen, rejected, prompt, system=system)
        texts = [(tail[0]["content"], tail) for tail in tails if tail]
        if len(texts) < 2:
            raise BadLine("“chosen” and “rejected” must both go on after the prompt they share.")
        replies = [reply(tail) for tail in tails]
    elif isinstance(chosen, str) and isinstance(rejected, str):
        messages, system, replies = _from_texts(chosen, rejected, prompt, system=system)
    else:
        raise BadLine(
            "“chosen” and “rejected” must both be texts or both be lists of messages; they are "
            f"{kind(chosen)} and {kind(rejected)}."
        )
    described = [
        _described(response, row, side=side)
        for response, side in zip(replies, ("chosen", "rejected"), strict=True)
    ]
    _number(row.get("margin"), key="margin")
    meta = further_keys(row, TRL_KEYS | {named})
    whole = row.get("messages")
    if whole is not None and whole != chosen:  # else it says the same a second time
        meta["messages"] = whole
    return _pair(
        row,
        messages=messages,
        system=system,
        responses=described,
        judge="dataset:trl",
        meta=meta,
    )


def _from_messages(
    chosen: list[Any], rejected: list[Any], prompt: Any, *, system: str | None
) -> tuple[list[Message], str | None, tuple[list[Message], list[Message]]]:
    sides = messages_of(chosen, where="“chosen”"), messages_of(rejected, where="“rejected”")
    if prompt is None:
        shared, tails = split_turns(*sides)
        return (*opened(shared, system=system), tails)
    messages, system = prompt_of(prompt, system=system)
    whole = [*([{"role": "system", "content": system}] if system else []), *messages]
    first, second = (_without_prompt(side, messages, whole) for side in sides)
    return messages, system, (first, second)


def _without_prompt(
    side: list[Message], messages: list[Message], whole: list[Message]
) -> list[Message]:
    """Some data sets repeat the prompt at the head of both sides."""
    for head in (whole, messages):
        if side[: len(head)] == head:
            return side[len(head) :]
    return side


def _from_texts(
    chosen: str, rejected: str, prompt: Any, *, system: str | None
) -> tuple[list[Message], str | None, list[ImportedResponse]]:
    if prompt is not None:
        messages, system = prompt_of(prompt, system=system)
        return messages, system, [ImportedResponse(chosen), ImportedResponse(rejected)]
    shared = os.path.commonprefix([chosen, rejected])  # noqa: RUF071  # characters are meant
    at = _last_blank(shared)
    if not shared[:at].strip():
        raise BadLine(
            "“chosen” and “rejected” do not begin with the same words, so there is no prompt. "
            "Add it as “prompt”."
        )
    messages, system = prompt_of(chosen[:at], system=system)
    return messages, system, [ImportedResponse(chosen[at:]), ImportedResponse(rejected[at:])]


def _last_blank(text: str) -> int:
    """Where the last word of `text` begins, with the blanks before it; 0 when there is none."""
    return len(text[: max(text.rfind(blank) for blank in " \n\t") + 1].rstrip())


def _described(
    response: ImportedResponse, row: Mapping[str, Any], *, side: str
) -> ImportedResponse:
    """The response with its score and the model it is from, where the row tells them."""
    meta = dict(response.meta)
    for name in SCORES:
        key = name.format(side=side)
        if _number(row.get(key), key=key) is not None:
            meta["score"] = row[key]
            break
    models = (row.get(name.format(side=side)) for name in MODELS)
    source = next((model_source(name) for name in models if name), None)
    return ImportedResponse(response.text, source=source, meta=meta)


def _number(value: Any, *, key: str) -> float | None:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise BadLine(f"“{key}” must be a number, not {kind(value)}.")


def _pair(
    row: Mapping[str, Any],
    *,
    messages: list[Message],
    system: str | None,
    responses: list[ImportedResponse],
    judge: str,
    meta: dict[str, Any],
) -> ImportedTask:
    check_responses(responses)
    return ImportedTask(
        messages=messages,
        system=system,
        responses=responses,
        order_tells=True,
        annotations=[ImportedAnnotation(annotator=judge, ranks=[1, 2])],
        external_id=identifier_of(row, "id"),
        source=text_of(row, "source"),
        tags=tags_of(row),
        language=text_of(row, "language"),
        meta=meta,
    )
