"""How the answers to one prompt change through a training."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PROMPTS = 4  # as many as are worth a look at once
STEPS = 8  # of one prompt: the first, the last, and evenly between

Sample = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Story:
    """What was written (or, by a reward model, scored) for one prompt, the first step first."""

    prompt: str
    samples: list[Sample]

    @property
    def last(self) -> Sample:
        return self.samples[-1]

    @property
    def first(self) -> Sample | None:
        """The first of them, where there is a later one to compare it with."""
        return self.samples[0] if len(self.samples) > 1 else None

    @property
    def scores(self) -> list[tuple[str, list[float | None]]]:
        """Of a reward model: each response of the last step with its scores, step by step."""
        by_step = [
            {str(each.get("response")): each.get("score") for each in sample.get("responses", [])}
            for sample in self.samples
        ]
        return [(text, [scores.get(text) for scores in by_step]) for text in by_step[-1]]


def stories(samples: Iterable[Sample]) -> list[Story]:
    """The texts by prompt, in the order in which the prompts first come."""
    prompts: dict[str, dict[int, Sample]] = {}
    for sample in samples:
        # several answers to a prompt at one step: the first is shown
        prompts.setdefault(str(sample.get("prompt", "")), {}).setdefault(sample["step"], sample)
    return [
        Story(prompt, evenly([texts[step] for step in sorted(texts)], most=STEPS))
        for prompt, texts in list(prompts.items())[:PROMPTS]
    ]


def evenly(items: Sequence[Sample], *, most: int) -> list[Sample]:
    """At most so many of them, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]
