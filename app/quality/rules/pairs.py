"""All implied pairs of all tasks at once, the votes on them, and orders made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from app.quality.rules.dawid_skene import FIRST, SECOND, TIE
from app.quality.rules.intervals import Floats, Ints
from app.quality.rules.judgements import Judgements


@dataclass(frozen=True, slots=True)
class Pairs:
    """P pairs of T tasks, and V votes on them.

    names, sizes (T,): code of each task, its number of responses; task, first, second (P,): place
    of the pair's task in `names`, positions of its responses; pair, annotator, said (V,): votes;
    mirrored: the second was shown further left; seen: on a screen at all.
    """

    names: Ints
    sizes: Ints
    task: Ints
    first: Ints
    second: Ints
    pair: Ints
    annotator: Ints
    said: Ints
    mirrored: NDArray[np.bool_]
    seen: NDArray[np.bool_]


def implied_pairs(judgements: Judgements) -> Pairs:
    """Of judgements without repeats."""
    names, start, place = np.unique(judgements.task, return_index=True, return_inverse=True)
    of_rows = judgements.sizes
    columns: list[tuple[Ints, ...]] = []
    votes: list[tuple[NDArray[np.generic], ...]] = []
    n_pairs = 0
    for size in np.unique(of_rows):
        mine = np.flatnonzero(of_rows == size)
        tasks, local = np.unique(place[mine], return_inverse=True)
        ranks, display = judgements.ranks[mine], judgements.display[mine]
        for i, j in combinations(range(int(size)), 2):
            columns.append((tasks, np.full(len(tasks), i), np.full(len(tasks), j)))
            votes.append(
                (
                    n_pairs + local,
                    judgements.annotator[mine],
                    TIE - np.sign(ranks[:, j] - ranks[:, i]).astype(np.int64),
                    display[:, i] > display[:, j],
                    (display[:, i] >= 0) & (display[:, j] >= 0),
                )
            )
            n_pairs += len(tasks)
    task, first, second = _joined(columns, 3)
    pair, annotator, said, mirrored, seen = _joined(votes, 5)
    return Pairs(
        names=names,
        sizes=of_rows[start],
        task=task,
        first=first,
        second=second,
        pair=pair,
        annotator=annotator,
        said=said,
        mirrored=mirrored.astype(np.bool_) & seen.astype(np.bool_),
        seen=seen.astype(np.bool_),
    )


def _joined(parts: Sequence[tuple[NDArray[np.generic], ...]], width: int) -> list[Ints]:
    if not parts:
        return [np.zeros(0, np.int64)] * width
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def vote_counts(pairs: Pairs) -> Ints:
    """(pairs, 3): votes for the first, a tie, the second."""
    n = len(pairs.task)
    counts = np.bincount(pairs.pair * 3 + pairs.said, minlength=3 * n).reshape(n, 3)
    return counts.astype(np.int64)


def known_classes(pairs: Pairs, known: Mapping[int, Sequence[int]]) -> Ints:
    """(pairs,): the class of pairs whose task, by its code, has known ranks; −1 elsewhere."""
    truth = np.full(len(pairs.task), -1)
    ranks = known_ranks(pairs, known)
    of_first, of_second = ranks[pairs.task, pairs.first], ranks[pairs.task, pairs.second]
    is_known = of_first > 0
    truth[is_known] = (TIE - np.sign(of_second - of_first))[is_known]
    return truth


def known_ranks(pairs: Pairs, known: Mapping[int, Sequence[int]]) -> Ints:
    """(tasks, widest): ranks by position where they are known, else 0."""
    ranks = np.zeros((len(pairs.names), int(pairs.sizes.max(initial=2))), np.int64)
    for code, given in known.items():
        place = int(np.searchsorted(pairs.names, code))
        if place < len(pairs.names) and pairs.names[place] == code:
            ranks[place, : len(given)] = given
    return ranks


def copeland(pairs: Pairs, preferred: Ints) -> Ints:
    """(tasks, widest): the order of the responses by pairs won less pairs lost, 0 = no response.

    preferred (pairs,): +1 the first, −1 the second, 0 neither.
    """
    n, width = len(pairs.names), int(pairs.sizes.max(initial=2))
    won = np.bincount(pairs.task * width + pairs.first, preferred, minlength=n * width)
    lost = np.bincount(pairs.task * width + pairs.second, preferred, minlength=n * width)
    score = (won - lost).reshape(n, width)
    is_there = np.arange(width) < pairs.sizes[:, None]
    score = np.where(is_there, score, -np.inf)
    better = (score[:, None, :] > score[:, :, None]).sum(axis=2)
    ranks: Ints = np.where(is_there, 1 + better, 0).astype(np.int64)
    return ranks


def preferred_by_majority(counts: Ints) -> Ints:
    """(pairs,): of the decisive votes, 0 where they are even."""
    preferred: Ints = np.sign(counts[:, FIRST] - counts[:, SECOND])
    return preferred


def preferred_by_posterior(posterior: Floats) -> Ints:
    """(pairs,): the likeliest class, 0 for a tie and where first and second are as likely."""
    is_tie = posterior[:, TIE] >= posterior[:, [FIRST, SECOND]].max(axis=1)
    sign = np.sign(posterior[:, FIRST] - posterior[:, SECOND]).astype(np.int64)
    preferred: Ints = np.where(is_tie, 0, sign)
    return preferred


def undecided(pairs: Pairs, preferred: Ints, *, even: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(tasks,): nothing is preferred anywhere, and not because everything ties.

    even (pairs,): where nothing is preferred, it is because as much speaks for either side.
    """
    n = len(pairs.names)
    decided = np.bincount(pairs.task[preferred != 0], minlength=n) > 0
    in_doubt = np.bincount(pairs.task[even], minlength=n) > 0
    return ~decided & in_doubt
