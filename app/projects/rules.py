"""What a change of settings means."""

from collections.abc import Collection, Mapping
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


def alters_meaning(changed: Collection[str]) -> bool:
    """Whether judgements before and after the change answer different questions."""
    return not {*SCALE, "guidelines"}.isdisjoint(changed)


def audited(changed: Mapping[str, Any]) -> dict[str, Any]:
    """What the audit log keeps of a change; the guidelines' text has its own versions."""
    return {key: value for key, value in changed.items() if key != "guidelines"} | (
        {"guidelines": "new text"} if "guidelines" in changed else {}
    )
