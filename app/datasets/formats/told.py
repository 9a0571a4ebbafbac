"""What two snapshots differ in, in words and in the figures of a page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.datasets.rules.absence import REASONS as ABSENCE
from app.datasets.rules.counts import REASONS
from app.datasets.rules.differences import CHANGES, Change, Kind
from app.datasets.rules.rows import ConfigName

KINDS = {
    Kind.CHANGED: "changed",
    Kind.CAME: "came",
    Kind.WENT: "went",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why rows are on one side only. key: of `absence.REASONS`."""

    key: str
    text: str
    rows: int


@dataclass(frozen=True, slots=True)
class ConfigTold:
    """One config of a comparison; `what`: (change, in words, rows)."""

    config: ConfigName
    before: int
    after: int
    same: int
    changed: int
    came: int
    went: int
    what: list[tuple[Change, str, int]]
    to_train: int
    to_test: int
    why: dict[Kind, list[Reason]]

    @property
    def all(self) -> int:
        return self.same + self.changed + self.came + self.went

    @property
    def is_same(self) -> bool:
        return self.all == self.same

    def rows(self, kind: Kind) -> int:
        return int(getattr(self, kind.value))


def configs_told(summary: Mapping[str, Any], *, before: str, after: str) -> list[ConfigTold]:
    """In the order of configs; `before` and `after` are the names of the snapshots."""
    found = summary.get("configs", {})
    return [
        _told(config, found[config.value], before=before, after=after)
        for config in ConfigName
        if config.value in found
    ]


def _told(config: ConfigName, tally: Mapping[str, Any], *, before: str, after: str) -> ConfigTold:
    return ConfigTold(
        config=config,
        before=tally["before"],
        after=tally["after"],
        same=tally["same"],
        changed=tally["changed"],
        came=tally["came"],
        went=tally["went"],
        what=[
            (change, CHANGES[change], tally["what"][change.value])
            for change in Change
            if tally["what"].get(change.value)
        ],
        to_train=tally["moved"]["to_train"],
        to_test=tally["moved"]["to_test"],
        why={
            kind: [
                Reason(key, why_told(key, kind, before=before, after=after), rows)
                for key, rows in tally["why"][kind.value].items()
            ]
            for kind in Kind
            if tally["why"].get(kind.value)
        },
    )


def why_told(key: str, kind: Kind, *, before: str, after: str) -> str:
    """Why a row came or went, with the snapshot that lacks it by name."""
    here = before if kind is Kind.CAME else after
    return ABSENCE.get(key, key).replace("{here}", f"“{here}”")


def headline(told: list[ConfigTold]) -> str:
    """The comparison in one sentence, about comparisons where there are any."""
    if all(config.is_same for config in told):
        return "They hold the same rows."
    main = told[0]
    noun = "comparison" if main.config is ConfigName.PREFERENCE else f"{main.config} row"
    if main.same == 0:
        parts = [f"No {noun} is the same"]
    else:
        parts = [f"{_number(main.same, noun)} {'is' if main.same == 1 else 'are'} the same"]
    reversed_rows = sum(rows for change, _, rows in main.what if change is Change.REVERSED)
    if main.changed:
        also = f" ({reversed_rows:,} of them reversed)" if reversed_rows else ""
        parts.append(f"{main.changed:,} changed{also}")
    parts += [
        f"{number:,} {word}"
        for number, word in ((main.came, "came"), (main.went, "went"))
        if number
    ]
    return f"{', '.join(parts)}."


def moves(told: list[ConfigTold]) -> str | None:
    """What moved between training and test: it makes figures of the two incomparable."""
    moved = [config for config in told if config.to_train or config.to_test]
    if not moved:
        return None
    by_config = {config.config: config for config in moved}
    first = by_config.get(ConfigName.PROMPTS, moved[0])
    noun = "prompt" if first.config is ConfigName.PROMPTS else f"{first.config} row"
    parts = []
    if first.to_train:
        parts.append(f"{_number(first.to_train, noun)} moved from test to train")
    if first.to_test:
        parts.append(f"{_number(first.to_test, noun)} from train to test")
    if not first.to_train:
        parts[0] = f"{_number(first.to_test, noun)} moved from train to test"
    others = [
        f"{config.to_train + config.to_test:,} rows of {config.config}"
        for config in moved
        if config is not first and config.config in {ConfigName.PREFERENCE, ConfigName.RANKING}
    ]
    also = f" ({' and '.join(others)})" if others else ""
    return f"{' and '.join(parts)}{also}."


def _number(rows: int, noun: str) -> str:
    return f"{rows:,} {noun}{'' if rows == 1 else 's'}"


def left_out_told(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[tuple[str, int, int]]:
    """(what was left out and why, before, after), of the counts of both."""
    found = []
    for kind in ("judgements", "tasks", "comparisons"):
        old, new = before[kind]["excluded"], after[kind]["excluded"]
        found += [
            (f"{kind} {REASONS.get(reason, reason)}", old.get(reason, 0), new.get(reason, 0))
            for reason in sorted(old.keys() | new.keys())
        ]
    return found
