"""How many ordinary tasks are in which state, and what follows from that alone."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Cell:
    """So many tasks have these counters."""

    wanted: int
    counted: int
    leased: int
    tasks: int
    at_least: int = 0  # by a reviewer, whatever the project asks for
    is_closed: bool = False  # it wants nobody else, whatever the project asks for

    @property
    def is_complete(self) -> bool:
        return self.counted >= self.wanted


@dataclass(frozen=True, slots=True)
class Census:
    """The ordinary tasks of a project by their counters: a few cells, however many tasks."""

    cells: Sequence[Cell]

    def count(self, which: Callable[[Cell], bool] = lambda _: True) -> int:
        return sum(cell.tasks for cell in self.cells if which(cell))

    def total(self, what: Callable[[Cell], int]) -> int:
        return sum(what(cell) * cell.tasks for cell in self.cells)

    @property
    def tasks(self) -> int:
        return self.count()

    @property
    def complete(self) -> int:
        return self.count(lambda cell: cell.is_complete)

    @property
    def held(self) -> int:
        """Tasks that somebody has now."""
        return self.count(lambda cell: cell.leased > 0)

    @property
    def begun(self) -> int:
        """Tasks with some of their judgements, that nobody has now."""
        return self.count(
            lambda cell: 0 < cell.counted < cell.wanted and not cell.leased,
        )

    @property
    def untouched(self) -> int:
        """Tasks that wait for their first judgement, that nobody has now."""
        return self.count(lambda cell: cell.counted + cell.leased == 0 < cell.wanted)

    @property
    def wanted(self) -> int:
        """Places: judgements that are asked for."""
        return self.total(lambda cell: cell.wanted)

    @property
    def counted(self) -> int:
        return self.total(lambda cell: cell.counted)

    @property
    def leased(self) -> int:
        return self.total(lambda cell: cell.leased)

    @property
    def left(self) -> int:
        """Judgements still to come, by what is wanted now."""
        return self.wanted - self.counted

    @property
    def free(self) -> int:
        """Places that somebody could take now."""
        return self.left - self.leased


def census(rows: Iterable[tuple[Any, ...]]) -> Census:
    return Census([Cell(*row) for row in rows])
