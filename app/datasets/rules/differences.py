"""What two versions of a prompt's rows differ in."""

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations
from typing import Any

from app.datasets.rules.identity import Split
from app.datasets.rules.rows import ConfigName, Row


class Kind(StrEnum):
    """What became of a row."""

    CHANGED = "changed"
    CAME = "came"
    WENT = "went"


class Change(StrEnum):
    """What is different in a row that both have."""

    REVERSED = "reversed"
    MOVED = "moved"
    P = "p"
    MARGIN = "margin"
    STRENGTH = "strength"
    AGREEMENT = "agreement"
    WEIGHT = "weight"
    N_ANNOTATORS = "n_annotators"
    RANKS = "ranks"
    RATINGS = "ratings"
    TEXT = "text"


CHANGES = {
    Change.REVERSED: "preference reversed",
    Change.MOVED: "moved between train and test",
    Change.P: "share of votes (p)",
    Change.MARGIN: "margin",
    Change.STRENGTH: "strength",
    Change.AGREEMENT: "agreement",
    Change.WEIGHT: "weight",
    Change.N_ANNOTATORS: "number of judgements",
    Change.RANKS: "ranks, none reversed",
    Change.RATINGS: "ratings",
    Change.TEXT: "text",
}
_NUMBERS = (
    Change.P,
    Change.MARGIN,
    Change.STRENGTH,
    Change.AGREEMENT,
    Change.WEIGHT,
    Change.N_ANNOTATORS,
)


@dataclass(frozen=True, slots=True)
class Placed:
    """A row and the side of the split that it stands on."""

    split: Split
    row: Row


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that is not the same in both."""

    kind: Kind
    before: Placed | None
    after: Placed | None
    what: tuple[Change, ...] = ()


@dataclass(slots=True)
class Tally:
    """The rows of one config, counted."""

    before: int = 0
    after: int = 0
    same: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)
    what: Counter[Change] = field(default_factory=Counter)
    moved: Counter[Split] = field(default_factory=Counter)  # by where to
    why: dict[Kind, Counter[str]] = field(
        default_factory=lambda: {kind: Counter() for kind in Kind}
    )

    def add(self, difference: Difference, *, why: str | None) -> None:
        self.kinds[difference.kind] += 1
        self.what.update(difference.what)
        if Change.MOVED in difference.what and difference.after is not None:
            self.moved[difference.after.split] += 1
        if why is not None:
            self.why[difference.kind][why] += 1

    def as_json(self) -> dict[str, Any]:
        return {
            "before": self.before,
            "after": self.after,
            "same": self.same,
            **{kind.value: self.kinds[kind] for kind in Kind},
            "what": {change.value: self.what[change] for change in Change if self.what[change]},
            "moved": {f"to_{split.value}": self.moved[split] for split in Split},
            "why": {
                kind.value: dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
                for kind, reasons in self.why.items()
                if reasons
            },
        }


def differences(
    config: ConfigName, before: Sequence[Placed], after: Sequence[Placed]
) -> Iterator[Difference | None]:
    """The rows of one prompt, matched by what they are about; None for one that is the same."""
    theirs = _by_key(config, after)
    for key, old in _by_key(config, before).items():
        new = theirs.pop(key, None)
        if new is None:
            yield Difference(Kind.WENT, old, None)
            continue
        what = changes(config, old, new)
        yield Difference(Kind.CHANGED, old, new, what) if what else None
    for new in theirs.values():
        yield Difference(Kind.CAME, None, new)


def _by_key(config: ConfigName, rows: Sequence[Placed]) -> dict[Hashable, Placed]:
    """Rows about the same are told apart by their order."""
    seen: Counter[Hashable] = Counter()
    found: dict[Hashable, Placed] = {}
    for placed in rows:
        key = row_key(config, placed.row)
        found[key, seen[key]] = placed
        seen[key] += 1
    return found


def row_key(config: ConfigName, row: Mapping[str, Any]) -> Hashable:
    """What a row is about, besides its prompt."""
    match config:
        case ConfigName.PREFERENCE:
            return frozenset((row["chosen_id"], row["rejected_id"]))
        case ConfigName.HH_RLHF:
            return frozenset((row["chosen"], row["rejected"]))
        case ConfigName.RANKING:
            return tuple(row["response_ids"])
        case ConfigName.UNPAIRED:
            return _said(row["completion"])
        case ConfigName.RATINGS:
            return _said(row["response"])
        case ConfigName.SFT | ConfigName.PROMPTS:
            return None


def _said(messages: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    return tuple(message["content"] for message in messages)


def changes(config: ConfigName, old: Placed, new: Placed) -> tuple[Change, ...]:
    """Everything in which two rows about the same differ, the weightiest first."""
    before, after = old.row, new.row
    found = []
    if _is_reversed(config, before, after):
        found.append(Change.REVERSED)
    if old.split is not new.split:
        found.append(Change.MOVED)
    found += [change for change in _NUMBERS if before.get(change.value) != after.get(change.value)]
    if before.get("ranks") != after.get("ranks") and Change.REVERSED not in found:
        found.append(Change.RANKS)
    if before.get("ratings") != after.get("ratings"):
        found.append(Change.RATINGS)
    if before.get("messages") != after.get("messages"):
        found.append(Change.TEXT)
    return tuple(found)


def _is_reversed(config: ConfigName, before: Row, after: Row) -> bool:
    match config:
        case ConfigName.PREFERENCE:
            return bool(before["chosen_id"] != after["chosen_id"])
        case ConfigName.HH_RLHF:
            return bool(before["chosen"] != after["chosen"])
        case ConfigName.UNPAIRED:
            return bool(before["label"] != after["label"])
        case ConfigName.RANKING:
            old, new = before["ranks"], after["ranks"]
            return any(
                (old[i] - old[j]) * (new[i] - new[j]) < 0
                for i, j in combinations(range(len(old)), 2)
            )
    return False
