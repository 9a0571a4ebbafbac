"""What the judgements say of the people, row by row: peers, repeats, a lean, ties; who agrees."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.quality.rules.intervals import Floats, Ints
from app.quality.rules.judgements import Judgements, pair_signs, panels


@dataclass(frozen=True, slots=True)
class Tally:
    """Per annotator: a sum of shares and how many went into it, both (annotators,)."""

    sums: Floats
    number: Ints


def tally(annotator: Ints, shares: Floats, *, n_annotators: int) -> Tally:
    """Sum and number of the defined (not NaN) shares of each annotator."""
    defined = ~np.isnan(shares)
    who = annotator[defined]
    return Tally(
        sums=np.bincount(who, shares[defined], minlength=n_annotators).astype(np.float64),
        number=np.bincount(who, minlength=n_annotators).astype(np.int64),
    )


def peer_shares(judgements: Judgements) -> Floats:
    """Per row, the share of its decisive implied pairs that go with the majority of the others.

    Leave one out: the own vote is not part of the majority; pairs on which the others are even or
    all tie are skipped, as are own ties. NaN where no pair is left.
    """
    shares = np.full(len(judgements), np.nan)
    for panel in panels(judgements):
        signs = pair_signs(judgements.ranks[panel.rows], panel.size).astype(np.int16)
        others = np.sign(signs.sum(axis=1, keepdims=True) - signs)
        comparable = (signs != 0) & (others != 0)
        number = comparable.sum(axis=2)
        agreeing = (comparable & (signs == others)).sum(axis=2)
        shares[panel.rows] = np.where(number > 0, agreeing / np.maximum(number, 1), np.nan)
    return shares


def dissent_shares(judgements: Judgements) -> Floats:
    """Per row, the share of decisive comparisons with single others that are opposite.

    Unlike the majority, it is there where the others are even; ties on either side are left out.
    """
    shares = np.full(len(judgements), np.nan)
    for panel in panels(judgements):
        signs = pair_signs(judgements.ranks[panel.rows], panel.size).astype(np.int16)
        untied = np.abs(signs)
        decisive = untied * (untied.sum(axis=1, keepdims=True) - 1)
        balance = signs * (signs.sum(axis=1, keepdims=True) - signs)
        opposite = (decisive - balance).sum(axis=2) / 2
        number = decisive.sum(axis=2)
        shares[panel.rows] = np.where(number > 0, opposite / np.maximum(number, 1), np.nan)
    return shares


def repeat_shares(judgements: Judgements) -> tuple[Ints, Floats]:
    """(annotator, share of implied pairs judged the same way) of each second look at a task.

    Ranks are canonical, so responses are compared, never sides of the screen. A second look under
    other guidelines tells of these, not of her, and is left out.
    """
    people = int(judgements.annotator.max(initial=0)) + 1
    key = judgements.task * people + judgements.annotator
    first_look = np.flatnonzero(~judgements.repeat)
    original = first_look[np.argsort(key[first_look], kind="stable")]
    again = np.flatnonzero(judgements.repeat)
    place = np.searchsorted(key[original], key[again])
    known = place < len(original)
    known[known] = key[original[place[known]]] == key[again[known]]
    again, before = again[known], original[place[known]]
    alike = judgements.version[again] == judgements.version[before]
    again, before = again[alike], before[alike]
    shares = np.zeros(len(again))
    sizes = judgements.sizes[again]
    for size in np.unique(sizes):
        mine = sizes == size
        now = pair_signs(judgements.ranks[again[mine]], int(size))
        then = pair_signs(judgements.ranks[before[mine]], int(size))
        shares[mine] = (now == then).mean(axis=1)
    return judgements.annotator[again], shares


def lean(judgements: Judgements, feature: NDArray[np.integer[Any]]) -> Floats:
    """Per row, 1 if most decisive implied pairs prefer the response with more of `feature` or 0.

    feature (N, W), −1 = unknown. NaN where neither outweighs: ties, or equal features. For a pair
    it is simply whether the one with more was preferred; one value per task keeps tests exact.
    """
    leans = np.full(len(judgements), np.nan)
    sizes = judgements.sizes
    known = feature[:, 0] >= 0
    for size in np.unique(sizes):
        mine = np.flatnonzero((sizes == size) & known)
        preferred = pair_signs(judgements.ranks[mine], int(size)).astype(np.int64)
        # `pair_signs` is +1 where the first has the smaller number; here more should be +1.
        more = -pair_signs(feature[mine].astype(np.int64), int(size)).astype(np.int64)
        total = (preferred * more).sum(axis=1)
        leans[mine] = np.where(total == 0, np.nan, total > 0)
    return leans


def tie_shares(judgements: Judgements) -> Floats:
    """Per row, the share of its implied pairs that are ties."""
    shares = np.zeros(len(judgements))
    sizes = judgements.sizes
    for size in np.unique(sizes):
        mine = sizes == size
        shares[mine] = (pair_signs(judgements.ranks[mine], int(size)) == 0).mean(axis=1)
    return shares


def task_disagreement(judgements: Judgements) -> tuple[Ints, Floats]:
    """(task, share of pairs of people and implied pairs that differ) of every shared task."""
    once = judgements.once()
    tasks, disagreement = [np.zeros(0, np.int64)], [np.zeros(0)]
    for panel in panels(once):
        signs = pair_signs(once.ranks[panel.rows], panel.size)
        m = panel.rows.shape[1]
        number = np.stack([(signs == sign).sum(axis=1) for sign in (1, 0, -1)])
        same = (number * (number - 1)).sum(axis=0) / (m * (m - 1))
        tasks.append(once.task[panel.rows[:, 0]])
        disagreement.append(1 - same.mean(axis=1))
    return np.concatenate(tasks), np.concatenate(disagreement)
