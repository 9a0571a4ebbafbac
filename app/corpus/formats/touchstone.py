"""The formats of this house: `touchstone` (tasks with all that is known) and `prompts`."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from app.corpus.formats.rows import (
    BadLine,
    ImportedAdjudication,
    ImportedAnnotation,
    ImportedGold,
    ImportedResponse,
    ImportedTask,
)
from app.corpus.formats.values import (
    MAX_NAME,
    check_responses,
    expertise_of,
    further_keys,
    identifier_of,
    kind,
    messages_of,
    prompt_of,
    reply,
    tags_of,
    text_of,
)
from app.corpus.rules import weak_order

MAX_STRENGTH = 4
YEARS = range(1970, 2200)
MAX_ANNOTATIONS = 1000
MAX_RATINGS = 10
NEEDED = ("annotator", "ranks")  # of an annotation
RESPONSE_KEYS = frozenset({"text", "source", "sampling"})
TIMES = ("wall_ms", "visible_ms", "active_ms")
LONGEST = 2**31 - 1  # milliseconds
LONGEST_REASON = 4_000
MAX_FLAGS = 20
ABOUT = frozenset({"id", "prompt", "system", "source", "tags", "language", "expertise"})
TASK_KEYS = ABOUT | {"responses", "gold", "annotations", "ranks", "adjudication"}
FROZEN = "dataset:touchstone"  # who ranked the rows of a snapshot, once they leave it


def parse_task(row: Mapping[str, Any]) -> ImportedTask:
    """A line of `touchstone`, or one of the config `ranking` of a snapshot, with its `ranks`."""
    messages, system = prompt_of(row.get("prompt"), system=text_of(row, "system"))
    if row.get("responses") is None and "responses" in row:  # a prompt that waits, among tasks
        return parse_prompt({key: value for key, value in row.items() if key != "responses"})
    responses = _listed(row.get("responses"))
    check_responses(responses)
    annotations = _annotations(row.get("annotations"), responses=len(responses))
    ranks = row.get("ranks")
    if ranks is not None:
        ranks = ranks_of(ranks, where="The line", responses=len(responses))
        annotations.append(ImportedAnnotation(annotator=FROZEN, ranks=ranks))
    gold = _gold(row.get("gold"), responses=len(responses))
    adjudication = _adjudication(row.get("adjudication"), responses=len(responses))
    if gold is not None and adjudication is not None:
        raise BadLine("The line has “gold” and an “adjudication”: a gold question is its key.")
    return ImportedTask(
        messages=messages,
        system=system,
        responses=responses,
        gold=gold,
        annotations=annotations,
        adjudication=adjudication,
        meta=further_keys(row, TASK_KEYS),
        **_about(row),
    )


def _listed(value: Any) -> list[ImportedResponse]:
    """The responses of a list, or of an object that names the model of each text."""
    if isinstance(value, dict):
        value = [{"text": text, "source": f"model:{model}"} for model, text in value.items()]
    if not isinstance(value, list):
        what = "is missing; it" if value is None else f"is {kind(value)}, and"
        raise BadLine(f"“responses” {what} must be a list of 2 to 10 responses.")
    return [_response(item, number=number) for number, item in enumerate(value, 1)]


def parse_prompt(row: Mapping[str, Any]) -> ImportedTask:
    """A line of `prompts`: to be filled with responses later."""
    key = "messages" if row.get("prompt") is None and "messages" in row else "prompt"
    value = row.get(key)
    if key == "messages" and _is_answered(value):
        raise BadLine(
            "“messages” ends with an answer of the assistant, as in data for SFT. One answer is "
            "nothing to compare: remove the last message to import the prompt alone, or give "
            "“prompt” and two or more “responses”."
        )
    messages, system = prompt_of(value, system=text_of(row, "system"))
    return ImportedTask(
        messages=messages, system=system, meta=further_keys(row, ABOUT | {key}), **_about(row)
    )


def _is_answered(messages: Any) -> bool:
    last = messages[-1] if isinstance(messages, list) and messages else None
    return isinstance(last, dict) and last.get("role") == "assistant"


def _about(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "external_id": identifier_of(row, "id"),
        "source": text_of(row, "source"),
        "tags": tags_of(row),
        "language": text_of(row, "language"),
        "expertise": expertise_of(row),
    }


def _response(item: Any, *, number: int) -> ImportedResponse:
    if isinstance(item, str):
        return ImportedResponse(text=item)
    if isinstance(item, list):
        return reply(messages_of(item, where=f"response {number}"))
    if not isinstance(item, dict):
        raise BadLine(
            f"Response {number} must be a text or an object {{text, source}}, not {kind(item)}."
        )
    text, source, sampling = item.get("text"), item.get("source"), item.get("sampling")
    if not isinstance(text, str):
        raise BadLine(f"Response {number} needs a “text” that is a text, not {kind(text)}.")
    if source is not None and not isinstance(source, str):
        raise BadLine(f"The source of response {number} must be a text, not {kind(source)}.")
    if sampling is not None and not isinstance(sampling, dict):
        raise BadLine(f"“sampling” of response {number} must be an object, not {kind(sampling)}.")
    meta = further_keys(item, RESPONSE_KEYS)
    return ImportedResponse(text=text, source=source, sampling=sampling, meta=meta)


def _gold(value: Any, *, responses: int) -> ImportedGold | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise BadLine(f"“gold” must be an object {{prefers: [[0, 1]]}}, not {kind(value)}.")
    prefers = _pairs(value.get("prefers"), name="prefers", responses=responses)
    equal = _pairs(value.get("equal"), name="equal", responses=responses)
    if not prefers and not equal:
        raise BadLine("“gold” names no pair; give “prefers”, for example [[0, 1]].")
    ties_allowed = value.get("ties_allowed") or False
    if not isinstance(ties_allowed, bool):
        raise BadLine("“ties_allowed” of “gold” must be true or false.")
    qualification = value.get("qualification") or False
    if not isinstance(qualification, bool):
        raise BadLine("“qualification” of “gold” must be true or false.")
    explanation = text_of(value, "explanation") or ""
    suspended = text_of(value, "suspended")
    return ImportedGold(prefers, equal, ties_allowed, explanation, qualification, suspended)


def _adjudication(value: Any, *, responses: int) -> ImportedAdjudication | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise BadLine(f"“adjudication” must be an object {{ranks, reason}}, not {kind(value)}.")
    reason = (text_of(value, "reason") or "").strip()
    if not reason or len(reason) > LONGEST_REASON:
        raise BadLine(
            f"“adjudication” needs a “reason”, a sentence of up to {LONGEST_REASON:,} characters."
        )
    where = "The adjudication"
    return ImportedAdjudication(
        ranks=ranks_of(value.get("ranks"), where=where, responses=responses),
        reason=reason,
        created_at=moment_of(value.get("created_at"), where=where),
    )


def _pairs(value: Any, *, name: str, responses: int) -> list[list[int]]:
    pairs = value if value is not None else []
    if not isinstance(pairs, list):
        raise BadLine(f"“{name}” of “gold” must be a list of pairs, not {kind(pairs)}.")
    for pair in pairs:
        is_pair = isinstance(pair, list) and len(pair) == 2 and pair[0] != pair[1]
        if not is_pair or any(type(n) is not int or not 0 <= n < responses for n in pair):
            raise BadLine(
                f"“{name}” of “gold” has {pair!r}; each pair needs two different numbers from 0 "
                f"to {responses - 1}, which count the responses from 0."
            )
    return pairs


def _annotations(value: Any, *, responses: int) -> list[ImportedAnnotation]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadLine(f"“annotations” must be a list, not {kind(value)}.")
    if len(value) > MAX_ANNOTATIONS:
        raise BadLine(
            f"This line has {len(value):,} annotations, and {MAX_ANNOTATIONS:,} are allowed. Put "
            "the others on lines of their own, with the same prompt and responses."
        )
    return [
        _annotation(item, where=f"annotation {number}", responses=responses)
        for number, item in enumerate(value, 1)
    ]


def _annotation(item: Any, *, where: str, responses: int) -> ImportedAnnotation:
    if not isinstance(item, dict):
        raise BadLine(f"{where} must be an object {{annotator, ranks}}, not {kind(item)}.")
    name = identifier_of(item, "annotator")
    name = " ".join(name.split()) if name else None
    if not name:
        raise BadLine(f"{where} needs an “annotator”: a name, or a source such as dataset:mine.")
    if len(name) > MAX_NAME:
        raise BadLine(f"{where} has an annotator's name of more than {MAX_NAME} characters.")
    ranks = ranks_of(item.get("ranks"), where=where, responses=responses)
    said: dict[str, Any] = {}
    meta: dict[str, Any] = {}
    for key, value in item.items():  # few have more than the two
        if value is not None and key not in NEEDED:
            if key in PARTS:
                said[key] = PARTS[key](value, where, ranks)
            else:
                meta[key] = value
    return ImportedAnnotation(annotator=name, ranks=ranks, meta=meta, **said)


def _version(value: Any, *, where: str) -> int:
    if type(value) is int and 1 <= value <= LONGEST:
        return value
    raise BadLine(f"“guidelines_version” of {where} must be a whole number from 1 on.")


def _times(value: Any, *, where: str) -> dict[str, int]:
    """How long it took: milliseconds of the clock, with the page in view, and of activity."""
    if not isinstance(value, dict) or not value.keys() <= set(TIMES):
        raise BadLine(f"“times” of {where} must be an object of {', '.join(TIMES)}.")
    times = {name: time for name, time in value.items() if time is not None}
    if any(type(time) is not int or not 0 <= time <= LONGEST for time in times.values()):
        raise BadLine(f"“times” of {where} must be whole milliseconds, from 0 to {LONGEST:,}.")
    return times


def _is_counted(value: Any, *, where: str) -> bool:
    if isinstance(value, bool):
        return value
    raise BadLine(f"“counted” of {where} must be true or false, not {kind(value)}.")


def _flags(value: Any, *, where: str, responses: int) -> list[list[str]]:
    """What was flagged in each response."""
    if not isinstance(value, list) or len(value) != responses:
        raise BadLine(
            f"{where} needs “flags” with one list per response ({responses}), such as "
            '[[], ["unsafe"]].'
        )
    for flags in value:
        is_list = isinstance(flags, list) and len(flags) <= MAX_FLAGS
        if not is_list or not all(isinstance(flag, str) for flag in flags):
            raise BadLine(f"{where} has the flags {flags!r}; write a list of texts per response.")
    return [sorted(set(flags)) for flags in value]


def ratings_of(value: Any, *, where: str, responses: int) -> dict[str, list[int | None]]:
    """By criterion, a whole number per response, or null for one that is not rated."""
    if not isinstance(value, dict) or len(value) > MAX_RATINGS:
        raise BadLine(
            f"{where} has “ratings” that are no object of up to {MAX_RATINGS} criteria; write "
            '{"clarity": [4, 2]}, with a number per response.'
        )
    ratings = {}
    for criterion, values in value.items():
        if not isinstance(values, list) or len(values) != responses:
            raise BadLine(
                f"{where} needs one rating of “{criterion[:80]}” per response ({responses}), null "
                "for one that is not rated."
            )
        if any(each is not None and not _is_whole(each) for each in values):
            raise BadLine(f"{where} has ratings {values!r}; use whole numbers, or null.")
        given = [None if each is None else int(each) for each in values]
        if any(each is not None for each in given):
            ratings[criterion] = given
    return ratings


def _is_whole(value: Any) -> bool:
    return type(value) in {int, float} and value == int(value)


def ranks_of(value: Any, *, where: str, responses: int) -> list[int]:
    """The rank of each response, with gaps after ties; any numbers in the right order will do."""
    if not isinstance(value, list) or len(value) != responses:
        raise BadLine(
            f"{where} needs “ranks” with one number per response ({responses}), 1 for the best."
        )
    if not all(type(rank) is int and rank >= 0 for rank in value) and any(
        type(rank) not in {int, float} or rank != int(rank) or rank < 0 for rank in value
    ):
        raise BadLine(f"{where} has ranks {value!r}; use whole numbers, 1 for the best.")
    return weak_order([int(rank) for rank in value])


def _strength(value: Any, *, ranks: list[int], where: str) -> int | None:
    is_tie = len(set(ranks)) == 1
    if is_tie and value == 0:
        return None
    if len(ranks) != 2:
        raise BadLine(f"{where} has a strength, which only two responses can have; remove it.")
    if type(value) not in {int, float} or value not in range(1, MAX_STRENGTH + 1):
        raise BadLine(f"{where} has the strength {value!r}; use a whole number from 1 to 4.")
    if is_tie:
        raise BadLine(f"{where} is a tie and has a strength of {value}; only one can be meant.")
    return int(value)


def moment_of(value: Any, *, where: str) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise BadLine(
            f"{where} has “created_at” {value!r}; write a time like 2026-05-19T13:11:45Z."
        ) from None
    if moment.year not in YEARS:
        raise BadLine(f"{where} has “created_at” {value!r}, a year in which nobody judged.")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


# What else is said of an annotation: by key, what reads it (value, where it stands, ranks).
PARTS: Mapping[str, Callable[[Any, str, list[int]], Any]] = {
    "strength": lambda value, where, ranks: _strength(value, ranks=ranks, where=where),
    "rationale": lambda value, _where, _ranks: text_of({"rationale": value}, "rationale"),
    "created_at": lambda value, where, _ranks: moment_of(value, where=where),
    "ratings": lambda value, where, ranks: ratings_of(value, where=where, responses=len(ranks)),
    "flags": lambda value, where, ranks: _flags(value, where=where, responses=len(ranks)),
    "rewrite": lambda value, _where, _ranks: text_of({"rewrite": value}, "rewrite"),
    "counted": lambda value, where, _ranks: _is_counted(value, where=where),
    "guidelines_version": lambda value, where, _ranks: _version(value, where=where),
    "times": lambda value, where, _ranks: _times(value, where=where),
}
ANNOTATION_KEYS = frozenset({*NEEDED, *PARTS})
