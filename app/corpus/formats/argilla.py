"""`argilla`: records with the answers of people and the suggestions of models.

Shapes: records of Argilla 2 (`records.to_json`), the same flattened into columns (`to_datasets`),
and both as Argilla 1 wrote them. People are named by their ids; answers that were discarded or
are drafts still are passed over.
"""

from collections.abc import Mapping
from typing import Any

from app.corpus.formats.fields import Fields, fields_of, judgement_of
from app.corpus.formats.rows import BadLine, ImportedAnnotation, ImportedTask
from app.corpus.formats.values import (
    MAX_NAME,
    embedded,
    further_keys,
    identifier_of,
    kind,
    model_source,
    person_named,
    tags_of,
    text_of,
)

Row = Mapping[str, Any]
Answers = dict[str, dict[str, Any]]  # by annotator, then by question

SUGGESTED = "model:argilla-suggestion"  # who suggested, where the record does not say
SUBMITTED = (None, "submitted")
RECORD_KEYS = frozenset(
    {"id", "external_id", "fields", "responses", "suggestions", "metadata", "tags", "language"}
    | {"_server_id", "vectors"}
)


def is_argilla(row: Row) -> bool:
    if isinstance(row.get("fields"), dict):
        return not {"responses", "suggestions"}.isdisjoint(row)
    return "_server_id" in row or any(_question_of(key) is not None for key in row)


def _question_of(key: str) -> str | None:
    """The question that a column of a flattened record answers."""
    for end in (".responses", ".suggestion", "-suggestion"):
        if key.endswith(end) and len(key) > len(end):
            return key.removesuffix(end)
    return None


def parse_argilla(row: Row) -> ImportedTask:
    """A record of `argilla`."""
    if isinstance(row.get("fields"), dict):
        values, meta = row["fields"], further_keys(row, RECORD_KEYS)
        people, models = _nested_answers(row), _nested_suggestions(row)
        about = row.get("metadata")
        meta |= about if isinstance(about, dict) else {}
    else:
        values, people, models, meta = _flat(row)
    fields = fields_of(values)
    annotations, unordered = _judgements({**people, **models}, fields)
    if people and people.keys().isdisjoint(each.annotator for each in annotations):
        raise BadLine(
            "The answers of this record give the responses no order. Import knows a ranking, a "
            "label that names a response or a tie, and a rating for each response."
        )
    further = {key: value for key, value in values.items() if key not in fields.used}
    if unordered:
        meta["answers"] = unordered
    return ImportedTask(
        messages=fields.messages,
        system=fields.system,
        responses=fields.responses,
        annotations=annotations,
        external_id=identifier_of(row, "external_id") or identifier_of(row, "id"),
        tags=tags_of(row),
        language=text_of(row, "language"),
        meta={**further_keys(further, frozenset(values.keys() & meta.keys())), **meta},
    )


def _judgements(
    answers: Answers, fields: Fields
) -> tuple[list[ImportedAnnotation], list[dict[str, Any]]]:
    """The answers that give an order, and the others, without who gave them."""
    annotations, unordered = [], []
    for name, given in answers.items():
        ranks, rationale, rest = judgement_of(given, fields, where=name[:80])
        if ranks is None:
            unordered.append(given)
        else:
            annotations.append(
                ImportedAnnotation(annotator=name, ranks=ranks, rationale=rationale, meta=rest)
            )
    return annotations, unordered


def _nested_answers(row: Row) -> Answers:
    """`{question: [{value, user_id, status}]}`, or of Argilla 1 a list with `values` per person."""
    responses = row.get("responses") or {}
    answers: Answers = {}
    if isinstance(responses, dict):
        for question, given in responses.items():
            _add(answers, question, given)
        return answers
    if not isinstance(responses, list):
        raise BadLine(f"“responses” must be an object or a list, not {kind(responses)}.")
    for person in responses:
        if not isinstance(person, dict) or not isinstance(person.get("values"), dict):
            raise BadLine("Each of the “responses” needs “values” by question.")
        if person.get("status") in SUBMITTED:
            for question, given in person["values"].items():
                _add(answers, question, [{"user_id": person.get("user_id"), **_value(given)}])
    return answers


def _value(given: Any) -> dict[str, Any]:
    return given if isinstance(given, dict) and "value" in given else {"value": given}


def _add(answers: Answers, question: str, given: Any) -> None:
    """What people answered to a question, unless they discarded it."""
    for number, answer in enumerate(_as_rows(given), 1):
        if not isinstance(answer, dict):
            raise BadLine(f"The answers to “{question}” must be objects {{value, user_id}}.")
        if answer.get("status") in SUBMITTED and answer.get("value") is not None:
            name = person_named(answer.get("user_id")) or f"annotator {number}"
            answers.setdefault(name, {})[question] = _plain_value(answer["value"])


def _as_rows(given: Any) -> list[Any]:
    """Objects, also where a table has written them as an object of lists, or as JSON in a cell."""
    if isinstance(given, str):
        given = embedded(given)
    if isinstance(given, dict):
        columns = {key: value for key, value in given.items() if isinstance(value, list)}
        size = max(map(len, columns.values()), default=0)
        return [
            {key: value[place] for key, value in columns.items() if place < len(value)}
            for place in range(size)
        ]
    return given if isinstance(given, list) else []


def _plain_value(value: Any) -> Any:
    """A ranking as `[{value, rank}]`, whichever way round it was written."""
    if isinstance(value, dict) and {"value", "rank"} <= value.keys():
        return _as_rows(value)
    return value


def _nested_suggestions(row: Row) -> Answers:
    suggestions = row.get("suggestions") or {}
    listed = (
        [{"question_name": name, **_value(given)} for name, given in suggestions.items()]
        if isinstance(suggestions, dict)
        else suggestions
    )
    answers: Answers = {}
    for each in listed if isinstance(listed, list) else []:
        if isinstance(each, dict) and each.get("value") is not None:
            name = _agent(each.get("agent"))
            answers.setdefault(name, {})[str(each.get("question_name"))] = _plain_value(
                each["value"]
            )
    return answers


def _agent(name: Any) -> str:
    return (model_source(name) or SUGGESTED)[:MAX_NAME]


def _flat(row: Row) -> tuple[dict[str, Any], Answers, Answers, dict[str, Any]]:
    """Fields, answers, suggestions and the rest of a record that was flattened into columns."""
    questions = {name for key in row if (name := _question_of(key)) is not None}
    people: Answers = {}
    models: Answers = {}
    known = {"id", "external_id", "status", "_server_id", "tags", "language"}
    for question in questions:
        values = row.get(f"{question}.responses")
        if isinstance(values, list):
            _add(people, question, _zipped(row, question, values))
        elif row.get(question) is not None:  # Argilla 1: the answers have the question's own name
            _add(people, question, row[question])
        for end, about in ((".suggestion", ".suggestion.agent"), ("-suggestion", None)):
            if row.get(question + end) is not None:
                agent = row.get(question + about) if about else _old_agent(row, question)
                value = _plain_value(row[question + end])
                models.setdefault(_agent(agent), {})[question] = value
        known |= {key for key in row if _belongs(key, question)}
    values = {key: value for key, value in row.items() if key not in known and value is not None}
    status = {"status": row["status"]} if row.get("status") is not None else {}
    return values, people, models, status


def _zipped(row: Row, question: str, values: list[Any]) -> list[dict[str, Any]]:
    """Answers, users and states stand in three lists of one length."""
    users, states = (row.get(f"{question}.responses.{each}") for each in ("users", "status"))
    columns = {"value": values, "user_id": users, "status": states}
    return _as_rows({key: value for key, value in columns.items() if isinstance(value, list)})


def _old_agent(row: Row, question: str) -> Any:
    about = row.get(f"{question}-suggestion-metadata")
    return about.get("agent") if isinstance(about, dict) else None


def _belongs(key: str, question: str) -> bool:
    rest = key.removeprefix(question)
    return key == question or (
        rest != key and rest.startswith((".responses", ".suggestion", "-suggestion"))
    )
