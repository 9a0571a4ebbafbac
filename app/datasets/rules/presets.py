"""Recipes to begin with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Preset:
    """recipe: the settings that differ from the defaults."""

    key: str
    name: str
    about: str
    recipe: Mapping[str, Any]


PRESETS = (
    Preset(
        "reward",
        "Train a reward model",
        "Every comparison that a majority decides, with its votes as soft labels.",
        {},
    ),
    Preset(
        "dpo",
        "DPO, strict",
        "Only what two people or more agree on clearly, and one clear pair per task.",
        {
            "min_annotations": 2,
            "min_agreement": 0.75,
            "pairs": "best_worst",
            "max_pairs_per_prompt": 4,
            "dedup": "normalised",
        },
    ),
    Preset(
        "ranking",
        "K-wise ranking with ties",
        "Whole rankings, equals stay equal; for losses over all responses of a task.",
        {"ties": "keep", "weight_by": "prompt"},
    ),
)


def preset(key: str) -> Preset | None:
    return next((each for each in PRESETS if each.key == key), None)
