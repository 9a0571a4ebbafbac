"""Examples of the guidelines as the editor's form has them, on the way in and out."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from app.db import JsonObject
from app.errors import Invalid
from app.projects import rules
from app.projects.schemas import Example
from app.web.text import order_in_words

FIELD = re.compile(r"example-(?P<number>\d{1,3})-(?P<name>prompt|response|order|why|kind|task|out)")
EMPTY: JsonObject = {
    "prompt": "", "responses": [], "order": "", "why": "", "kind": "good", "task_id": None,
}  # fmt: skip


def as_written(example: Mapping[str, Any]) -> JsonObject:
    """An example of a version as the form has it: its ranks in words."""
    written = {name: value for name, value in example.items() if name != "ranks"}
    return {**EMPTY, **written, "order": order_in_words(example["ranks"])}


def examples_of_form(fields: Iterable[tuple[str, Any]]) -> list[JsonObject] | None:
    """What the fields of a form say, finished or not; what is empty or left out is gone.

    A page that only carries examples on has them in one field, as JSON. None: a form without any,
    not even the mark of the editor that it has shown them all.
    """
    found: dict[int, JsonObject] = {}
    is_said = False
    for key, value in fields:
        text = str(value).replace("\r\n", "\n")
        if key == "examples" and text:
            return _carried(text)
        is_said = is_said or key == "examples_shown"
        match = FIELD.fullmatch(key)
        if match is None:
            continue
        example = found.setdefault(int(match["number"]), {**EMPTY, "responses": []})
        match match["name"]:
            case "response":
                if text.strip():
                    example["responses"].append(text)
            case "task":
                example["task_id"] = text or None
            case name:
                example[name] = text
    if not found and not is_said:
        return None
    return [
        {name: value for name, value in example.items() if name != "out"}
        for _, example in sorted(found.items())
        if "out" not in example
        and (example["prompt"].strip() or example["responses"] or example["why"].strip())
    ]


def _carried(text: str) -> list[JsonObject]:
    try:
        carried = json.loads(text)
    except ValueError:
        carried = None
    if not isinstance(carried, list) or not all(isinstance(each, dict) for each in carried):
        raise Invalid("The examples cannot be read. Go back to the editor and save them again.")
    return [{**EMPTY, **{name: each[name] for name in EMPTY if name in each}} for each in carried]


def examples_from_written(written: Sequence[Mapping[str, Any]]) -> list[Example]:
    """Examples as a version keeps them. Raises `Invalid` with a sentence that names the one."""
    examples = []
    for number, each in enumerate(written, start=1):
        about = f"Example {number}"
        if not str(each["prompt"]).strip():
            raise Invalid(f"{about} has no prompt. Write what was asked, or leave the example out.")
        if len(each["responses"]) < 2:
            raise Invalid(f"{about} needs at least two responses to compare.")
        try:
            ranks = rules.ranks_from_words(each["order"], size=len(each["responses"]))
        except ValueError as error:
            raise Invalid(f"The order in {about[0].lower()}{about[1:]}: {error}") from error
        fields = {name: value for name, value in each.items() if name != "order"}
        try:
            examples.append(Example.model_validate({**fields, "ranks": ranks}))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise Invalid(f"{about}, {where}: {first['msg']}.") from error
    if len(examples) > rules.MOST_EXAMPLES:
        raise Invalid(
            f"{len(examples)} examples are too many: {rules.MOST_EXAMPLES} are the most that "
            "guidelines can have."
        )
    return examples
