"""The parts that lines of all formats are made of: texts, messages, responses."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from app.corpus.formats.rows import BadLine, ImportedResponse, ImportedTask, Message
from app.corpus.rules import LONGEST_LABEL
from app.projects import rules as project_rules

MAX_DEPTH = 64
MAX_RESPONSES = 10
MAX_NAME = 200
MAX_TAGS = 1000
ROLES = ("system", "user", "assistant")
TRUE = {"true", "yes", "1", "1.0"}
SPEAKER = {"user": "Human", "assistant": "Assistant"}


def check_json(value: Any, *, where: str = "the line", depth: int = 0) -> None:
    """Refuse what the database cannot keep: NUL, lone surrogates, infinities, deep nesting."""
    if isinstance(value, str):
        _check_text(value, where=where)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise BadLine(f"{where} has a number that is infinite or not a number; remove it.")
    elif isinstance(value, dict | list):
        if depth >= MAX_DEPTH:
            raise BadLine(f"{where} is nested more than {MAX_DEPTH} levels deep; flatten it.")
        if isinstance(value, dict):
            for key, item in value.items():
                _check_text(key, where=f"a key in {where}")
                check_json(item, where=f"“{key}”" if depth == 0 else where, depth=depth + 1)
        else:
            for item in value:
                check_json(item, where=where, depth=depth + 1)


def _check_text(text: str, *, where: str) -> None:
    if "\0" in text:
        raise BadLine(f"{where} contains a NUL character (\\u0000); remove it.")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise BadLine(
                f"{where} contains half of a surrogate pair (\\ud800–\\udfff), which is no "
                "character; write the text as UTF-8."
            ) from None


def embedded(text: str) -> Any:
    """What JSON inside a text says, checked like the rest of the row; a text that is none stays."""
    if not text.lstrip().startswith(("[", "{")):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    check_json(value)
    return value


def paired(value: list[Any]) -> Any:
    """Two records of one question, as WebGPT lists them in a line, as one row with numbered keys.

    Any other list stays one.
    """
    if len(value) != 2 or not all(isinstance(each, dict) and "answer" in each for each in value):
        return value
    first, second = value
    if first.get("question") is None or first["question"] != second.get("question"):
        return value
    return {"question": first["question"]} | {
        f"{key}_{place}": inner
        for place, record in enumerate(value)
        for key, inner in record.items()
        if key != "question"
    }


def kind(value: Any) -> str:
    """What a JSON value is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list) else "an object"


def text_of(row: Mapping[str, Any], key: str) -> str | None:
    """An optional text; null and absent are the same."""
    value = row.get(key)
    if value is None or isinstance(value, str):
        return value
    raise BadLine(f"“{key}” must be a text, not {kind(value)}.")


def identifier_of(row: Mapping[str, Any], key: str) -> str | None:
    """The caller's own id: a text, or a whole number that becomes one."""
    value = row.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return text_of(row, key)


def number_of(row: Mapping[str, Any], key: str) -> float | None:
    """An optional number, also one written as a text, as tables have it."""
    value = row.get(key)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        said = repr(value[:40]) if isinstance(value, str) else kind(value)
        raise BadLine(f"“{key}” must be a number, not {said}.")
    return number


def is_true(value: Any) -> bool:
    """Whether a flag is set, in the ways that files write one."""
    return value in (True, 1) or (isinstance(value, str) and value.strip().lower() in TRUE)


def needed_text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if value is None:
        raise BadLine(f"“{key}” is missing.")
    if not isinstance(value, str):
        raise BadLine(f"“{key}” must be a text, not {kind(value)}.")
    return value


def model_source(name: Any) -> str | None:
    """The source of a response by a named model, as `touchstone generate` writes it."""
    if not isinstance(name, str) or not name.strip():
        return None
    return f"model:{' '.join(name.split())}"


def person_named(value: Any) -> str | None:
    """The name of somebody who judged, from an id or an address; None where there is none."""
    is_id = isinstance(value, str | int) and not isinstance(value, bool)
    return " ".join(str(value).split())[:MAX_NAME].strip() or None if is_id else None


def ranks_by_score(scores: Sequence[float]) -> list[int]:
    """1 for the highest score, equal for equal ones, with gaps after them."""
    return [1 + sum(other > score for other in scores) for score in scores]


def tags_of(row: Mapping[str, Any]) -> list[str]:
    tags = row.get("tags")
    if tags is None:
        return []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise BadLine('“tags” must be a list of texts, like ["cooking", "short"].')
    cleaned = [" ".join(tag.split()) for tag in tags]
    return list(dict.fromkeys(tag for tag in cleaned if tag))


def expertise_of(row: Mapping[str, Any]) -> list[str]:
    """What somebody must know to judge the line."""
    tags = row.get("expertise")
    if tags is None:
        return []
    if isinstance(tags, str):
        tags = tags.split(",")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise BadLine('“expertise” must be a list of texts, like ["law"].')
    try:
        return project_rules.expertise_of(tags)
    except ValueError as error:
        raise BadLine(str(error)) from error


def messages_of(value: Any, *, where: str) -> list[Message]:
    """A conversation as `[{role, content}]`."""
    if not isinstance(value, list) or not value:
        raise BadLine(f"{where} must be a list of messages {{role, content}} and not be empty.")
    return [_message(item, where=f"message {n} of {where}") for n, item in enumerate(value, 1)]


def _message(item: Any, *, where: str) -> Message:
    if not isinstance(item, dict):
        raise BadLine(f"{where} must be an object {{role, content}}, not {kind(item)}.")
    role, content = item.get("role"), item.get("content")
    if role not in ROLES:
        raise BadLine(f"{where} has the role {role!r}; use system, user or assistant.")
    if isinstance(content, list):  # OpenAI's list of parts
        content = _joined_parts(content, where=where)
    if not isinstance(content, str):
        raise BadLine(f"{where} needs a text as “content”, not {kind(content)}.")
    return {"role": role, "content": content}


def _joined_parts(parts: list[Any], *, where: str) -> str:
    texts = []
    for part in parts:
        if not isinstance(part, dict) or not isinstance(part.get("text"), str):
            raise BadLine(f"{where} has a part that is not text; only text can be imported.")
        texts.append(part["text"])
    return "".join(texts)


def prompt_of(value: Any, *, system: str | None) -> tuple[list[Message], str | None]:
    """The conversation up to the wanted response, and the system prompt taken out of it."""
    if value is None:
        raise BadLine("“prompt” is missing; give a text or a list of messages.")
    if isinstance(value, str):
        messages: list[Message] = [{"role": "user", "content": value}]
    elif isinstance(value, list):
        messages = messages_of(value, where="“prompt”")
    else:
        raise BadLine(f"“prompt” must be a text or a list of messages, not {kind(value)}.")
    return opened(messages, system=system)


def opened(messages: list[Message], *, system: str | None) -> tuple[list[Message], str | None]:
    """`messages` without a leading system message, checked to end with something to answer."""
    if messages and messages[0]["role"] == "system":
        if system is not None and system != messages[0]["content"]:
            raise BadLine(
                "There are two system prompts: in “system” and in the messages. Keep one."
            )
        system, messages = messages[0]["content"], messages[1:]
    if any(message["role"] == "system" for message in messages):
        raise BadLine("A system message may only come first in the conversation.")
    if not messages or messages[-1]["role"] != "user":
        raise BadLine("The prompt must end with a message of the user, to which responses reply.")
    if not messages[-1]["content"].strip():
        raise BadLine("The prompt is empty; the user's last message needs some text.")
    return messages, system or None


def reply(messages: Sequence[Message], **about: Any) -> ImportedResponse:
    """A response from the turns after the prompt; several are kept as messages beside the text."""
    if not messages or messages[0]["role"] != "assistant":
        raise BadLine("A response must begin with a message of the assistant.")
    text = messages[0]["content"]
    for message in messages[1:]:
        if message["role"] == "system":
            raise BadLine("A response cannot contain a system message.")
        text += f"\n\n{SPEAKER[message['role']]}: {message['content']}"
    if len(messages) > 1:
        about["meta"] = {**about.get("meta", {}), "messages": list(messages)}
    return ImportedResponse(text=text, **about)


def check_responses(responses: Sequence[ImportedResponse]) -> None:
    """Refuse what cannot be ranked: too few, too many, the same one twice, nothing to read."""
    if not 2 <= len(responses) <= MAX_RESPONSES:
        raise BadLine(
            f"A task needs 2 to {MAX_RESPONSES} responses, and this line has {len(responses)}."
        )
    seen: dict[tuple[str, str | None], int] = {}
    for number, response in enumerate(responses, 1):
        first = seen.setdefault((response.text, response.source), number)
        if first != number:
            raise BadLine(
                f"Responses {first} and {number} are the same, so there is nothing to choose. "
                "Remove one, or name their different sources."
            )
    if not any(response.text.strip() for response in responses):
        raise BadLine("All responses are empty, so there is nothing to judge.")


def check_labels(task: ImportedTask) -> None:
    """Refuse texts in the place of labels: every list, filter and card would show them whole."""
    labels = {"id": task.external_id, "source": task.source, "language": task.language}
    for what, label in labels.items():
        _check_label(label, what=f"“{what}”")
    for tag in task.tags:
        _check_label(tag, what="A tag")
    if len(task.tags) > MAX_TAGS:
        raise BadLine(
            f"This line has {len(task.tags):,} tags, and {MAX_TAGS:,} are allowed; remove some."
        )
    for number, response in enumerate(task.responses, 1):
        _check_label(response.source, what=f"The source of response {number}")


def _check_label(label: str | None, *, what: str) -> None:
    if label is not None and len(label) > LONGEST_LABEL:
        raise BadLine(
            f"{what} has {len(label):,} characters, and {LONGEST_LABEL:,} are allowed. Shorten it, "
            "or give the text a key of its own: that is kept as metadata."
        )


def further_keys(row: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """Keys of the row that mean nothing to its format: kept as metadata."""
    return {key: value for key, value in row.items() if key not in known and value is not None}
