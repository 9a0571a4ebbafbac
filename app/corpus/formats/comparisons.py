"""Pairs whose two answers have names of their own: `shp`, `webgpt` and `pku-saferlhf`."""

from collections.abc import Mapping
from typing import Any

from app.corpus.formats.rows import BadLine, ImportedAnnotation, ImportedResponse, ImportedTask
from app.corpus.formats.values import (
    check_responses,
    further_keys,
    identifier_of,
    is_true,
    kind,
    model_source,
    needed_text,
    number_of,
    opened,
    ranks_by_score,
    tags_of,
    text_of,
)

Row = Mapping[str, Any]

SHP_KEYS = frozenset({"post_id", "domain", "history", "labels"})
ABOUT = frozenset({"id", "tags", "language"})


def is_shp(row: Row) -> bool:
    return {"history", "human_ref_A", "human_ref_B"} <= row.keys()


def parse_shp(row: Row) -> ImportedTask:
    """A line of `shp` (Ethayarajh et al. 2022): a post and two comments, `labels` 1 for the first.

    What the row says of a side, as `score_A`, stays with that response; the domain is a tag.
    """
    history = needed_text(row, "history")
    label = number_of(row, "labels")
    if label not in {0, 1}:
        raise BadLine("“labels” must be 1 where “human_ref_A” was preferred, else 0.")
    domain = text_of(row, "domain")
    sides = [_side(row, text=f"human_ref_{side}", end=f"_{side}") for side in "AB"]
    return _pair(
        row,
        prompt=history,
        responses=[response for response, _ in sides],
        ranks=[1, 2] if label else [2, 1],
        judge="dataset:shp",
        known=SHP_KEYS.union(*(keys for _, keys in sides)),
        external_id=identifier_of(row, "post_id"),
        tags=[domain] if domain else [],
    )


def is_webgpt(row: Row) -> bool:
    return {"question", "answer_0", "answer_1"} <= row.keys()


def parse_webgpt(row: Row) -> ImportedTask:
    """A line of `webgpt` (Nakano et al. 2021): equal scores are a tie.

    Quotes, tokens and scores stay with their answers; the data set of the question is its source.
    """
    question = row.get("question")
    about: dict[str, Any] = {}
    if isinstance(question, dict):
        about, question = question, question.get("full_text")
    if not isinstance(question, str):
        raise BadLine(f"“question” needs a text as “full_text”, not {kind(question)}.")
    scores = [number_of(row, f"score_{side}") for side in "01"]
    known = [score for score in scores if score is not None]
    if len(known) == 1:
        raise BadLine("Only one of “score_0” and “score_1” is there; give both, or none.")
    sides = [_side(row, text=f"answer_{side}", end=f"_{side}") for side in "01"]
    return _pair(
        row,
        prompt=question,
        responses=[response for response, _ in sides],
        ranks=ranks_by_score(known) if known else None,
        judge="dataset:webgpt",
        known=frozenset({"question"}).union(*(keys for _, keys in sides)),
        external_id=identifier_of(about, "id"),
        source=text_of(about, "dataset"),
        meta=further_keys(about, frozenset({"full_text", "id", "dataset"})),
    )


def is_pku(row: Row) -> bool:
    keys = row.keys()
    return {"response_0", "response_1"} <= keys and not {
        "better_response_id",
        "safer_response_id",
    }.isdisjoint(keys)


def parse_pku(row: Row) -> ImportedTask:
    """A line of `pku-saferlhf` (Ji et al. 2023): which answer helps more is the judgement.

    Which one is safer is another question, so it is no second judgement of the same task: it stays
    as metadata, `safer` at the response, beside whether each is safe, how severe and what harm.
    """
    prompt = needed_text(row, "prompt")
    better, safer = _place(row, "better_response_id"), _place(row, "safer_response_id")
    responses, known = [], {"prompt", "better_response_id", "safer_response_id", "prompt_source"}
    for place in (0, 1):
        response, keys = _side(row, text=f"response_{place}", start=f"response_{place}_")
        known |= keys | {f"is_response_{place}_safe"}
        meta = {key: value for key, value in response.meta.items() if key != "source"}
        safe = row.get(f"is_response_{place}_safe")
        if safe is not None:
            meta["safe"] = is_true(safe)
        if safer is not None:
            meta["safer"] = place == safer
        source = model_source(response.meta.get("source"))
        responses.append(ImportedResponse(response.text, source=source, meta=meta))
    ranks = None if better is None else [1 + (place != better) for place in (0, 1)]
    return _pair(
        row,
        prompt=prompt,
        responses=responses,
        ranks=ranks,
        judge="dataset:pku-saferlhf",
        known=frozenset(known),
        source=text_of(row, "prompt_source"),
    )


def _place(row: Row, key: str) -> int | None:
    value = number_of(row, key)
    if value is None:
        return None
    if value not in {0, 1}:
        raise BadLine(f"“{key}” must be 0 or 1, the number of the response, not {value:g}.")
    return int(value)


def _side(
    row: Row, *, text: str, start: str | None = None, end: str | None = None
) -> tuple[ImportedResponse, frozenset[str]]:
    """A response with what the row says of its side alone, and the keys of all that."""
    keys = {text}
    meta = {}
    for key, value in row.items():
        if key == text:
            continue
        if start is not None and key.startswith(start):
            name = key.removeprefix(start)
        elif end is not None and key.endswith(end):
            name = key.removesuffix(end)
        else:
            continue
        keys.add(key)
        if value is not None:
            meta[name] = value
    return ImportedResponse(needed_text(row, text), meta=meta), frozenset(keys)


def _pair(
    row: Row,
    *,
    prompt: str,
    responses: list[ImportedResponse],
    ranks: list[int] | None,
    judge: str,
    known: frozenset[str],
    external_id: str | None = None,
    source: str | None = None,
    tags: list[str] | None = None,
    meta: dict[str, Any] | None = None,
) -> ImportedTask:
    messages, system = opened([{"role": "user", "content": prompt}], system=None)
    check_responses(responses)
    return ImportedTask(
        messages=messages,
        system=system,
        responses=responses,
        annotations=[ImportedAnnotation(annotator=judge, ranks=ranks)] if ranks else [],
        external_id=external_id or identifier_of(row, "id"),
        source=source,
        tags=[*(tags or []), *tags_of(row)],
        language=text_of(row, "language"),
        meta={**(meta or {}), **further_keys(row, known | ABOUT)},
    )
