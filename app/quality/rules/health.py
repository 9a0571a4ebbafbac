"""One person's figures, from the judgements of all."""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.quality.rules import drift
from app.quality.rules.annotators import (
    Tally,
    dissent_shares,
    lean,
    peer_shares,
    repeat_shares,
    tally,
    tie_shares,
)
from app.quality.rules.drift import Change
from app.quality.rules.intervals import (
    Figure,
    Floats,
    binomial_p_value,
    median_figure,
    share_figure,
    undefined,
)
from app.quality.rules.judgements import Judgements
from app.quality.rules.pace import NOTHING, Pace, below_reading, log_z, pace
from app.quality.rules.sides import TOO_FEW_SIDES, Streak, most_repeated, streak
from app.quality.rules.significance import Excess, excess, p_at_most

NO_PEERS = "No task of hers has a clear majority of others."
NO_DISSENT = "Nobody else has decided on tasks where she has."
NO_REPEATS = "She has not been shown a task twice."
NO_DISPLAY = "No decisive judgement whose order on screen is known."
NO_LENGTHS = "No decisive judgement between responses of different length."
NO_LENGTHS_SHARED = "Nobody else has decided on tasks where she has, of different length."
NOT_SHARED = "No task of hers was judged by others."
NO_RATIONALES = "She has given no rationale."
NO_JUDGEMENTS = "She has judged nothing that counts."
NO_TIMES = "No times are known."
CHANCE = 0.5  # of preferring the same of two responses by throwing a coin
ABOVE_CHANCE = 0.6  # the others must be here before anybody is held against them


@dataclass(frozen=True, slots=True)
class Bias:
    """A share whose fair value is one half, with the exact binomial test against it."""

    share: Figure
    n: int
    p_value: float | None

    def as_json(self) -> dict[str, Any]:
        return {**self.share.as_json(), "n": self.n, "p_value": short(self.p_value)}


@dataclass(frozen=True, slots=True)
class Compared:
    """Her share beside that of the others; what `p_value` tests is said where it is made."""

    share: Figure
    others: float | None
    n: int
    p_value: float | None

    def as_json(self) -> dict[str, Any]:
        others = None if self.others is None else round(self.others, 6)
        return {
            **self.share.as_json(),
            "others": others,
            "n": self.n,
            "p_value": short(self.p_value),
        }


def short(p_value: float | None) -> float | None:
    return None if p_value is None else float(f"{p_value:.4g}")


@dataclass(frozen=True, slots=True)
class Health:
    """`annotator` is her code in the judgements.

    peer_agreement: with the majority of the others, beside theirs with their others; its p_value,
    as that of self_consistency: of being so low, were she halfway from a coin to the others;
    dissent: of decisive comparisons with single others, those that are opposite.
    position_bias: preferring what was shown first; length_bias: preferring the longer;
    …_against_others: on the same tasks, p_value of so much more than they by chance (a slope on
    length would mix her taste with what the responses deserve; others on the task do not);
    sides: longest run of one side; same_rationale: the commonest of those given;
    seconds_per_task: median; pace: against reading time; drift, hours: agreement with peers over
    the days, and over the hours of a day.
    """

    annotator: int
    n_annotations: int
    n_shared: int
    n_repeats: int
    peer_agreement: Compared
    dissent: Compared
    self_consistency: Compared
    position_bias: Bias
    length_bias: Bias
    length_against_others: Compared
    tie_share: Figure
    ties_against_others: Compared
    sides: Streak
    same_rationale: Compared
    seconds_per_task: Figure
    pace: Pace
    drift: Change
    hours: Change
    last_submitted: float | None  # seconds since 1970

    def as_json(self) -> dict[str, Any]:
        figures = (Figure, Bias, Compared, Streak, Pace, Change)
        return {
            name: value.as_json() if isinstance(value := getattr(self, name), figures) else value
            for name in self.__slots__
            if name != "annotator"
        }


def nothing_known() -> dict[str, Any]:
    """The wire form of the figures of somebody who has judged nothing that counts."""
    nothing = undefined(NO_JUDGEMENTS)
    no_bias, not_compared = Bias(nothing, 0, None), Compared(nothing, None, 0, None)
    no_change = Change(0, reason=NO_JUDGEMENTS)
    return Health(
        annotator=-1,
        n_annotations=0,
        n_shared=0,
        n_repeats=0,
        peer_agreement=not_compared,
        dissent=not_compared,
        self_consistency=not_compared,
        position_bias=no_bias,
        length_bias=no_bias,
        length_against_others=not_compared,
        tie_share=nothing,
        ties_against_others=not_compared,
        sides=Streak(0, reason=TOO_FEW_SIDES),
        same_rationale=not_compared,
        seconds_per_task=nothing,
        pace=NOTHING,
        drift=no_change,
        hours=no_change,
        last_submitted=None,
    ).as_json()


def shown_first(judgements: Judgements) -> Floats:
    """Per row, 1 if what was shown earlier was preferred, 0 if later, NaN if neither or unknown."""
    display = judgements.display
    return lean(judgements, np.where(display >= 0, display.max(initial=0) - display, -1))


def annotator_health(judgements: Judgements, *, n_annotators: int) -> list[Health]:
    """One row per annotator code 0 … n_annotators − 1."""
    once = judgements.once()
    who = once.annotator
    count = partial(tally, n_annotators=n_annotators)
    more = partial(excess, once.task, who, n_annotators=n_annotators)
    peers, first, longer = peer_shares(once), shown_first(once), lean(once, once.lengths)
    tied = tie_shares(once)
    z, below = log_z(once), below_reading(once)
    pool = (float(np.nansum(below)), float((~np.isnan(below)).sum()))
    with_peers, again = count(who, peers), count(*repeat_shares(judgements))
    left, long, ties = count(who, first), count(who, longer), count(who, tied)
    longer_than_others, more_ties, apart = more(longer), more(tied), more(dissent_shares(once))
    shared = np.bincount(who[_shared_rows(once)], minlength=n_annotators)
    moments, compared = once.submitted, ~np.isnan(peers)
    by_week = drift.pool_of(drift.weeks_of(moments[compared]), peers[compared])
    by_hour = drift.pool_of(drift.hours_of(moments[compared]), peers[compared])
    order = np.lexsort((moments, who))
    bounds = np.searchsorted(who[order], np.arange(n_annotators + 1))
    repeated = _repeated(once, order, bounds)
    found = []
    for code in range(n_annotators):
        hers = order[bounds[code] : bounds[code + 1]]
        known = hers[compared[hers]]
        found.append(
            Health(
                annotator=code,
                n_annotations=len(hers),
                n_shared=int(shared[code]),
                n_repeats=int(again.number[code]),
                peer_agreement=_among(with_peers, code, NO_PEERS),
                dissent=_excess(apart, code, NO_DISSENT),
                self_consistency=_among(again, code, NO_REPEATS),
                position_bias=_bias(left, code, NO_DISPLAY),
                length_bias=_bias(long, code, NO_LENGTHS),
                length_against_others=_excess(longer_than_others, code, NO_LENGTHS_SHARED),
                tie_share=share_figure(
                    float(ties.sums[code]), int(ties.number[code]), none=NO_JUDGEMENTS
                ),
                ties_against_others=_excess(more_ties, code, NOT_SHARED),
                sides=streak(first[hers]),
                same_rationale=_among(repeated, code, NO_RATIONALES, tested=False),
                seconds_per_task=_seconds(once.seconds[hers]),
                pace=pace(once.seconds[hers], z[hers], below[hers], pool=pool),
                drift=drift.fall(moments[known], peers[known], by_week),
                hours=drift.hours(moments[known], peers[known], by_hour),
                last_submitted=float(moments[hers].max()) if len(hers) else None,
            )
        )
    return found


def _repeated(once: Judgements, order: NDArray[np.intp], bounds: NDArray[np.intp]) -> Tally:
    """Per annotator, how often she gave her commonest rationale, of how many."""
    words = np.zeros(len(once), np.int64) if once.rationale is None else once.rationale
    pairs = [most_repeated(words[order[begin:end]]) for begin, end in pairwise(bounds)]
    counts = np.array(pairs, np.int64).reshape(-1, 2)
    return Tally(counts[:, 0].astype(np.float64), counts[:, 1])


def _among(tallied: Tally, code: int, none: str, *, tested: bool = True) -> Compared:
    """Her share beside everybody else's, held against halfway between a coin and the others."""
    total, n = float(tallied.sums[code]), int(tallied.number[code])
    rest = int(tallied.number.sum()) - n
    others = (float(tallied.sums.sum()) - total) / rest if rest else None
    p_value = None
    if tested and n and others is not None and others >= ABOVE_CHANCE:
        p_value = p_at_most(total, n, (CHANCE + others) / 2)
    return Compared(share_figure(total, n, none=none), others, n, p_value)


def _excess(found: Excess, code: int, none: str) -> Compared:
    n, p_value = int(found.tasks[code]), float(found.p_value[code])
    return Compared(
        share=share_figure(float(found.own[code]), n, none=none),
        others=float(found.others[code]) / n if n else None,
        n=n,
        p_value=None if np.isnan(p_value) else p_value,
    )


def _bias(tallied: Tally, code: int, none: str) -> Bias:
    n, successes = int(tallied.number[code]), round(float(tallied.sums[code]))
    p_value = binomial_p_value(successes, n) if n else None
    return Bias(share_figure(successes, n, none=none), n, p_value)


def _seconds(seconds: Floats) -> Figure:
    known = seconds[~np.isnan(seconds)]
    return median_figure(known) if len(known) else undefined(NO_TIMES)


def _shared_rows(judgements: Judgements) -> NDArray[np.bool_]:
    _, task, number = np.unique(judgements.task, return_inverse=True, return_counts=True)
    return np.asarray(number[task] >= 2)
