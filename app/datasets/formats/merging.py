"""Two dataset folders read side by side: the rows of one prompt after the other.

Rows stand in the order of their prompts' ids, so that memory stays flat. Rows that are the same to
the byte are passed over without being read.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from app.datasets.formats.blocks import lines, prompt_id_reader
from app.datasets.formats.folder import Folder
from app.datasets.rules.identity import Split
from app.datasets.rules.rows import ConfigName

Raw = tuple[Split, bytes]


class OutOfOrder(Exception):
    """The rows of a file do not come in the order of their prompts' ids."""


@dataclass(slots=True)
class Merged:
    """What two folders hold of one config; `same` and the sums grow while `groups` is read."""

    before: int = 0
    after: int = 0
    same: int = 0


@dataclass(slots=True)
class Group:
    """The rows of one prompt that are not the same in both."""

    prompt_id: str
    before: list[Raw] = field(default_factory=list)
    after: list[Raw] = field(default_factory=list)


class _Stream:
    """The lines of one file; `head` is the next one, None at the end."""

    def __init__(self, folder: Folder, config: ConfigName, split: Split) -> None:
        file = folder.file(config, split)
        self.split = split
        self.lines = (line for _, line in lines(folder, file)) if file else iter(())
        self.read_id = prompt_id_reader(config)
        self.head: bytes | None = None
        self.number = -1
        self._id = ""
        self._id_of = -1  # the number of the line that has it
        self.advance()

    def advance(self) -> None:
        self.head = next(self.lines, None)
        self.number += 1

    def id(self) -> str | None:
        """Of the prompt of the next line."""
        if self.head is None:
            return None
        if self._id_of != self.number:
            its = self.read_id(self.head)
            if its < self._id:
                raise OutOfOrder
            self._id, self._id_of = its, self.number
        return self._id


def groups(before: Folder, after: Folder, config: ConfigName, merged: Merged) -> Iterator[Group]:
    """The prompts whose rows differ, in the order of their ids, or `OutOfOrder`."""
    old = [_Stream(before, config, split) for split in Split]
    new = [_Stream(after, config, split) for split in Split]
    while True:
        for one, other in zip(old, new, strict=True):
            while one.head is not None and one.head == other.head:
                merged.same += 1
                one.advance()
                other.advance()
        ids = [stream.id() for stream in (*old, *new)]
        first = min((its for its in ids if its is not None), default=None)
        if first is None:
            break
        group = Group(first)
        for streams, rows in ((old, group.before), (new, group.after)):
            for stream in streams:
                while stream.head is not None and stream.id() == first:
                    rows.append((stream.split, stream.head))
                    stream.advance()
        merged.same += _without_common(group)
        if group.before or group.after:
            yield group
    merged.before = sum(stream.number for stream in old)
    merged.after = sum(stream.number for stream in new)


def groups_in_memory(
    before: Folder, after: Folder, config: ConfigName, merged: Merged
) -> Iterator[Group]:
    """The same for files in any order, which are kept in memory."""
    read_id = prompt_id_reader(config)
    found: dict[str, Group] = {}
    for folder, is_new in ((before, False), (after, True)):
        for split in Split:
            file = folder.file(config, split)
            for _, line in lines(folder, file) if file else ():
                its = read_id(line)
                group = found.setdefault(its, Group(its))
                (group.after if is_new else group.before).append((split, line))
    merged.before = sum(len(group.before) for group in found.values())
    merged.after = sum(len(group.after) for group in found.values())
    for its in sorted(found):
        group = found.pop(its)
        merged.same += _without_common(group)
        if group.before or group.after:
            yield group


def _without_common(group: Group) -> int:
    """Take out what both have; how many rows that were."""
    common = Counter(group.before) & Counter(group.after)
    if not common:
        return 0
    group.before = _less(group.before, common)
    group.after = _less(group.after, common)
    return sum(common.values())


def _less(rows: Sequence[Raw], common: Counter[Raw]) -> list[Raw]:
    left = Counter(common)
    kept = []
    for row in rows:
        if left[row]:
            left[row] -= 1
        else:
            kept.append(row)
    return kept
