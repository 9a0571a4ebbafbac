"""Two frozen datasets compared: what came, went and changed, and why where it can be known."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from app.datasets.formats.blocks import parsed
from app.datasets.formats.differences import DifferenceFiles, difference_files
from app.datasets.formats.folder import Folder, judgements, lineage
from app.datasets.formats.merging import (
    Group,
    Merged,
    OutOfOrder,
    Raw,
    groups,
    groups_in_memory,
)
from app.datasets.rules.absence import Fact, Side, why_absent
from app.datasets.rules.differences import Difference, Kind, Placed, Tally, differences
from app.datasets.rules.rows import ConfigName
from app.db import JsonObject

Facts = Callable[[Collection[str]], Mapping[str, Fact]]
Entries = Sequence[Mapping[str, Any]]
_AT_ONCE = 300  # prompts whose judgements are looked up together


def compare(
    before: Folder,
    after: Folder,
    *,
    output: Path | None = None,
    facts: Facts | None = None,
    beat: Callable[[int], None] = lambda _done: None,
) -> JsonObject:
    """Count what differs, by config; with `output`, write every difference there.

    facts: what became of judgements, for two snapshots of one project; without it only the recipes
    and manifests say why. `beat` gets the rows passed so far and may raise to stop.
    """
    if output is None:
        return _compare(before, after, files=None, facts=facts, beat=beat)
    with difference_files(output) as files:
        return _compare(before, after, files=files, facts=facts, beat=beat)


def _compare(
    before: Folder,
    after: Folder,
    *,
    files: DifferenceFiles | None,
    facts: Facts | None,
    beat: Callable[[int], None],
) -> JsonObject:
    held = {file.config for folder in (before, after) for file in folder.files}
    sides = (side_of(before), side_of(after)) if _are_of_one_project(before, after) else None
    configs: JsonObject = {}
    done = 0
    for config in ConfigName:
        if config not in held:
            continue
        work = _Config(config, before, after, sides=sides, facts=facts, files=files)
        for _ in work.run():
            beat(done + work.merged.same)
        done += work.tally.before + work.tally.after
        beat(done)
        configs[config.value] = work.tally.as_json()
    return {
        "configs": configs,
        "identical": all(
            tally["same"] == tally["before"] == tally["after"] for tally in configs.values()
        ),
        "same_project": sides is not None,
    }


def side_of(folder: Folder) -> Side:
    about = folder.head["lineage"]
    return Side(
        recipe=folder.head["recipe"],
        frozen_at=datetime.fromisoformat(str(about["created_at"])),
        annotators=frozenset((*about.get("annotators", ()), *about.get("sources", ()))),
        configs=frozenset(file.config for file in folder.files),
    )


def _are_of_one_project(before: Folder, after: Folder) -> bool:
    first, second = (folder.head["lineage"].get("project", {}) for folder in (before, after))
    return bool(first.get("id") and first.get("id") == second.get("id"))


@dataclass(slots=True)
class _Prompt:
    """The differences of one prompt, and the judgements behind it on either side."""

    prompt_id: str
    differences: list[Difference]
    before: Entries
    after: Entries

    def missing(self) -> Iterator[str]:
        """Judgements that only one side has and that a difference hangs on."""
        old, new = ({str(entry["id"]) for entry in each} for each in (self.before, self.after))
        kinds = {difference.kind for difference in self.differences}
        if Kind.WENT in kinds:
            yield from old - new
        if Kind.CAME in kinds:
            yield from new - old


class _Lineage:
    """The judgements of prompts that are asked for in the order of their ids."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.lines = lineage(folder)
        self.next: tuple[str, bytes] | None = ("", b"[]")

    def of(self, prompt_id: str) -> Entries:
        while self.next is not None and self.next[0] < prompt_id:
            self.next = next(self.lines, None)
        if self.next is None or self.next[0] != prompt_id:
            return ()
        return judgements(self.folder, self.next[1])


@dataclass(slots=True)
class _Config:
    """The comparison of one config."""

    config: ConfigName
    before: Folder
    after: Folder
    sides: tuple[Side, Side] | None
    facts: Facts | None
    files: DifferenceFiles | None
    merged: Merged = field(default_factory=Merged)
    tally: Tally = field(default_factory=Tally)
    waiting: list[_Prompt] = field(default_factory=list)
    lineages: list[_Lineage] = field(default_factory=list)

    def run(self) -> Iterator[None]:
        """Goes on for one prompt at a time."""
        for group in self._groups():
            found = self._differences(group)
            if found:
                old, new = (each.of(group.prompt_id) for each in self.lineages)
                self.waiting.append(_Prompt(group.prompt_id, found, old, new))
            if len(self.waiting) >= _AT_ONCE:
                self._settle()
            yield
        self._settle()
        self.tally.before, self.tally.after = self.merged.before, self.merged.after
        self.tally.same += self.merged.same

    def _groups(self) -> Iterator[Group]:
        self.lineages = [_Lineage(folder) for folder in (self.before, self.after)]
        try:
            yield from groups(self.before, self.after, self.config, self.merged)
        except OutOfOrder:  # written by hand: begin again
            self.merged, self.tally, self.waiting = Merged(), Tally(), []
            self.lineages = [_Lineage(folder) for folder in (self.before, self.after)]
            if self.files is not None:
                self.files.drop(self.config)
            yield from groups_in_memory(self.before, self.after, self.config, self.merged)

    def _differences(self, group: Group) -> list[Difference]:
        found = []
        for difference in differences(self.config, _read(group.before), _read(group.after)):
            if difference is None:
                self.tally.same += 1
            else:
                found.append(difference)
        return found

    def _settle(self) -> None:
        """Say why, count and write what is waiting."""
        ids = {its for prompt in self.waiting for its in prompt.missing()}
        facts = None
        if self.sides is not None and self.facts is not None:
            facts = self.facts(ids) if ids else {}
        for prompt in self.waiting:
            for difference in prompt.differences:
                why = self._why(difference, prompt, facts)
                self.tally.add(difference, why=why)
                if self.files is not None:
                    line = self._line(difference, prompt, why)
                    self.files.add(self.config, difference.kind, line)
        self.waiting.clear()

    def _why(
        self, difference: Difference, prompt: _Prompt, facts: Mapping[str, Fact] | None
    ) -> str | None:
        if self.sides is None or difference.kind is Kind.CHANGED:
            return None
        old, new = self.sides
        is_new = difference.kind is Kind.CAME
        here, there = (old, new) if is_new else (new, old)
        ours, theirs = (prompt.before, prompt.after) if is_new else (prompt.after, prompt.before)
        placed = difference.after or difference.before
        assert placed is not None
        return why_absent(
            self.config, placed.row, here=here, there=there, ours=ours, theirs=theirs, facts=facts
        )

    def _line(self, difference: Difference, prompt: _Prompt, why: str | None) -> JsonObject:
        old, new = ({entry["id"] for entry in each} for each in (prompt.before, prompt.after))
        before, after = difference.before, difference.after
        return {
            "config": self.config.value,
            "kind": difference.kind.value,
            "prompt_id": prompt.prompt_id,
            "what": [change.value for change in difference.what],
            "why": why,
            "judgements": {
                "before": len(old),
                "after": len(new),
                "came": len(new - old),
                "went": len(old - new),
            },
            "split_before": before.split.value if before else None,
            "split_after": after.split.value if after else None,
            "before": before.row if before else None,
            "after": after.row if after else None,
        }


def _read(rows: Sequence[Raw]) -> list[Placed]:
    return [Placed(split, parsed(line)) for split, line in rows]
