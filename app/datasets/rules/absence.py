"""Why a row is in one snapshot and not in another, as far as it can be known."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.datasets.rules.rows import ConfigName, Row

# `{there}` has the row, `{here}` does not.
REASONS = {
    "config": "{here} does not ask for this config",
    "new_prompt": "{here} does not have the prompt: it came later, or became a gold question",
    "judged_since": "judged after {here} was frozen",
    "erased": "its judgements were erased since",
    "revised": "its judgements were revised, and what stands now makes no such row",
    "requeued": "its judgements no longer count: others judge again, or they came too late",
    "guidelines_version": "{here} takes judgements under another version of the guidelines only",
    "before_since": "its judgements are older than {here} takes",
    "after_until": "its judgements are newer than {here} takes",
    "person_left_out": "who judged it is left out of {here}: by name, by an admin, or for gold",
    "too_few_judgements": "{here} asks for more judgements per task",
    "low_agreement": "{here} asks for more agreement",
    "pairs": "{here} takes other pairs of a ranking",
    "max_pairs_per_prompt": "{here} takes fewer comparisons per prompt",
    "ties": "{here} treats ties otherwise",
    "consensus": "{here} settles judgements by another method",
    "dedup": "{here} tells equal responses by another rule",
    "choice": "{here} chooses prompts, responses or tasks otherwise: see the recipe",
    "outvoted": "the judgements of {here} say something else: a tie, even votes, another order",
    "format": "the format cannot hold the row, or another row says the same",
    "unknown": "not known",
}

CHOICES = (
    "sources", "tags", "languages", "exclude_flags", "min_response_length", "people_only",
    "adjudicated_only", "near_duplicates",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fact:
    """What became of a judgement until now."""

    submitted_at: datetime
    guidelines_version: int
    is_current: bool
    counts: bool
    is_source: bool


@dataclass(frozen=True, slots=True)
class Side:
    """What a snapshot that lacks a row would have taken."""

    recipe: Mapping[str, Any]
    frozen_at: datetime
    annotators: frozenset[str]  # all pseudonyms and sources of its lineage
    configs: frozenset[ConfigName]


Entries = Sequence[Mapping[str, Any]]  # judgements as the lineage names them


def why_absent(
    config: ConfigName,
    row: Row,
    *,
    here: Side,
    there: Side,
    ours: Entries,
    theirs: Entries,
    facts: Mapping[str, Fact] | None,
) -> str:
    """A key of `REASONS`. `ours`, `theirs`: the judgements of the prompt here and there.

    facts: of the judgements that are not ours, by id; a missing one was erased. None where no
    database can be asked.
    """
    wanted = here.recipe.get("configs")
    if wanted is not None and config.value not in wanted:
        return "config"
    if config is ConfigName.PROMPTS:
        chosen = all(here.recipe.get(key) == there.recipe.get(key) for key in CHOICES)
        return "new_prompt" if chosen else "choice"
    known = {entry["id"] for entry in ours}
    missing = [entry for entry in theirs if entry["id"] not in known]
    reasons = Counter(
        reason for entry in missing if (reason := _why_not_taken(entry, here, facts)) is not None
    )
    left = len(theirs) - sum(reasons.values())
    if reasons and left == 0:
        return min(reasons, key=lambda reason: (-reasons[reason], reason))
    fewest = int(here.recipe.get("min_annotations") or 1)
    if (missing or not ours) and max(left, len(ours)) < fewest:
        return _strongest(reasons) or "too_few_judgements"
    if float(row.get("agreement") or 1.0) < float(here.recipe.get("min_agreement") or 0.0):
        return "low_agreement"
    if any(here.recipe.get(setting) != there.recipe.get(setting) for setting in CHOICES):
        return "choice"
    for setting in ("pairs", "max_pairs_per_prompt", "ties", "consensus", "dedup"):
        if here.recipe.get(setting) != there.recipe.get(setting):
            return setting
    if reasons:
        return _strongest(reasons) or "unknown"
    if known != {entry["id"] for entry in theirs}:
        return "outvoted"
    return "format" if config is ConfigName.HH_RLHF else "unknown"


def _strongest(reasons: Counter[str]) -> str | None:
    return min(reasons, key=lambda reason: (-reasons[reason], reason)) if reasons else None


def _why_not_taken(
    entry: Mapping[str, Any], here: Side, facts: Mapping[str, Fact] | None
) -> str | None:
    version = here.recipe.get("guidelines_version")
    if version is not None and entry.get("guidelines_version") != version:
        return "guidelines_version"
    if facts is not None:
        fact = facts.get(str(entry["id"]))
        if fact is None:
            return "erased"
        if fact.submitted_at > here.frozen_at:
            return "judged_since"
        since, until = (_moment(here.recipe.get(key)) for key in ("since", "until"))
        if since is not None and fact.submitted_at < since:
            return "before_since"
        if until is not None and fact.submitted_at >= until:
            return "after_until"
        if not fact.is_current:
            return "revised"
        if not fact.counts and not fact.is_source:
            return "requeued"
    if entry.get("annotator") not in here.annotators:
        return "person_left_out"
    return None


def _moment(value: Any) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else None
