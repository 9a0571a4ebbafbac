"""One person's judgements over time, place and length: what her page draws."""

from dataclasses import dataclass
from math import exp, lgamma, log
from typing import Any

import numpy as np

from app.quality.rules.annotators import peer_shares
from app.quality.rules.breakdowns import week_of
from app.quality.rules.drift import FIRST_MONDAY, WEEK, hours_of, weeks_of
from app.quality.rules.intervals import Figure, Floats, share_figure
from app.quality.rules.judgements import Judgements
from app.quality.rules.pace import below_reading

WEEKS, LATEST = 26, 20
POINTS = 400  # of the picture of speed: more would only be darker
QUARTERS = 4
NO_PEERS = "Nobody else has judged what she did then, or they do not agree."


@dataclass(frozen=True, slots=True)
class Span:
    """Agreement with peers in one week or at one hour of the day."""

    key: str
    n_annotations: int
    n: int
    agreement: Figure
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Lengths:
    """A quarter of her tasks by length: how long they took, and how many less than reading."""

    characters: tuple[int, int]
    n: int
    seconds: float
    below: float


@dataclass(frozen=True, slots=True)
class Latest:
    """One of her judgements; others: share of its decisive pairs with the majority, None: alone."""

    task: int
    submitted: float
    seconds: float | None
    others: float | None
    is_tie: bool


@dataclass(frozen=True, slots=True)
class Series:
    """What her page draws.

    places: how often the response shown there was preferred to all others, by place on screen,
    among tasks of the commonest size; ties: of those, with no single best.
    """

    weeks: list[Span]
    hours: list[Span]
    places: list[int]
    ties: int
    points: list[tuple[int, float]]
    lengths: list[Lengths]
    latest: list[Latest]


def series(judgements: Judgements, code: int) -> Series:
    """From her judgements and those of others on the same tasks."""
    once = judgements.once()
    peers = peer_shares(once)
    hers = np.flatnonzero(once.annotator == code)
    hers = hers[np.argsort(once.submitted[hers], kind="stable")]
    mine, peers = once.where(hers), peers[hers]
    moments = mine.submitted
    return Series(
        weeks=[
            _span(
                week_of(float(week) * WEEK + FIRST_MONDAY), weeks_of(moments) == week, mine, peers
            )
            for week in np.unique(weeks_of(moments))[-WEEKS:]
        ],
        hours=[
            _span(f"{hour:02d}", hours_of(moments) == hour, mine, peers)
            for hour in np.unique(hours_of(moments))
        ],
        **_places(mine),
        points=_points(mine),
        lengths=_lengths(mine),
        latest=[_latest(mine, peers, row) for row in range(len(mine) - 1, -1, -1)[:LATEST]],
    )


def _span(key: str, chosen: Any, mine: Judgements, peers: Floats) -> Span:
    known = peers[chosen & ~np.isnan(peers)]
    seconds = mine.seconds[chosen & ~np.isnan(mine.seconds)]
    return Span(
        key=key,
        n_annotations=int(chosen.sum()),
        n=len(known),
        agreement=share_figure(float(known.sum()), len(known), none=NO_PEERS),
        seconds=float(np.median(seconds)) if len(seconds) else None,
    )


def _places(mine: Judgements) -> dict[str, Any]:
    known = mine.where(mine.display[:, 0] >= 0)
    if not len(known):
        return {"places": [], "ties": 0}
    size = int(np.bincount(known.sizes).argmax())
    known = known.where(known.sizes == size)
    best = known.ranks[:, :size] == 1
    single = best.sum(axis=1) == 1
    chosen = known.display[:, :size][single][best[single]]
    return {
        "places": np.bincount(chosen, minlength=size).tolist(),
        "ties": int((~single).sum()),
    }


def _timed(mine: Judgements) -> Judgements:
    if mine.characters is None:
        return mine.where(np.zeros(len(mine), np.bool_))
    return mine.where((mine.seconds > 0) & (mine.characters > 0))


def _points(mine: Judgements) -> list[tuple[int, float]]:
    timed = _timed(mine)
    if timed.characters is None or not len(timed):
        return []
    rows = np.unique(np.linspace(0, len(timed) - 1, min(POINTS, len(timed))).astype(np.int64))
    return [(int(timed.characters[row]), round(float(timed.seconds[row]), 1)) for row in rows]


def _lengths(mine: Judgements) -> list[Lengths]:
    timed = _timed(mine)
    if timed.characters is None or not len(timed):
        return []
    order = np.argsort(timed.characters, kind="stable")
    below = below_reading(timed)
    return [
        Lengths(
            characters=(int(timed.characters[part[0]]), int(timed.characters[part[-1]])),
            n=len(part),
            seconds=float(np.median(timed.seconds[part])),
            below=float(below[part].mean()),
        )
        for part in np.array_split(order, min(QUARTERS, len(order)))
    ]


def _latest(mine: Judgements, peers: Floats, row: int) -> Latest:
    ranks = mine.ranks[row]
    seconds = float(mine.seconds[row])
    return Latest(
        task=int(mine.task[row]),
        submitted=float(mine.submitted[row]),
        seconds=None if np.isnan(seconds) else seconds,
        others=None if np.isnan(peers[row]) else float(peers[row]),
        is_tie=bool((ranks == 1).sum() > 1),
    )


def beta_density(a: float, b: float, *, steps: int = 100) -> list[tuple[float, float]]:
    """(accuracy, density) of Beta(a, b) over (0, 1); a, b > 1, so that both ends are zero."""
    front = lgamma(a + b) - lgamma(a) - lgamma(b)
    inner = (step / steps for step in range(1, steps))
    curve = [(x, exp(front + (a - 1) * log(x) + (b - 1) * log(1 - x))) for x in inner]
    return [(0.0, 0.0), *((x, round(y, 6)) for x, y in curve), (1.0, 0.0)]
