"""`label-studio`: tasks with the annotations of people and the predictions of models.

Shapes: the export JSON, and JSON_MIN, where a row is one annotation. Known results are `pairwise`,
`ranker`, `choices` that name a response or a tie, and a `rating` of each response.
"""

from collections.abc import Mapping
from typing import Any

from app.corpus.formats.fields import Fields, fields_of, judgement_of
from app.corpus.formats.rows import BadLine, ImportedAnnotation, ImportedTask
from app.corpus.formats.touchstone import moment_of
from app.corpus.formats.values import (
    MAX_NAME,
    further_keys,
    identifier_of,
    is_true,
    model_source,
    number_of,
    person_named,
    tags_of,
    text_of,
)

Row = Mapping[str, Any]

PREDICTED = "model:label-studio"  # who predicted, where the export does not say
TASK_KEYS = frozenset({"id", "data", "annotations", "predictions", "drafts", "completions"})
# Known, or a copy of what stands elsewhere; names and numbers of people are not metadata.
ABOUT_ANNOTATION = frozenset(
    {"id", "completed_by", "result", "was_cancelled", "created_at", "updated_at", "created_ago"}
    | {"task", "project", "model_version", "result_count", "unique_id", "import_id"}
    | {"created_username", "updated_by", "last_created_by", "reviews"}
)
ABOUT_MIN = frozenset({"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time"})
VALUES = ("selected", "choices", "ranker", "rating", "number", "text")


def is_label_studio(row: Row) -> bool:
    if isinstance(row.get("data"), dict):
        return not {"annotations", "predictions", "completions"}.isdisjoint(row)
    return {"annotation_id", "annotator", "lead_time"} <= row.keys()


def parse_label_studio(row: Row) -> ImportedTask:
    """A task of `label-studio`, or a row of JSON_MIN."""
    if not isinstance(row.get("data"), dict):
        return _parse_min(row)
    data = row["data"]
    fields = fields_of(data)
    given = row.get("annotations") or row.get("completions") or []
    annotations = [
        _annotation(item, fields, name=_person(item), where=f"annotation {number}")
        for number, item in enumerate(_objects(given, key="annotations"), 1)
        if not is_true(item.get("was_cancelled"))
    ]
    predictions, unordered = _predictions(row, fields)
    return ImportedTask(
        messages=fields.messages,
        system=fields.system,
        responses=fields.responses,
        annotations=[*annotations, *predictions],
        external_id=identifier_of(row, "id"),
        tags=tags_of(data),
        language=text_of(data, "language"),
        meta={
            **({"predictions": unordered} if unordered else {}),
            **further_keys(row, TASK_KEYS),
            **further_keys(data, frozenset(fields.used | {"tags", "language"})),
        },
    )


def _parse_min(row: Row) -> ImportedTask:
    """One annotation with the data of its task beside it."""
    data = {key: value for key, value in row.items() if key not in ABOUT_MIN}
    fields = fields_of(data)
    answers = {name: _simplified(value) for name, value in data.items() if name not in fields.used}
    ranks, rationale, rest = judgement_of(answers, fields, where="the row")
    if ranks is None:
        raise BadLine(NO_ORDER.format(where="The row"))
    lead_time = number_of(row, "lead_time")
    annotation = ImportedAnnotation(
        annotator=_person({"completed_by": row.get("annotator")}),
        ranks=ranks,
        rationale=rationale,
        created_at=moment_of(row.get("created_at"), where="the row"),
        meta={} if lead_time is None else {"lead_time": lead_time},
    )
    return ImportedTask(
        messages=fields.messages,
        system=fields.system,
        responses=fields.responses,
        annotations=[annotation],
        external_id=identifier_of(row, "id"),
        meta={key: value for key, value in data.items() if key in rest},
    )


NO_ORDER = (
    "{where} gives the responses no order. Import knows the results “pairwise”, “ranker”, "
    "“choices” that name a response or a tie, and a “rating” of each response."
)


def _objects(value: Any, *, key: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BadLine(f"“{key}” must be a list of objects. Export with all annotations as JSON.")
    return value


def _person(item: Row) -> str:
    """Who annotated: a name or address where the export has one, else the number."""
    who = item.get("completed_by")
    if isinstance(who, dict):
        named = " ".join(str(who[key]) for key in ("first_name", "last_name") if who.get(key))
        who = who.get("email") or who.get("username") or named or who.get("id")
    name = person_named(who)
    return f"user {name}" if name and name.isdecimal() else name or "unknown annotator"


def _annotation(item: Row, fields: Fields, *, name: str, where: str) -> ImportedAnnotation:
    ranks, rationale, rest = judgement_of(_answers(item, fields), fields, where=where)
    if ranks is None:
        raise BadLine(NO_ORDER.format(where=where.capitalize()))
    return ImportedAnnotation(
        annotator=name,
        ranks=ranks,
        rationale=rationale,
        created_at=moment_of(item.get("created_at"), where=where),
        meta={**rest, **further_keys(item, ABOUT_ANNOTATION)},
    )


def _predictions(row: Row, fields: Fields) -> tuple[list[ImportedAnnotation], list[dict[str, Any]]]:
    """What models predicted: orders of the responses, and anything else as it is."""
    ordered, others = [], []
    for item in _objects(row.get("predictions") or [], key="predictions"):
        ranks, rationale, rest = judgement_of(_answers(item, fields), fields, where="a prediction")
        if ranks is None:
            others.append(item)
            continue
        name = (model_source(item.get("model_version")) or PREDICTED)[:MAX_NAME]
        meta = {**rest, **further_keys(item, ABOUT_ANNOTATION)}
        ordered.append(
            ImportedAnnotation(annotator=name, ranks=ranks, rationale=rationale, meta=meta)
        )
    return ordered, others


def _answers(item: Row, fields: Fields) -> dict[str, Any]:
    """What was answered, by the name of the control that asked."""
    answers: dict[str, Any] = {}
    for result in _objects(item.get("result") or [], key="result"):
        value = result.get("value")
        if not isinstance(value, dict):
            continue
        question = str(result.get("from_name") or result.get("type") or "answer")
        if result.get("type") == "rating" and isinstance(result.get("to_name"), str):
            question = f"{question} {result['to_name']}"  # which response it rates
        answers[question] = _sided(result, value, fields)
    return answers


def _sided(result: Row, value: dict[str, Any], fields: Fields) -> Any:
    """A pairwise result by the names it compares, so that `left` is the one that stood left."""
    simple = _simplified(value)
    compared = result.get("to_name")
    if result.get("type") == "pairwise" and isinstance(compared, str) and "," in compared:
        first, second = (fields.place(name.strip()) for name in compared.split(",", 1))
        if simple in ("left", "right") and {first, second} == {0, 1}:
            return "left" if (simple == "left") == (first == 0) else "right"
    return simple


def _simplified(value: Any) -> Any:
    """What was answered, without the wrapping: a text, a number or an order of names."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        return value
    for key in VALUES:
        if key in value:
            inner = value[key]
            if key == "ranker" and isinstance(inner, dict):
                inner = _only_order(inner)
            return inner[0] if isinstance(inner, list) and len(inner) == 1 else inner
    return None


def _only_order(buckets: dict[str, Any]) -> Any:
    """The ranker's one list; several buckets are groups and have no order of their own."""
    lists = {name: ids for name, ids in buckets.items() if name != "_" and ids}
    if len(lists) != 1:
        raise BadLine(
            "The ranker has sorted the responses into buckets, and which bucket is better is not "
            "in the export. Only one ranked list can be imported."
        )
    (order,) = lists.values()
    return order
