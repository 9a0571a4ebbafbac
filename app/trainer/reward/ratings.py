"""Mean ratings by criterion, beside the comparisons: what the heads of the criteria learn from."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.trainer.batches import Example
from app.trainer.chat import Message
from app.trainer.dataset import (
    Row,
    as_messages,
    as_reply,
    comparison_row,
    need,
    number,
    open_config,
    optional,
    printable,
    read_split,
)
from app.trainer.failures import BadInput
from app.trainer.lm import PREFERENCE

Means = tuple[float | None, ...]
Key = tuple[str, str]  # a prompt and a response to it


@dataclass(frozen=True)
class Rated:
    """A response with its mean ratings, in the order of the criteria, by so many people."""

    where: str
    split: str
    prompt: tuple[Message, ...]
    reply: tuple[Message, ...]
    means: Means
    raters: float


class Ratings:
    """The ratings of a dataset, each handed out once: with the first row that has the response."""

    def __init__(self, dataset: Path, wanted: Sequence[str]) -> None:
        """Read both splits.

        Raises:
            BadInput: where there are none, or none of a wanted criterion.

        """
        try:
            folder = open_config(dataset, purpose="", wanted="ratings")
        except BadInput as error:
            raise BadInput(f"objectives needs ratings: {error}") from error
        splits = ("train", "test")
        records = [(split, *row) for split in splits for row in read_split(folder, split)]
        there = sorted({name for s, w, r in records if s == "train" for name in rated_in(w, r)})
        self.criteria = tuple(there if "all" in wanted else wanted)
        missing = [name for name in self.criteria if name not in there]
        if missing or not there:
            raise BadInput(
                f"objectives: the ratings have no {', '.join(missing) or 'criteria'}; "
                f"they have {', '.join(there) or 'none'}."
            )
        if PREFERENCE in self.criteria:
            raise BadInput(
                f"objectives: a criterion has the name of the output {PREFERENCE!r}. Name the "
                f"others instead of all: {', '.join(n for n in there if n != PREFERENCE)}."
            )
        self._left: dict[Key, Rated] = {}
        for split, where, record in records:
            new = rated_row(where, split, record, self.criteria)
            if any(mean is not None for mean in new.means):
                key = key_of(new.prompt, new.reply)
                self._left[key] = together(self._left[key], new) if key in self._left else new
        learned = [rated for rated in self._left.values() if rated.split == "train"]
        self.scale = Scale.of(learned, len(self.criteria))

    def to_row(self, where: str, record: dict[str, Any]) -> Row:
        """A comparison with the ratings of its responses that no row before it had."""
        row = comparison_row(where, record)
        found = [self._left.pop(key_of(row.prompt, reply), None) for reply in row.replies]
        nothing: Means = (None,) * len(self.criteria)
        return replace(
            row,
            ratings=tuple(r.means if r else nothing for r in found),
            raters=tuple(r.raters if r else 0.0 for r in found),
        )

    def left(self, split: str) -> list[Row]:
        """Rows of the rated responses that stand in no comparison, one per prompt."""
        by_prompt: dict[str, list[Rated]] = {}
        for (prompt, _), rated in self._left.items():
            if rated.split == split:
                by_prompt.setdefault(prompt, []).append(rated)
        return [
            Row(
                rated[0].where,
                rated[0].prompt,
                tuple(r.reply for r in rated),
                ratings=tuple(r.means for r in rated),
                raters=tuple(r.raters for r in rated),
            )
            for rated in by_prompt.values()
        ]


@dataclass(frozen=True)
class Scale:
    """Mean and deviation of each criterion over the training data, and the mean of the raters."""

    means: tuple[float, ...] = ()
    stds: tuple[float, ...] = ()
    raters: float = 1.0

    @classmethod
    def of(cls, rated: Iterable[Rated], criteria: int) -> "Scale":
        rated = list(rated)
        values = torch.tensor(
            [[math.nan if m is None else m for m in r.means] for r in rated], dtype=torch.float64
        ).reshape(len(rated), criteria)
        raters = torch.tensor([r.raters for r in rated], dtype=torch.float64)
        means = values.nanmean(0)
        stds = ((values - means) ** 2).nanmean(0).sqrt()
        return cls(
            tuple(means.tolist()),
            tuple(s if s > 0 else 1.0 for s in stds.tolist()),
            float(raters.mean()) or 1.0,
        )

    def in_words(self, outputs: Tensor, criteria: Sequence[str]) -> dict[str, float]:
        """Outputs of the heads as ratings, in their own units."""
        values = zip(criteria, outputs.tolist(), self.means, self.stds, strict=True)
        return {name: round(value * std + mean, 4) for name, value, mean, std in values}

    def targets(self, example: Example, device: Any = None) -> tuple[Tensor, Tensor]:
        """Ratings in standard deviations, NaN where unknown, and the weight of each response.

        The mean of n people has 1/n of the variance, so it counts n times as much.
        """
        wanted = torch.full((len(example.responses), len(self.means)), math.nan)
        for i, means in enumerate(example.row.ratings):
            for c, value in enumerate(means):
                if value is not None:
                    wanted[i, c] = (value - self.means[c]) / self.stds[c]
        raters = example.row.raters or (0.0,) * len(example.responses)
        return wanted.to(device), (torch.tensor(raters) / self.raters).to(device)


def rated_in(where: str, record: Mapping[str, Any]) -> Iterable[str]:
    need(record, where, "ratings", ("prompt", "response", "ratings"))
    if not isinstance(record["ratings"], dict):
        raise BadInput(f"{where}: ratings must be an object of criteria and numbers.")
    for name in record["ratings"]:
        if printable(name) != name:
            raise BadInput(f"{where}: the criterion {name!r} holds half a character.")
    return (name for name, value in record["ratings"].items() if value is not None)


def rated_row(where: str, split: str, record: Mapping[str, Any], criteria: Sequence[str]) -> Rated:
    rated_in(where, record)
    given = record["ratings"]
    anything = -math.inf
    return Rated(
        where,
        split,
        as_messages(record["prompt"], where, "prompt"),
        as_reply(record["response"], where, "response"),
        tuple(optional(given, where, name, at_least=anything) for name in criteria),
        number(record, where, "n_annotators", 1.0),
    )


def together(one: Rated, other: Rated) -> Rated:
    """Ratings of the same response in two tasks: the mean over all people."""

    def mean(a: float | None, b: float | None) -> float | None:
        if a is None or b is None:
            return b if a is None else a
        return (a * one.raters + b * other.raters) / ((one.raters + other.raters) or 1.0)

    means = tuple(mean(a, b) for a, b in zip(one.means, other.means, strict=True))
    return replace(one, means=means, raters=one.raters + other.raters)


def key_of(prompt: Sequence[Message], reply: Sequence[Message]) -> Key:
    return json.dumps(prompt, sort_keys=True), json.dumps(reply, sort_keys=True)
