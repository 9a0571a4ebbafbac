"""Agreement of every two people at once.

Two people who judged the same unit gave an ordered pair of answers, of which one may be missing.
All their figures are functions of one table: how often each pair of answers occurs. So judgements
of the same task are laid side by side once, for everybody; what is left to do for two people is to
draw resamples of their tasks, and formulas then take the tables of many at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.quality.rules import agreement as formulas
from app.quality.rules.between import cohen_of_values, cohen_values
from app.quality.rules.bootstrap import profiles
from app.quality.rules.fields import FieldAgreement, figures_of, values_of, with_figures
from app.quality.rules.intervals import Floats, Ints
from app.quality.rules.judgements import Judgements, panels
from app.quality.rules.rankings import ranking_sums
from app.quality.rules.scales import Field

MOST_PEOPLE = 60  # whose pairs are looked at: the busiest ones
_TASKS = 100_000  # ranked by two people, looked at in one go
_ROWS = 40_000  # tables of resamples that formulas take at a time


@dataclass(frozen=True, slots=True)
class Beside:
    """Judgements of one task by two people, sorted by the two: M of P pairs of people.

    one, other (M,): rows; people (P, 2): annotators, the lower code first; start (P,): where those
    of each two begin.
    """

    judgements: Judgements
    one: Ints
    other: Ints
    people: Ints
    start: Ints

    @property
    def number(self) -> Ints:
        """Tasks that each two have in common."""
        return np.diff(np.append(self.start, len(self.one)))


def side_by_side(judgements: Judgements) -> Beside:
    """All that two of the busiest people have judged both."""
    judgements = judgements.once()
    names, number = np.unique(judgements.annotator, return_counts=True)
    busiest = names[np.argsort(-number, kind="stable")][:MOST_PEOPLE]
    judgements = judgements.where(np.isin(judgements.annotator, busiest))
    ones, others = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for panel in panels(judgements):
        i, j = np.triu_indices(panel.rows.shape[1], k=1)
        ones.append(panel.rows[:, i].ravel())
        others.append(panel.rows[:, j].ravel())
    one, other = np.concatenate(ones), np.concatenate(others)
    swap = judgements.annotator[one] > judgements.annotator[other]
    one, other = np.where(swap, other, one), np.where(swap, one, other)
    n = int(names.max(initial=0)) + 1
    code = judgements.annotator[one] * n + judgements.annotator[other]
    order = np.lexsort((one, code))
    pair, start = np.unique(code[order], return_index=True)
    people = np.stack([pair // n, pair % n], axis=1)
    return Beside(judgements, one[order], other[order], people, start)


@dataclass(frozen=True, slots=True)
class _Said:
    """What two people said of each place of each task they share, M tasks.

    cell (M, places): the pair of answers as one number, the last answer being that none was given;
    mine, hers (M,): whether either said anything; both (M,): of the same place; extra (M, 0 or 6):
    of whole rankings.
    """

    cell: Ints
    mine: NDArray[np.bool_]
    hers: NDArray[np.bool_]
    both: NDArray[np.bool_]
    extra: Floats


def agreement_of_each(
    beside: Beside, field: Field, *, rng: np.random.Generator, resamples: int
) -> Iterator[FieldAgreement]:
    """The figures of a field for each two people, in the order of `beside.people`."""
    said = _said(beside, field)
    waiting: list[Floats] = []
    first = 0
    for place, (start, number) in enumerate(zip(beside.start, beside.number, strict=True)):
        waiting.append(_tables(said, slice(start, start + number), field, rng, resamples))
        is_last = place == len(beside.start) - 1
        if is_last or sum(map(len, waiting)) >= _ROWS:
            yield from _agreements(beside, said, field, waiting, first)
            waiting, first = [], place + 1


def _said(beside: Beside, field: Field) -> _Said:
    answers, none = field.categories(beside.judgements), field.n_categories
    given: NDArray[np.bool_] = answers >= 0
    coded = np.where(given, answers, none).astype(np.int64)
    has_any: NDArray[np.bool_] = np.asarray(given.any(axis=1))
    return _Said(
        cell=coded[beside.one] * (none + 1) + coded[beside.other],
        mine=has_any[beside.one],
        hers=has_any[beside.other],
        both=np.asarray((given[beside.one] & given[beside.other]).any(axis=1)),
        extra=_rankings(beside) if field.is_ranking else np.zeros((len(beside.one), 0)),
    )


def _rankings(beside: Beside) -> Floats:
    """What two whole rankings of each task add to the sums."""
    ranks, sizes = beside.judgements.ranks, beside.judgements.sizes[beside.one]
    sums = np.zeros((len(sizes), 6))
    for size in np.unique(sizes):
        rows = np.flatnonzero(sizes == size)
        for part in np.array_split(rows, 1 + len(rows) // _TASKS):
            two = np.stack([ranks[beside.one[part]], ranks[beside.other[part]]], axis=1)
            sums[part] = ranking_sums(two[:, :, :size])
    return sums


def _tables(
    said: _Said, tasks: slice, field: Field, rng: np.random.Generator, resamples: int
) -> Floats:
    """The table of pairs of answers, flat, with what rankings add: of all tasks, of each resample.

    Nothing where neither said anything.
    """
    n_cells = (field.n_categories + 1) ** 2
    is_judged = said.mine[tasks] | said.hers[tasks]
    cells, extra = said.cell[tasks][is_judged], said.extra[tasks][is_judged]
    if not len(cells):
        return np.zeros((0, n_cells + extra.shape[1]))
    task, place = np.nonzero(cells != n_cells - 1)
    found = profiles(np.eye(n_cells), cells[task, place], task, extra, rng)
    return found.with_resamples(rng, resamples)


def _agreements(
    beside: Beside, said: _Said, field: Field, waiting: list[Floats], first: int
) -> Iterator[FieldAgreement]:
    """The formulas over the tables of several pairs of people, the first of them at `first`."""
    flat = np.concatenate(waiting)
    q, n_cells = field.n_categories, (field.n_categories + 1) ** 2
    cells = flat[:, :n_cells]
    sums = cells @ formulas.unit_features(_counts(q), tie=field.tie)
    values = values_of(np.concatenate([sums, flat[:, n_cells:]], axis=1), field)
    tables = cells.reshape(-1, q + 1, q + 1)
    kappas = cohen_values(tables[:, :q, :q])
    ends = np.cumsum([len(part) for part in waiting])
    for place, end in enumerate(ends, start=first):
        rows = slice(end - len(waiting[place - first]), end)
        tasks = slice(beside.start[place], beside.start[place] + beside.number[place])
        mine, hers = said.mine[tasks], said.hers[tasks]
        shared = int((mine & hers).sum())
        figures = {}
        if shared:
            alone = tables[rows.start, q].sum() + tables[rows.start, :, q].sum() > 0
            figures = figures_of(
                {name: value[rows] for name, value in values.items()},
                field,
                n_shared=shared,
                per_unit=(1 if alone else 2, 2),
            ) | cohen_of_values(
                [kappa[rows] for kappa in kappas], n_tasks=int(said.both[tasks].sum())
            )
        yield with_figures(
            field,
            figures,
            n_tasks=int((mine | hers).sum()),
            n_annotations=int(mine.sum() + hers.sum()),
            n_annotators=int(mine.any()) + int(hers.any()),
            n_shared_tasks=shared,
        )


def _counts(q: int) -> Ints:
    """How often each category occurs in each pair of answers: ((q + 1)², q)."""
    one = np.eye(q + 1, dtype=np.int64)[:, :q]  # none was given: no category
    counts: Ints = (one[:, None] + one[None, :]).reshape(-1, q)
    return counts
