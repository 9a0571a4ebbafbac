"""What a change of settings means, and what new guidelines start from."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

# The form of a judgement: what annotators are asked and may answer.
SCALE = ("criteria", "strength_levels", "allow_ties")

SETTINGS = (
    "name",
    "description",
    *SCALE,
    "overlap_min",
    "overlap_max",
    "overlap_confidence",
    "gold_rate",
    "gold_threshold",
    "lease_minutes",
    "guidelines",
    "paused",
)


STARTER_GUIDELINES = """\
## What you do

You see a prompt and two or more responses. Decide which response serves the person who wrote the
prompt best, and put them in order. Judge what is written, not how long it is.

## What counts, in this order

1. **Safe**: it does not help anybody to harm people.
2. **True**: what it states is right; where it is unsure, it says so.
3. **Helpful**: it answers what was asked, completely, in the form that was asked for.
4. **Clear**: it is easy to read, without padding.

## When it is close

- A small mistake in an answer that helps weighs less than a flawless answer to another question.
- Two responses are a **tie** only when you could not defend either order.
- Say in the rationale what decided it; one sentence is enough.

## When you cannot judge

Skip the task and give the reason: you lack the knowledge, the language, or the prompt is unclear.
Skipping costs you nothing.
"""


def alters_meaning(changed: Collection[str]) -> bool:
    """Whether judgements before and after the change answer different questions."""
    return not {*SCALE, "guidelines"}.isdisjoint(changed)


def scale_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What annotators are asked that they were not asked before, or no longer, in sentences."""
    if not before or not after:
        return []  # a version from before scales were kept
    told = []
    if before["allow_ties"] != after["allow_ties"]:
        told.append(
            "Ties are allowed now." if after["allow_ties"] else "Ties are no longer allowed."
        )
    levels = after["strength_levels"]
    if before["strength_levels"] != levels:
        told.append(
            f"How much better a response is, you say in {levels} steps now."
            if levels
            else "You no longer say how much better a response is."
        )
    old = {each["key"]: each for each in before["criteria"]}
    new = {each["key"]: each for each in after["criteria"]}
    told += [f"You no longer rate {old[key]['label']}." for key in old if key not in new]
    told += [
        f"You rate {each['label']} from {each['min']} to {each['max']}."
        for key, each in new.items()
        if each != old.get(key)
    ]
    return told


def audited(changed: Mapping[str, Any]) -> dict[str, Any]:
    """What the audit log keeps of a change; the guidelines' text has its own versions."""
    return {key: value for key, value in changed.items() if key != "guidelines"} | (
        {"guidelines": "new text"} if "guidelines" in changed else {}
    )


CRITERION_LINE = re.compile(
    r"^(?P<label>[^:]+?)\s*(?::\s*(?P<min>-?\d+)\s*(?:-|–|to)\s*(?P<max>-?\d+))?$"
)


def criteria_from_text(text: str) -> list[dict[str, Any]]:
    """Criteria as people type them: a line each, `Label` or `Label: 1-5`.

    Raises ValueError with a sentence that quotes the line.
    """
    criteria = []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        match = CRITERION_LINE.match(line)
        key = re.sub(r"[^a-z0-9]+", "_", line.split(":")[0].lower()).strip("_")[:40]
        if match is None or not key[:1].isalpha():
            raise ValueError(
                f"“{line}” is no criterion: write its name, and its scale behind a colon if it is "
                "not 1-5, for instance “Helpfulness: 1-7”."
            )
        criteria.append(
            {
                "key": key,
                "label": match["label"].strip(),
                "min": int(match["min"] or 1),
                "max": int(match["max"] or 5),
            }
        )
    return criteria


def criteria_as_text(criteria: Iterable[Mapping[str, Any]]) -> str:
    """What `criteria_from_text` reads back."""
    return "\n".join(f"{item['label']}: {item['min']}-{item['max']}" for item in criteria)
