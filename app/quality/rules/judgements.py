"""Judgements as columns, and the units people can agree on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from app.quality.rules.intervals import Floats, Ints

FIRST, TIE, SECOND = range(3)  # classes of an implied pair; in this order they are ordinal as well
NOT_GIVEN = -1
Categories = NDArray[np.int16]  # (N, places of a task): what each judgement says of each place
_CELLS = 20_000_000  # numbers held at once by work over (tasks, people, people)


@dataclass(frozen=True, slots=True)
class Judgements:
    """One row per judgement, sorted by task. N rows; W = most responses of a task.

    task, annotator: codes 0…; ranks (N, W): 1 = best, equal = tie, 0 = no such response;
    display (N, W): place on screen by canonical position, 0 = leftmost, −1 = nobody saw it here;
    lengths (N, W): of the responses, only their order matters, −1 = no such response;
    strength (N,): of a pair, NaN = not given; ratings: criterion → (N, W), NaN = not given;
    seconds (N,): NaN = not known; submitted (N,): seconds since 1970; repeat (N,): a second look
    by the same person, for self-consistency alone; version (N,): of the guidelines;
    characters (N,): of all responses of the task together, NaN = not known; rationale (N,): a
    hash of its words, 0 = none was given.
    """

    task: Ints
    annotator: Ints
    ranks: NDArray[np.int16]
    display: NDArray[np.int16]
    lengths: Ints
    strength: Floats
    seconds: Floats
    submitted: Floats
    repeat: NDArray[np.bool_]
    version: Ints
    ratings: Mapping[str, Floats] = field(default_factory=dict)
    characters: Floats | None = None  # None: not known of any
    rationale: Ints | None = None

    def __len__(self) -> int:
        return len(self.task)

    @property
    def sizes(self) -> Ints:
        """Responses per row."""
        sizes: Ints = np.count_nonzero(self.ranks, axis=1).astype(np.int64)
        return sizes

    def where(self, rows: NDArray[np.bool_] | Ints) -> "Judgements":
        """The rows of a mask, or of ascending numbers: still sorted by task."""
        columns = {
            column.name: getattr(self, column.name)[rows]
            for column in fields(self)
            if column.name not in {"ratings", "characters", "rationale"}
        }
        return Judgements(
            **columns,
            ratings={key: values[rows] for key, values in self.ratings.items()},
            characters=None if self.characters is None else self.characters[rows],
            rationale=None if self.rationale is None else self.rationale[rows],
        )

    def once(self) -> "Judgements":
        """Without repeats."""
        return self.where(~self.repeat) if self.repeat.any() else self

    @property
    def has_ties(self) -> bool:
        ordered = np.sort(self.ranks, axis=1)
        return bool(((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] > 0)).any())


def from_rankings(
    rankings: Sequence[tuple[int, int, Sequence[int]]],
    *,
    strength: Sequence[float | None] | None = None,
) -> Judgements:
    """Columns from (task, annotator, ranks) triples; what is not given is unknown."""
    order = sorted(range(len(rankings)), key=lambda row: rankings[row][0])
    n, width = len(rankings), max((len(ranks) for _, _, ranks in rankings), default=2)
    ranks = np.zeros((n, width), np.int16)
    for row, source in enumerate(order):
        given = rankings[source][2]
        ranks[row, : len(given)] = given
    return Judgements(
        task=np.array([rankings[row][0] for row in order], np.int64),
        annotator=np.array([rankings[row][1] for row in order], np.int64),
        ranks=ranks,
        display=np.full((n, width), -1, np.int16),
        lengths=np.full((n, width), -1, np.int64),
        strength=np.array(
            [
                np.nan if strength is None or strength[row] is None else strength[row]
                for row in order
            ],
            np.float64,
        ),
        seconds=np.full(n, np.nan),
        submitted=np.zeros(n),
        repeat=np.zeros(n, np.bool_),
        version=np.ones(n, np.int64),
    )


@dataclass(frozen=True, slots=True)
class Units:
    """What was judged, as counts: counts (units, categories), task (units,) sorted.

    place (units,): which of its task's units it is, so that (task, place) names the same thing in
    the judgements of any two people.
    """

    counts: Ints
    task: Ints
    place: Ints


@dataclass(frozen=True, slots=True)
class Panel:
    """Tasks with the same number of responses and of judgements: rows (tasks, people)."""

    rows: Ints
    size: int


def panels(judgements: Judgements, *, fewest: int = 2) -> Iterator[Panel]:
    """All tasks with at least `fewest` judgements, by shape, so that work on them is one array."""
    _, start, people = np.unique(judgements.task, return_index=True, return_counts=True)
    sizes = judgements.sizes[start] if len(start) else start
    for m in np.unique(people[people >= fewest]):
        for n in np.unique(sizes[people == m]):
            starts = start[(people == m) & (sizes == n)]
            step = max(1, _CELLS // int(m * m + m * n * n))
            for begin in range(0, len(starts), step):
                chunk = starts[begin : begin + step]
                yield Panel(rows=chunk[:, None] + np.arange(m), size=int(n))


def pair_signs(ranks: NDArray[np.int16], size: int) -> NDArray[np.int8]:
    """+1 first better, −1 second better, 0 tie: (…, W) → (…, size·(size−1)/2), pairs i < j."""
    pairs = list(combinations(range(size), 2))
    first, second = [i for i, _ in pairs], [j for _, j in pairs]
    signs: NDArray[np.int8] = np.sign(ranks[..., second] - ranks[..., first]).astype(np.int8)
    return signs


_OF_TWO = np.array([0, NOT_GIVEN, 1, NOT_GIVEN], np.int16)  # by class; the last by NOT_GIVEN


def ranking_categories(judgements: Judgements, *, ties: bool = True) -> Categories:
    """Every implied pair, in three classes: first better, tie, second better.

    Without `ties`, which then nobody may have given, in two: first better, second better.
    """
    ranks = judgements.ranks
    columns = [
        np.where(ranks[:, j] > 0, TIE - np.sign(ranks[:, j] - ranks[:, i]), NOT_GIVEN)
        for i, j in combinations(range(ranks.shape[1]), 2)
    ]
    classes: Categories = np.stack(columns, axis=1).astype(np.int16)
    return classes if ties else _OF_TWO[classes]


def signed_strength(judgements: Judgements) -> Floats:
    """Strength of a pair towards its first response: −levels … levels, tie 0, NaN unknown."""
    pair = judgements.sizes == 2
    sign = np.sign(judgements.ranks[:, 1] - judgements.ranks[:, 0]).astype(np.float64)
    signed = np.where(sign == 0, 0.0, sign * judgements.strength)
    return np.where(pair, signed, np.nan)


def strength_categories(judgements: Judgements, *, levels: int) -> Categories:
    """Pairs on the ordinal scale of 2·levels + 1 steps; more than declared counts as strongest."""
    signed = signed_strength(judgements)
    step = np.clip(np.nan_to_num(signed), -levels, levels) + levels
    return np.where(np.isnan(signed), NOT_GIVEN, step).astype(np.int16)[:, None]


def rating_categories(judgements: Judgements, *, criterion: str, low: int, high: int) -> Categories:
    """Every response on one criterion's declared scale, steps of one."""
    ratings = judgements.ratings[criterion]
    step = np.clip(np.rint(np.nan_to_num(ratings)), low, high) - low
    return np.where(np.isnan(ratings), NOT_GIVEN, step).astype(np.int16)


def units_of(judgements: Judgements, categories: Categories, *, n_categories: int) -> Units:
    """How often each category was given to each place of each task, where any was."""
    is_next = np.ones(len(judgements), np.bool_)  # rows are sorted by task
    is_next[1:] = judgements.task[1:] != judgements.task[:-1]
    names, local = judgements.task[is_next], np.cumsum(is_next) - 1
    counts = [np.zeros((0, n_categories), np.int64)]
    tasks, places = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for place, said in enumerate(categories.T):
        given = said >= 0
        flat = local[given] * n_categories + said[given]
        number = np.bincount(flat, minlength=len(names) * n_categories)
        number = number.reshape(len(names), n_categories).astype(np.int64)
        used = number.any(axis=1)
        counts.append(number[used])
        tasks.append(names[used])
        places.append(np.full(int(used.sum()), place))
    task = np.concatenate(tasks)
    order = np.argsort(task, kind="stable")
    return Units(
        counts=np.concatenate(counts)[order],
        task=task[order],
        place=np.concatenate(places)[order],
    )
