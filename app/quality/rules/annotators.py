"""What the judgements say of the people: peers, repeats, place on screen, length, ties, speed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.quality.rules.intervals import (
    Figure,
    Floats,
    Ints,
    binomial_p_value,
    median_figure,
    share_figure,
    undefined,
)
from app.quality.rules.judgements import Judgements, pair_signs, panels

NO_PEERS = "No task of hers has a clear majority of others."
NO_REPEATS = "She has not been shown a task twice."
NO_DISPLAY = "No decisive judgement whose order on screen is known."
NO_LENGTHS = "No decisive judgement between responses of different length."
NO_JUDGEMENTS = "She has judged nothing that counts."
NO_TIMES = "No times are known."


@dataclass(frozen=True, slots=True)
class Bias:
    """A share whose fair value is one half, with the exact binomial test against it."""

    share: Figure
    n: int
    p_value: float | None

    def as_json(self) -> dict[str, Any]:
        p_value = None if self.p_value is None else float(f"{self.p_value:.4g}")
        return {**self.share.as_json(), "n": self.n, "p_value": p_value}


@dataclass(frozen=True, slots=True)
class Health:
    """One person's figures; `annotator` is her code in the judgements.

    peer_agreement: with the majority of the others; position_bias: preferring what was shown
    first; length_bias: preferring the longer; seconds_per_task: median.
    """

    annotator: int
    n_annotations: int
    n_shared: int
    n_repeats: int
    peer_agreement: Figure
    self_consistency: Figure
    position_bias: Bias
    length_bias: Bias
    tie_share: Figure
    seconds_per_task: Figure
    last_submitted: float | None  # seconds since 1970

    def as_json(self) -> dict[str, Any]:
        return {
            name: value.as_json()
            if isinstance(value := getattr(self, name), Figure | Bias)
            else value
            for name in self.__slots__
            if name != "annotator"
        }


def nothing_known() -> dict[str, Any]:
    """The wire form of the figures of somebody who has judged nothing that counts."""
    nothing = undefined(NO_JUDGEMENTS)
    no_bias = Bias(nothing, 0, None)
    return Health(
        annotator=-1,
        n_annotations=0,
        n_shared=0,
        n_repeats=0,
        peer_agreement=nothing,
        self_consistency=nothing,
        position_bias=no_bias,
        length_bias=no_bias,
        tie_share=nothing,
        seconds_per_task=nothing,
        last_submitted=None,
    ).as_json()


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


def annotator_health(judgements: Judgements, *, n_annotators: int) -> list[Health]:
    """One row per annotator code 0 … n_annotators − 1."""
    once = judgements.once()
    who = once.annotator
    peers = tally(who, peer_shares(once), n_annotators=n_annotators)
    again = tally(*repeat_shares(judgements), n_annotators=n_annotators)
    earlier = np.where(once.display >= 0, once.display.max(initial=0) - once.display, -1)
    left = tally(who, lean(once, earlier), n_annotators=n_annotators)
    longer = tally(who, lean(once, once.lengths), n_annotators=n_annotators)
    ties = tally(who, tie_shares(once), n_annotators=n_annotators)
    shared = np.bincount(who[_shared_rows(once)], minlength=n_annotators)
    order = np.argsort(who, kind="stable")
    bounds = np.searchsorted(who[order], np.arange(n_annotators + 1))
    return [
        Health(
            annotator=code,
            n_annotations=int(ties.number[code]),
            n_shared=int(shared[code]),
            n_repeats=int(again.number[code]),
            peer_agreement=_share(peers, code, NO_PEERS),
            self_consistency=_share(again, code, NO_REPEATS),
            position_bias=_bias(left, code, NO_DISPLAY),
            length_bias=_bias(longer, code, NO_LENGTHS),
            tie_share=_share(ties, code, NO_JUDGEMENTS),
            seconds_per_task=_seconds(once.seconds[order[bounds[code] : bounds[code + 1]]]),
            last_submitted=_latest(once.submitted[order[bounds[code] : bounds[code + 1]]]),
        )
        for code in range(n_annotators)
    ]


def _share(tallied: Tally, code: int, none: str) -> Figure:
    return share_figure(float(tallied.sums[code]), int(tallied.number[code]), none=none)


def _bias(tallied: Tally, code: int, none: str) -> Bias:
    n, successes = int(tallied.number[code]), round(float(tallied.sums[code]))
    p_value = binomial_p_value(successes, n) if n else None
    return Bias(share_figure(successes, n, none=none), n, p_value)


def _seconds(seconds: Floats) -> Figure:
    known = seconds[~np.isnan(seconds)]
    return median_figure(known) if len(known) else undefined(NO_TIMES)


def _latest(submitted: Floats) -> float | None:
    return float(submitted.max()) if len(submitted) else None


def _shared_rows(judgements: Judgements) -> NDArray[np.bool_]:
    _, task, number = np.unique(judgements.task, return_inverse=True, return_counts=True)
    return np.asarray(number[task] >= 2)


@dataclass(frozen=True, slots=True)
class Matrix:
    """Agreement of every two people, all arrays (people, people) and symmetric.

    same: sum over shared tasks of the share of implied pairs in the same class; tasks: how many;
    decisive_same, decisive: among implied pairs where neither ties.
    """

    same: Floats
    tasks: Ints
    decisive_same: Floats
    decisive: Ints


def agreement_matrix(judgements: Judgements, *, people: Ints) -> Matrix:
    """Who agrees with whom among `people` (codes); repeats are left out, the diagonal is zero."""
    once = judgements.once()
    once = once.where(np.isin(once.annotator, people))
    n_annotators = len(people)
    cells = n_annotators * n_annotators
    same, decisive_same = np.zeros(cells), np.zeros(cells)
    tasks, decisive = np.zeros(cells, np.int64), np.zeros(cells, np.int64)
    for panel in panels(once):
        signs = pair_signs(once.ranks[panel.rows], panel.size).astype(np.float32)
        untied = np.abs(signs)
        both = untied @ np.swapaxes(untied, 1, 2)
        equal = (both + signs @ np.swapaxes(signs, 1, 2)) / 2
        ties = (1 - untied) @ np.swapaxes(1 - untied, 1, 2)
        who = np.searchsorted(people, once.annotator[panel.rows])
        i, j = np.triu_indices(panel.rows.shape[1], k=1)
        cell = (who[:, i] * n_annotators + who[:, j]).ravel()
        share = (equal + ties)[:, i, j].ravel() / signs.shape[2]
        same += np.bincount(cell, share, minlength=cells)
        tasks += np.bincount(cell, minlength=cells)
        decisive_same += np.bincount(cell, equal[:, i, j].ravel(), minlength=cells)
        decisive += np.bincount(cell, both[:, i, j].ravel(), minlength=cells).astype(np.int64)

    def both_ways(flat: NDArray[Any]) -> Any:
        square = flat.reshape(n_annotators, n_annotators)
        return square + square.T

    return Matrix(both_ways(same), both_ways(tasks), both_ways(decisive_same), both_ways(decisive))


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
