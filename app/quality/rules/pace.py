"""Speed against reading time. Slow answers are nobody's fault and are not looked at."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from app.quality.rules.intervals import Figure, Floats, share_figure, undefined
from app.quality.rules.judgements import Judgements

READING = 30.0  # characters a second: nobody reads faster (about 360 words a minute)
SIGMA = 1.4826  # median absolute deviation → standard deviation of a normal
FEWEST_ANSWERS = 10
NO_FLOOR = "No judgement with a time and a length to hold it against."
NO_SPREAD = "The times do not differ enough to call one unusual."
TOO_FEW = f"Fewer than {FEWEST_ANSWERS} judgements with a time."


@dataclass(frozen=True, slots=True)
class Pace:
    """Of one person.

    z: median over her answers of their robust z; below: share of answers faster than reading,
    `others` that of everybody else together; n: answers with both time and length.
    """

    z: Figure
    below: Figure
    others: float | None
    n: int

    def as_json(self) -> dict[str, Any]:
        others = None if self.others is None else round(self.others, 6)
        return {
            "z": self.z.as_json(),
            "below_reading_speed": self.below.as_json(),
            "others": others,
            "n": self.n,
        }


NOTHING = Pace(undefined(TOO_FEW), undefined(NO_FLOOR), None, 0)


def log_z(judgements: Judgements) -> Floats:
    """Per row, (log seconds − median) / (1.4826·MAD) among tasks with as many responses.

    Robust, so that the slow and the fast do not move the mark they are held against. NaN where
    the time is unknown or the deviation is zero.
    """
    z = np.full(len(judgements), np.nan)
    timed = judgements.seconds > 0
    logs = np.log(judgements.seconds, where=timed, out=np.full(len(judgements), np.nan))
    sizes = judgements.sizes
    for size in np.unique(sizes[timed]):
        mine = timed & (sizes == size)
        middle = np.median(logs[mine])
        deviation = SIGMA * np.median(np.abs(logs[mine] - middle))
        if deviation > 0:
            z[mine] = (logs[mine] - middle) / deviation
    return z


def below_reading(judgements: Judgements) -> Floats:
    """Per row, 1 where the answer came faster than its responses can be read, else 0, NaN unknown.

    The prompt is left out: it may have been read before, or be the same for many tasks.
    """
    if judgements.characters is None:
        return np.full(len(judgements), np.nan)
    known = ~np.isnan(judgements.seconds) & ~np.isnan(judgements.characters)
    return np.where(known, judgements.seconds * READING < judgements.characters, np.nan)


def pace(seconds: Floats, z: Floats, below: Floats, *, pool: tuple[float, float]) -> Pace:
    """Of one person's rows; pool: (sum, number) of `below` over everybody."""
    z, fast = z[~np.isnan(z)], below[~np.isnan(below)]
    total, n = float(fast.sum()), len(fast)
    rest = pool[1] - n
    return Pace(
        z=_middle(z, timed=int((seconds > 0).sum())),
        below=share_figure(total, n, none=NO_FLOOR),
        others=float((pool[0] - total) / rest) if rest > 0 else None,
        n=n,
    )


def _middle(z: Floats, *, timed: int) -> Figure:
    if timed < FEWEST_ANSWERS:
        return undefined(TOO_FEW)
    return Figure(float(np.median(z))) if len(z) else undefined(NO_SPREAD)
