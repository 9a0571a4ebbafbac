"""What was taken into a snapshot and what was not, each with a reason in words."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from app.datasets.rules.identity import Split
from app.datasets.rules.origins import named
from app.datasets.rules.rows import ConfigName, PromptRows
from app.datasets.rules.transcripts import REFUSAL_TEXTS

REASONS = {
    # of judgements
    "failed_gold": "by people who fail gold questions",
    "kept_out_annotator": "by people whom an admin keeps out of snapshots",
    "excluded_annotator": "by people the recipe leaves out",
    "guidelines_version": "made under another version of the guidelines",
    "before_since": "from before the recipe's first moment",
    "after_until": "from after the recipe's last moment",
    "repeat": "that are silent repeats: they measure a person, not a response",
    "surplus": "that came late, when the task had all it wanted",
    "requeued": "whose tasks an admin gave to others to judge again",
    "person_judged": "that came with the data, where people judged as well",
    "source": "that came with the data: the recipe takes those of people alone",
    "task_left_out": "on tasks that were left out",
    # of tasks
    "other_prompt": "of prompts that the recipe leaves out",
    "too_few_responses": "with fewer than two responses that the recipe takes",
    "not_adjudicated": "that no reviewer settled",
    "no_judgements": "without any judgement that counts",
    "too_few_judgements": "with fewer judgements than the recipe asks for",
    "low_agreement": "with less agreement than the recipe asks for",
    "unresolved": "that are unresolved: as many judgements one way as the other",
    "tie": "that are ties: nobody prefers a response",
    # of prompts
    "other_source": "from other sources than the recipe asks for",
    "other_tag": "without any of the recipe's tags",
    "other_language": "in other languages than the recipe asks for",
    "near_duplicate": "that ask almost what another prompt asks",
    # of responses
    "flagged": "that somebody flagged",
    "short": "shorter than the recipe asks for",
    # of comparisons
    "identical_texts": "between two responses with the same text",
    "duplicate": "that repeat another comparison of the same texts",
    "contradiction": "contradicted by another task with the same texts",
    "max_pairs_per_prompt": "beyond the most that one prompt may give",
    # of rows in a format
    **{str(refusal): text for refusal, text in REFUSAL_TEXTS.items()},
}


FEWEST = 5  # people in a group that is named


def shown_groups(groups: Mapping[str, Collection[str]], people: Collection[str]) -> dict[str, int]:
    """How many of `people` are in each group, where neither they nor the others are too few."""
    found = {}
    for name in sorted(groups):
        number = len(set(groups[name]) & set(people))
        others = len(people) - number
        if number >= FEWEST and (others == 0 or others >= FEWEST):
            found[name] = number
    return found


@dataclass(slots=True)
class Counts:
    """The counters of one snapshot, filled while it is built."""

    prompts: int = 0
    near_copies: Mapping[str, int] = field(default_factory=dict)  # as `service.near` tells it
    languages: Counter[str | None] = field(default_factory=Counter)  # of prompts with rows
    sources: Counter[str | None] = field(default_factory=Counter)
    prompts_excluded: Counter[str] = field(default_factory=Counter)
    responses_excluded: Counter[str] = field(default_factory=Counter)
    gold_tasks: int = 0
    tasks_read: int = 0
    tasks_included: int = 0
    tasks_cyclic: int = 0
    tasks_excluded: Counter[str] = field(default_factory=Counter)
    judgements_read: int = 0
    judgements_included: int = 0
    judgements_of_sources: int = 0
    judgements_excluded: Counter[str] = field(default_factory=Counter)
    comparisons_excluded: Counter[str] = field(default_factory=Counter)
    comparisons_without_strength: int = 0
    comparisons_by_prompt: Counter[int] = field(default_factory=Counter)  # so many: prompts
    rows: Counter[tuple[ConfigName, Split]] = field(default_factory=Counter)
    refused: Counter[tuple[ConfigName, str]] = field(default_factory=Counter)

    def add_rows(self, made: PromptRows, split: Split) -> None:
        for config, rows in made.rows.items():
            self.rows[config, split] += len(rows)
            if config is ConfigName.PREFERENCE:
                self.comparisons_by_prompt[len(rows)] += 1
                self.comparisons_without_strength += [row["strength"] for row in rows].count(None)
        for refusal in made.refused:
            self.refused[refusal.config, refusal.reason.value] += 1
        if made.dropped:
            self.comparisons_excluded.update(made.dropped)

    def add(self, other: "Counts") -> None:
        """What was counted of other prompts counts here as well."""
        for counter in fields(self):
            mine, its = getattr(self, counter.name), getattr(other, counter.name)
            if isinstance(mine, Counter):
                mine.update(its)
            elif isinstance(mine, int):
                setattr(self, counter.name, mine + its)

    def number(self, config: ConfigName) -> int:
        return sum(self.rows[config, split] for split in Split)

    def as_json(self) -> dict[str, Any]:
        return {
            "prompts": self.prompts,
            "origins": {"languages": named(self.languages), "sources": named(self.sources)},
            "near_copies": dict(self.near_copies),
            "prompts_excluded": _sorted(self.prompts_excluded),
            "responses_excluded": _sorted(self.responses_excluded),
            "tasks": {
                "read": self.tasks_read,
                "included": self.tasks_included,
                "excluded": _sorted(self.tasks_excluded),
                "cyclic": self.tasks_cyclic,
                "gold_left_out": self.gold_tasks,
            },
            "judgements": {
                "read": self.judgements_read,
                "included": self.judgements_included,
                "of_sources": self.judgements_of_sources,
                "excluded": _sorted(self.judgements_excluded),
            },
            "comparisons": {
                "included": self.number(ConfigName.PREFERENCE),
                "excluded": _sorted(self.comparisons_excluded),
                "without_strength": self.comparisons_without_strength,
                "per_prompt": spread(self.comparisons_by_prompt),
            },
            "rows": {
                config.value: {split.value: self.rows[config, split] for split in Split}
                for config in ConfigName
                if self.number(config)
            },
            "refused": {
                config.value: _sorted(
                    {reason: n for (of, reason), n in self.refused.items() if of is config}
                )
                for config in ConfigName
                if any(of is config for of, _ in self.refused)
            },
        }


_STEPS = (1, 2, 3, 4, 6, 11, 21, 51, 101)  # where a bar of the distribution begins


def spread(by_prompt: Mapping[int, int]) -> list[dict[str, Any]]:
    """How many prompts give how many comparisons: `{from, to, prompts, comparisons}`, few first.

    The last one has no end. Bars without a prompt are left out.
    """
    bars = []
    for low, high in zip(_STEPS, (*_STEPS[1:], None), strict=True):
        inside = {n: k for n, k in by_prompt.items() if n >= low and (high is None or n < high)}
        if inside:
            bars.append(
                {
                    "from": low,
                    "to": None if high is None else high - 1,
                    "prompts": sum(inside.values()),
                    "comparisons": sum(n * k for n, k in inside.items()),
                }
            )
    return bars


def _sorted(numbers: Mapping[str, int]) -> dict[str, int]:
    return {reason: numbers[reason] for reason in sorted(numbers) if numbers[reason]}
