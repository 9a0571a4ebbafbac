"""The settings of a recipe in words, and what two recipes differ in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SETTINGS = {
    "min_annotations": "Judgements per task, at least",
    "min_agreement": "Agreement, at least",
    "consensus": "Several judgements become one by",
    "exclude_failed_gold": "People who fail gold are left out",
    "exclude_annotators": "People left out by name",
    "people_only": "Only what people judged",
    "adjudicated_only": "Only what a reviewer settled",
    "exclude_flags": "Responses left out by flag",
    "min_response_length": "Characters of a response, at least",
    "sources": "Sources of prompts",
    "tags": "Tags of prompts",
    "languages": "Languages of prompts",
    "guidelines_version": "Version of the guidelines",
    "since": "Judgements from",
    "until": "Judgements before",
    "pairs": "Pairs taken from a ranking",
    "ties": "Ties",
    "margin": "Margin",
    "max_pairs_per_prompt": "Comparisons per prompt, at most",
    "weight_by": "Weights add up to one for each",
    "dedup": "Equal responses are told by",
    "near_duplicates": "Prompts that are almost alike",
    "test_share": "Share for testing",
    "seed": "Seed",
    "format": "File format",
    "configs": "Configs",
    "license": "Licence",
}
_NOTHING = {
    "guidelines_version": "any",
    "since": "the beginning",
    "until": "no end",
    "max_pairs_per_prompt": "all",
    "configs": "all that have rows",
    "exclude_annotators": "nobody",
    "exclude_flags": "none",
    "sources": "all",
    "tags": "all",
    "languages": "all",
    "min_response_length": "any",
    "license": "not stated",
}
_WORDS = {
    "majority": "majority",
    "adjudicated_first": "adjudication, else majority",
    "dawid_skene": "Dawid–Skene",
    "best_worst": "best against worst",
    "adjacent": "neighbours",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of two recipes, in words."""

    key: str
    name: str
    before: str
    after: str


def in_words(key: str, value: Any) -> str:
    if value is None or value in ([], ()):
        return _NOTHING.get(key, "–")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if key == "exclude_annotators":
        return f"{len(value)} {'person' if len(value) == 1 else 'people'}"
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return _WORDS.get(str(value), str(value))


def changed_settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Setting]:
    """In the order of the editor; settings that only one version knows are shown as they are."""
    keys = [*SETTINGS, *sorted((before.keys() | after.keys()) - SETTINGS.keys())]
    found = []
    for key in keys:
        old, new = before.get(key), after.get(key)
        if old != new and not (key not in before and _is_default(new)):
            name = SETTINGS.get(key, key.replace("_", " ").capitalize())
            left, right = in_words(key, old), in_words(key, new)
            if left == right:  # as many people, but others
                right = f"{right}, others"
            found.append(Setting(key, name, left, right))
    return found


def _is_default(value: Any) -> bool:
    """Nothing asked for: what a setting that came later says by default."""
    return value in (None, [], False, "", "keep")
