"""What a person should know of a dataset before she trains on it, each in a sentence."""

from collections.abc import Mapping
from typing import Any

LOW_ALPHA = 0.2
MOST_OF_ALL = 0.8  # judgements by one person
DOMINATING = 0.2  # of the comparisons, from one prompt in a hundred
_FEWEST = 20  # judgements or prompts, below which a share says nothing


def warnings(
    counts: Mapping[str, Any],
    quality: Mapping[str, Any],
    *,
    recipe: Mapping[str, Any],
    open_tasks: int = 0,
) -> list[str]:
    """The gravest first."""
    found = [
        _nothing(counts),
        _split(counts, recipe),
        _alpha(quality),
        _one_person(quality),
        _one_prompt(counts, recipe),
        _near(counts),
        _margin(counts, recipe),
        _open(open_tasks),
    ]
    return [sentence for sentence in found if sentence]


def _nothing(counts: Mapping[str, Any]) -> str | None:
    if counts["comparisons"]["included"]:
        return None
    return (
        "There is no comparison: neither a reward model on pairs nor DPO can be trained on this."
        " Below it says what is left out, and why."
    )


def _split(counts: Mapping[str, Any], recipe: Mapping[str, Any]) -> str | None:
    rows = counts["rows"].get("preference")
    if not rows:
        return None
    if not rows["test"]:
        return (
            "No comparison is kept for testing, so nothing will say how well a model does on"
            f" prompts it has not seen. {_SHARE if not recipe['test_share'] else _FEW}"
        )
    if not rows["train"]:
        return f"Every comparison is kept for testing: there is none to train on. {_FEW}"
    return None


_SHARE = "Raise the share for testing."
_FEW = "Judge more prompts, or take another share or seed."


def _alpha(quality: Mapping[str, Any]) -> str | None:
    alpha = quality["krippendorff_alpha"]["value"]
    if quality["n_annotations"] and quality["percent_agreement"]["value"] is None:
        return "Nobody can say how far people agree: no task was judged by two of them."
    if alpha is not None and alpha < LOW_ALPHA:
        return (
            f"Krippendorff's alpha is {alpha:.2f}, little better than chance: look at the"
            " guidelines and at who disagrees before you train on this."
        )
    return None


def _one_person(quality: Mapping[str, Any]) -> str | None:
    spread, everybody = quality["annotations_per_annotator"], quality["n_annotations"]
    if not spread or everybody < _FEWEST or quality["n_annotators"] < 2:
        return None
    share = spread["max"] / everybody
    if share < MOST_OF_ALL:
        return None
    return f"One person gave {100 * share:.0f} % of the judgements: the dataset is her opinion."


def _one_prompt(counts: Mapping[str, Any], recipe: Mapping[str, Any]) -> str | None:
    bars = counts["comparisons"].get("per_prompt", [])
    prompts = sum(bar["prompts"] for bar in bars)
    whole = sum(bar["comparisons"] for bar in bars)
    if prompts < _FEWEST or recipe.get("weight_by") == "prompt":
        return None
    few, theirs = 0, 0
    for bar in reversed(bars):
        if few + bar["prompts"] > max(1, prompts / 50):
            break
        few, theirs = few + bar["prompts"], theirs + bar["comparisons"]
    if not few or theirs < DOMINATING * whole:
        return None
    return (
        f"{few:,} of {prompts:,} prompts give{'s' if few == 1 else ''} {100 * theirs / whole:.0f} %"
        " of the comparisons. Cap the comparisons per prompt, or let weights sum to one per prompt."
    )


def _near(counts: Mapping[str, Any]) -> str | None:
    groups = (counts.get("near_copies") or {}).get("on_both_sides")
    if not groups:
        return None
    return (
        f"{groups:,} group{' of prompts that begin' if groups == 1 else 's of prompts that begin'}"
        f" almost alike stand{'s' if groups == 1 else ''} on both sides of the split, so that the"
        " test is easier than it looks. Keep near-copies on one side, or leave all but one out."
    )


def _margin(counts: Mapping[str, Any], recipe: Mapping[str, Any]) -> str | None:
    if recipe["margin"] == "strength" and counts["comparisons"].get("without_strength"):
        number = counts["comparisons"]["without_strength"]
        return (
            f"{number:,} comparison{' has' if number == 1 else 's have'} a margin of 0, because"
            " nobody said how much better the chosen response is."
        )
    return None


def _open(open_tasks: int) -> str | None:
    if not open_tasks:
        return None
    return f"{open_tasks:,} task{' is' if open_tasks == 1 else 's are'} still open."
