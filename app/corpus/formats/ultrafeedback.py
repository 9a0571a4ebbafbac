"""`ultrafeedback` (Cui et al. 2023): an instruction, and completions that a model has rated.

One task of all completions, ranked by `overall_score`, else by `fine-grained_score`. The pairs
that others made of it, with `chosen` and `rejected`, are `trl`.
"""

from collections.abc import Mapping
from typing import Any

from app.corpus.formats.rows import BadLine, ImportedAnnotation, ImportedResponse, ImportedTask
from app.corpus.formats.values import (
    check_responses,
    further_keys,
    identifier_of,
    kind,
    model_source,
    needed_text,
    number_of,
    opened,
    ranks_by_score,
    tags_of,
    text_of,
)

JUDGE = "dataset:ultrafeedback"
SCORES = ("overall_score", "fine-grained_score")
# The names of the models stand at their completions, too.
KEYS = frozenset({"id", "instruction", "completions", "source", "tags", "language", "models"})
COMPLETION_KEYS = frozenset({"response", "model"})


def is_ultrafeedback(row: Mapping[str, Any]) -> bool:
    listed = row.get("completions")
    if "instruction" not in row or not isinstance(listed, list):
        return False
    return not listed or (isinstance(listed[0], dict) and "response" in listed[0])


def parse_ultrafeedback(row: Mapping[str, Any]) -> ImportedTask:
    """A line of `ultrafeedback`."""
    instruction = needed_text(row, "instruction")
    listed = row.get("completions")
    if not isinstance(listed, list):
        raise BadLine(f"“completions” must be a list of completions, not {kind(listed)}.")
    messages, system = opened([{"role": "user", "content": instruction}], system=None)
    responses = [_response(item, number=number) for number, item in enumerate(listed, 1)]
    check_responses(responses)
    ranks = _ranks(listed)
    return ImportedTask(
        messages=messages,
        system=system,
        responses=responses,
        annotations=[ImportedAnnotation(annotator=JUDGE, ranks=ranks)] if ranks else [],
        external_id=identifier_of(row, "id"),
        source=text_of(row, "source"),
        tags=tags_of(row),
        language=text_of(row, "language"),
        meta=further_keys(row, KEYS),
    )


def _response(item: Any, *, number: int) -> ImportedResponse:
    if not isinstance(item, dict) or not isinstance(item.get("response"), str):
        raise BadLine(f"Completion {number} needs a “response” that is a text.")
    return ImportedResponse(
        text=item["response"],
        source=model_source(item.get("model")),
        meta=further_keys(item, COMPLETION_KEYS),
    )


def _ranks(completions: list[dict[str, Any]]) -> list[int] | None:
    """By the first score that all completions have; None where there is no such score."""
    for key in SCORES:
        scores = [number_of(item, key) for item in completions]
        known = [score for score in scores if score is not None]
        if len(known) == len(completions):
            return ranks_by_score(known)
    return None
