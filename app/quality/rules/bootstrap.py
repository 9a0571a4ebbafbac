"""The bootstrap over tasks, as multinomial weights over distinct tasks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.quality.rules.intervals import FEWEST_TASKS, Floats, Ints

RESAMPLES = 1_000
MOST_PROFILES = 4_096
_BLOCK = 2_048  # kinds of units summed at once
_ONE_BY_ONE = 8  # tasks per profile up to which drawing each task is faster than a multinomial
_MOST_DRAWN = 5_000_000  # numbers held at once

Words = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Profiles:
    """Distinct tasks: what each adds to the sums that figures are made of, and how many there are.

    sums: (profiles, features); tasks: (profiles,).
    """

    sums: Floats
    tasks: Ints

    def total(self) -> Floats:
        """Sums over all tasks, shape (1, features)."""
        return (self.tasks @ self.sums)[None, :]

    def with_resamples(self, rng: np.random.Generator, resamples: int = RESAMPLES) -> Floats:
        """Sums over all tasks, then over each resample: shape (1 + resamples, features).

        Of fewer than FEWEST_TASKS tasks there is no interval, and nothing is drawn.
        """
        if self.tasks.sum() < FEWEST_TASKS:
            return self.total()
        return np.concatenate([self.total(), self.resampled(rng, resamples)])

    def resampled(self, rng: np.random.Generator, resamples: int = RESAMPLES) -> Floats:
        """Sums over bootstrap resamples of the tasks, shape (resamples, features).

        To draw T tasks with replacement is to draw how often each distinct one occurs: one
        multinomial draw instead of a copy of the data.
        """
        resampled: Floats = self._drawn(rng, resamples).astype(np.float64) @ self.sums
        return resampled

    def _drawn(self, rng: np.random.Generator, resamples: int) -> Ints:
        """How often each profile is drawn, shape (resamples, profiles)."""
        n_tasks, n_profiles = int(self.tasks.sum()), len(self.tasks)
        if n_tasks > _ONE_BY_ONE * n_profiles or n_tasks * resamples > _MOST_DRAWN:
            return rng.multinomial(n_tasks, self.tasks / n_tasks, size=resamples)
        profile = np.repeat(np.arange(n_profiles), self.tasks)
        drawn = profile[rng.integers(0, n_tasks, size=(resamples, n_tasks))]
        drawn += np.arange(resamples)[:, None] * n_profiles
        number = np.bincount(drawn.ravel(), minlength=resamples * n_profiles)
        return number.reshape(resamples, n_profiles)


def distinct_rows(rows: NDArray[np.generic], rng: np.random.Generator) -> tuple[Ints, Ints]:
    """(kind of each row, an example row of each kind); equal rows are of one kind.

    Rows are told apart by a random 64-bit linear hash: far faster than comparing them.
    """
    words = np.ascontiguousarray(rows).view(np.uint64).reshape(len(rows), -1)
    if rows.dtype.kind == "f":
        words = _stirred(words)
    key = (words * _random_words(rng, words.shape[1])).sum(axis=1, dtype=np.uint64)
    _, example, kind = np.unique(key, return_index=True, return_inverse=True)
    return kind, example


def _stirred(words: Words) -> Words:
    """One to one. The bits of 1.0, 0.5 or 3.0 end in zeros, and products of them all would, too."""
    words = (words ^ (words >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return words ^ (words >> np.uint64(29))


def _random_words(rng: np.random.Generator, n: int) -> Words:
    return rng.integers(0, 2**64, size=n, dtype=np.uint64) | np.uint64(1)


def profiles(
    features: Floats, kind: Ints, task: Ints, extra: Floats, rng: np.random.Generator
) -> Profiles:
    """Distinct tasks from their units and from what else each task adds.

    features (kinds, d): what a unit of each kind adds; kind, task (units,): of each unit, tasks
    numbered 0 … T−1; extra (T, e): added by the task as a whole, e may be 0.
    Beyond MOST_PROFILES distinct tasks, they are first thrown together at random into that many
    groups of equal size: to resample groups changes the width of an interval by about 1 %.
    """
    n_tasks = len(extra)
    signature = np.zeros(n_tasks, np.uint64)
    np.add.at(signature, task, _random_words(rng, len(features))[kind])
    if extra.shape[1]:
        of_extra, example = distinct_rows(extra, rng)
        signature += _random_words(rng, len(example))[of_extra]
    _, first, group, number = np.unique(
        signature, return_index=True, return_inverse=True, return_counts=True
    )
    if len(first) > MOST_PROFILES:
        group = rng.permutation(np.arange(n_tasks) % MOST_PROFILES)
        number = np.ones(MOST_PROFILES, np.int64)
        kept = np.ones(n_tasks, np.bool_)
    else:
        kept = np.zeros(n_tasks, np.bool_)
        kept[first] = True
    unit_kept = kept[task]
    of_units = _grouped(features, kind[unit_kept], group[task[unit_kept]], n_groups=len(number))
    of_tasks = np.zeros((len(number), extra.shape[1]))
    for column, values in enumerate(extra.T):
        of_tasks[:, column] = np.bincount(group[kept], values[kept], minlength=len(number))
    sums = np.concatenate([of_units, of_tasks], axis=1)
    return Profiles(sums=sums, tasks=number.astype(np.int64))


def _grouped(features: Floats, kind: Ints, group: Ints, *, n_groups: int) -> Floats:
    """Sums of the features of units by group: how many of each kind a group has, times features."""
    sums = np.zeros((n_groups, features.shape[1]))
    for begin in range(0, len(features), _BLOCK):
        block = features[begin : begin + _BLOCK]
        mine = (kind >= begin) & (kind < begin + _BLOCK)
        place = group[mine] * len(block) + (kind[mine] - begin)
        number = np.bincount(place, minlength=n_groups * len(block))
        sums += number.reshape(n_groups, len(block)) @ block
    return sums
