"""Records of annotation tools: which of their fields is the prompt, and which the responses.

Teams name their fields themselves; these are the names of the tools' own templates and their
relatives. Answers name a response by its field, its number or letter, or the side it stands on.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.corpus.formats.rows import BadLine, ImportedResponse, Message
from app.corpus.formats.values import (
    check_responses,
    further_keys,
    kind,
    messages_of,
    model_source,
    prompt_of,
    ranks_by_score,
    reply,
)

PROMPTS = (
    "prompt",
    "instruction",
    "question",
    "query",
    "user_prompt",
    "input",
    "chat",
    "conversation",
    "history",
    "messages",
    "dialogue",
    "task",
    "context",
)
SYSTEMS = ("system", "system_prompt")
BESIDE = ("input", "context")  # what a prompt of another name is about
LISTS = ("responses", "answers", "completions", "generations", "candidates", "outputs", "items")
STEMS = (
    "response", "answer", "completion", "generation", "output", "reply", "candidate", "summary",
    "option", "text", "model",
)  # fmt: skip  # with a number or letter; the likeliest first
NUMBERED = re.compile(rf"({'|'.join(STEMS)})[ _-]?(\d{{1,2}}|[a-z])", re.IGNORECASE)
TEXTS = ("text", "response", "content", "body", "generation", "html")
SIDES = (("left", "first"), ("right", "second"))
TIES = frozenset(
    {"tie", "tied", "same", "equal", "equally", "both", "neither", "none", "draw", "similar"}
    | {"equivalent", "bothgood", "bothbad", "nopreference"}
)
# What stands around the name of the better one, as in “Response A is slightly better”.
AROUND = re.compile(
    r"\b(a (bit|lot|little)|is|was|the|much|slightly|significantly|far|clearly|better|best|good|"
    r"preferred|prefer|i|wins|chosen|more|helpful)\b"
)
REASON = re.compile(r"rational|reason|expla|comment|feedback|justif|why|note", re.IGNORECASE)
PREFERENCE = re.compile(r"rank|prefer|compar|overall|better|best|choice|pairwise", re.IGNORECASE)


@dataclass(slots=True)
class Fields:
    """What a record asks about: its conversation, its responses and how answers may name them."""

    messages: list[Message]
    system: str | None
    responses: list[ImportedResponse]
    names: dict[str, int]  # name in small letters and figures → place of the response
    used: set[str] = field(default_factory=set)

    def place(self, value: Any) -> int | None:
        """The response that an answer names; None where it names none."""
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            return None
        whole = self.names.get(plain(value))
        if whole is not None:
            return whole
        return self.names.get(plain(AROUND.sub("", value.lower())))


def plain(name: str) -> str:
    """Small letters and figures alone: Response-1, response_1 and response 1 are one name."""
    return re.sub(r"[^0-9a-z]+", "", name.lower())


def fields_of(values: Mapping[str, Any]) -> Fields:
    """The prompt and the responses among named fields; `BadLine` where they are not found."""
    prompt = next((name for name in PROMPTS if values.get(name)), None)
    listed = _listed(values)
    if prompt is None or len(listed) < 2:
        found = ", ".join(sorted(values)[:12]) or "none"
        raise BadLine(
            f"The record has the fields {found[:200]}. It needs a prompt (“prompt”, "
            "“instruction”, “question” …) and its responses (“response1”, “response2” … or a list "
            "“responses”)."
        )
    system = next((values[name] for name in SYSTEMS if isinstance(values.get(name), str)), None)
    messages, system = prompt_of(_with_context(values, prompt), system=system)
    responses = [response for _, response, _ in listed]
    check_responses(responses)
    used = {prompt, *SYSTEMS, *BESIDE, *(name for name, _, _ in listed)}
    return Fields(messages, system, responses, _names([each for _, _, each in listed]), used)


def _with_context(values: Mapping[str, Any], prompt: str) -> Any:
    value = values[prompt]
    if not isinstance(value, str):
        return value
    beside = [values[name] for name in BESIDE if name != prompt and values.get(name)]
    return "\n\n".join([value, *(text for text in beside if isinstance(text, str))])


def _listed(values: Mapping[str, Any]) -> list[tuple[str, ImportedResponse, list[str]]]:
    """Each response with its field and the names that are its own."""
    for name in LISTS:
        items = values.get(name)
        if isinstance(items, list) and len(items) >= 2:
            return [(name, *_item(item, number)) for number, item in enumerate(items, 1)]
    stems: dict[str, list[tuple[str, str]]] = {}
    for name in values:
        match = NUMBERED.fullmatch(name)
        if match and values[name] is not None:
            stems.setdefault(match[1].lower(), []).append((match[2].lower(), name))
    best = next((stems[stem] for stem in STEMS if len(stems.get(stem, ())) >= 2), [])
    ordered = sorted(best, key=lambda each: (len(each[0]), each[0]))
    return [
        (name, _response(values[name], where=f"“{name}”"), [name, end]) for end, name in ordered
    ]


def _item(item: Any, number: int) -> tuple[ImportedResponse, list[str]]:
    where = f"Response {number}"
    if not isinstance(item, dict):
        return _response(item, where=where), []
    key = next((key for key in TEXTS if isinstance(item.get(key), str)), None)
    if key is None:
        raise BadLine(f"{where} needs a text, as “text” or “body”.")
    names = [str(item[name]) for name in ("id", "title", "model") if item.get(name) is not None]
    response = ImportedResponse(
        text=item[key],
        source=model_source(item.get("model")),
        meta=further_keys(item, frozenset({key, "model"})),
    )
    return response, names


def _response(value: Any, *, where: str) -> ImportedResponse:
    if isinstance(value, list):
        return reply(messages_of(value, where=where))
    if not isinstance(value, str):
        raise BadLine(f"{where} must be a text, not {kind(value)}.")
    return ImportedResponse(text=value)


def _names(own: Sequence[Sequence[str]]) -> dict[str, int]:
    """How each response may be called; a name of its own goes before its number or letter."""
    names: dict[str, int] = {}
    for place, given in enumerate(own):
        for name in given:
            names.setdefault(plain(name), place)
    is_numbered = any(name.isdigit() for name in names)
    for place in range(len(own)):
        letter = chr(ord("a") + place)
        ends = [letter] if is_numbered else [letter, str(place + 1)]
        for stem in ("", "response", "answer", "completion", "generation", "model", "option"):
            for end in ends:
                names.setdefault(stem + end, place)
    if len(own) == 2:
        for place, sides in enumerate(SIDES):
            for side in sides:
                names.setdefault(side, place)
    names.pop("", None)
    return names


def ranks_from(value: Any, fields: Fields, *, where: str) -> list[int] | None:
    """The order that an answer gives the responses; None where it gives none."""
    if isinstance(value, list) and len(value) == 1 and not isinstance(value[0], dict):
        value = value[0]  # a choice, in a list of those that were made
    if isinstance(value, list) and value:
        return _from_list(value, fields, where=where)
    place = fields.place(value) if isinstance(value, str) else None
    if place is None:
        is_tie = isinstance(value, str) and _is_tie(value)
        return [1] * len(fields.responses) if is_tie else None
    if len(fields.responses) > 2:
        raise BadLine(
            f"{where} names the best of {len(fields.responses)} responses alone, so the order of "
            "the others is not known. Only pairs can be judged by one choice."
        )
    return [1 if each == place else 2 for each in range(2)]


def _is_tie(answer: str) -> bool:
    """A word for it, alone or in a short sentence; a long text is no answer to a choice."""
    words = re.findall(r"[a-z]+", answer.lower())
    return len(words) <= 6 and (plain(answer) in TIES or not TIES.isdisjoint(words))


def _from_list(value: list[Any], fields: Fields, *, where: str) -> list[int] | None:
    """`[{value, rank}]` in any order, or names from the best to the worst."""
    ranked = []
    for number, item in enumerate(value, 1):
        if isinstance(item, dict):
            place, rank = fields.place(item.get("value")), item.get("rank")
        else:
            place, rank = fields.place(item), number
        if place is None or not isinstance(rank, int | float):
            return None
        ranked.append((place, rank))
    places = [place for place, _ in ranked]
    if sorted(places) != list(range(len(fields.responses))):
        raise BadLine(
            f"{where} ranks {len(set(places))} of {len(fields.responses)} responses; each needs "
            "one place."
        )
    by_place = dict(ranked)
    return ranks_by_score([-by_place[place] for place in range(len(by_place))])


def ranks_by_ratings(
    ratings: Mapping[str, Any], fields: Fields
) -> tuple[list[int] | None, set[str]]:
    """The order by ratings that name one response each, and the questions that gave them."""
    values: dict[int, float] = {}
    used: set[str] = set()
    for question, value in ratings.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        place = _rated(question, fields)
        if place is None or place in values:
            continue
        values[place] = value
        used.add(question)
    if len(values) < len(fields.responses):
        return None, set()
    return ranks_by_score([values[place] for place in range(len(values))]), used


def _rated(question: str, fields: Fields) -> int | None:
    """The response whose name a question ends with, such as `rating-response-1`."""
    parts = [part for part in re.split(r"[^0-9A-Za-z]+", question) if part]
    for start in range(len(parts)):
        place = fields.names.get(plain("".join(parts[start:])))
        if place is not None:
            return place
    return None


def judgement_of(
    answers: Mapping[str, Any], fields: Fields, *, where: str
) -> tuple[list[int] | None, str | None, dict[str, Any]]:
    """The ranks, the rationale and what else somebody answered, by question.

    Of several questions that order the responses the one named like a preference goes first.
    """
    ranks, used = None, set[str]()
    for question in sorted(answers, key=lambda name: PREFERENCE.search(name) is None):
        answer = answers[question]
        if _is_mark(answer) and not PREFERENCE.search(question):
            continue
        ranks = ranks_from(answer, fields, where=f"“{question}” of {where}")
        if ranks is not None:
            used = {question}
            break
    else:
        ranks, used = ranks_by_ratings(answers, fields)
    rationale = None
    for question in _texts(answers, without=used):
        rationale = str(answers[question])
        used.add(question)
        break
    rest = {key: value for key, value in answers.items() if key not in used and value is not None}
    return ranks, rationale, rest


def _is_mark(answer: Any) -> bool:
    """A bare number or letter: the second response, or a mark of 2, which only the name tells."""
    return isinstance(answer, str) and len(plain(answer)) <= 2


def _texts(answers: Mapping[str, Any], *, without: set[str]) -> Iterable[str]:
    """The questions that were answered with reasons."""
    return (
        question
        for question, value in answers.items()
        if question not in without
        and isinstance(value, str)
        and value.strip()
        and REASON.search(question)
    )
