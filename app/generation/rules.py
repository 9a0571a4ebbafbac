"""Which prompts are written to, and what each writer is asked: pure."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from app.datasets.rules.near import words

Floats = NDArray[np.float32]

FEWEST, MOST = 2, 8  # responses to a prompt by all writers
MOST_WRITERS = 4
BUCKETS = 1024  # of hashed words


@dataclass(frozen=True)
class Turn:
    """What a writer is asked at once: so many responses at one temperature."""

    number: int
    n: int
    temperature: float
    seed: int


def turns_of(*, n: int, temperatures: Sequence[float], seed: int) -> list[Turn]:
    """The first response is at the first temperature, the second at the second, and so round.

    Responses at one temperature are written together; each turn has noise of its own.
    """
    each = [temperatures[place % len(temperatures)] for place in range(n)]
    return [
        Turn(number, each.count(temperature), temperature, (seed + number * MOST) % 2**31)
        for number, temperature in enumerate(dict.fromkeys(each))
    ]


def mixed(key: str, texts: Sequence[str]) -> list[int]:
    """Places of the texts in an order that tells nothing of who wrote which.

    It hangs on the texts alone, so that it is the same each time.
    """

    def draw(place: int) -> bytes:
        text = texts[place].encode("utf-8", "replace")
        return hashlib.sha256(key.encode() + b"\0" + text).digest()

    return sorted(range(len(texts)), key=draw)


def quotas(shares: Mapping[str, float], *, total: int, there: Mapping[str, int]) -> dict[str, int]:
    """How many of `total` come from each source, by largest remainders (Hamilton).

    What a source has not got is shared out among the others.
    """
    given = dict.fromkeys(shares, 0)
    while True:
        open_ones = {
            name: share
            for name, share in shares.items()
            if share > 0 and given[name] < there.get(name, 0)
        }
        left = total - sum(given.values())
        if left <= 0 or not open_ones:
            return given
        for name, more in _hamilton(open_ones, left).items():
            given[name] = min(there.get(name, 0), given[name] + more)


def _hamilton(shares: Mapping[str, float], total: int) -> dict[str, int]:
    whole = sum(shares.values())
    exact = {name: total * share / whole for name, share in shares.items()}
    given = {name: floor(each) for name, each in exact.items()}
    order = sorted(exact, key=lambda name: (given[name] - exact[name], name))
    for name in order[: total - sum(given.values())]:
        given[name] += 1
    return given


def random_arm(wanted: int, control: float) -> int:
    """How many of the prompts wanted are drawn by lot: one at least, where a control is asked."""
    return min(wanted, ceil(wanted * control)) if control > 0 else 0


# -- novelty ----------------------------------------------------------------------------------


def vectors(texts: Sequence[str]) -> Floats:
    """Each text by its words, hashed into buckets with signs (Weinberger et al. 2009), length 1.

    Words count by their logarithm, and the less the more of the texts have them.
    """
    found = np.zeros((len(texts), BUCKETS), np.float32)
    for row, text in enumerate(texts):
        codes = np.array([crc32(word) for word in words(text)], np.uint32)
        signs = np.where(codes >> np.uint32(31), 1.0, -1.0)
        np.add.at(found[row], (codes % BUCKETS).astype(np.int64), signs)
    found = np.sign(found) * np.log1p(np.abs(found))
    have = (found != 0).sum(0)
    found *= np.log((1 + len(texts)) / (1 + have)).astype(np.float32) + 1
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    unit: Floats = np.divide(found, lengths, out=np.zeros_like(found), where=lengths > 0)
    return unit


def most_novel(
    texts: Sequence[str], known: Sequence[str], *, wanted: int
) -> list[tuple[int, float]]:
    """Places of texts that are far from those known and from each other, with the distance.

    Farthest first (Gonzalez 1985; core-sets: Sener and Savarese 2018): each is the one farthest
    from all that is known or chosen by then. The distance is 1 − cosine.
    """
    if not texts or wanted < 1:
        return []
    both = vectors([*texts, *known])
    own, theirs = both[: len(texts)], both[len(texts) :]
    nearest = np.full(len(texts), 1.0, np.float32)
    for start in range(0, len(theirs), 2_000):
        likeness = own @ theirs[start : start + 2_000].T
        nearest = np.minimum(nearest, 1 - likeness.max(axis=1))
    chosen: list[tuple[int, float]] = []
    for _ in range(min(wanted, len(texts))):
        place = int(nearest.argmax())
        chosen.append((place, round(max(0.0, float(nearest[place])), 6)))
        nearest = np.minimum(nearest, 1 - own @ own[place])
        nearest[[each for each, _ in chosen]] = -np.inf
    return chosen


# -- uncertainty ------------------------------------------------------------------------------


def doubt(scores: Sequence[float | None], spreads: Sequence[float | None] | None) -> float | None:
    """How unsure a reward model is of the order of the responses; None where it read under two.

    The mean chance that the better-scored of a pair is in truth not better: half the pairs'
    closeness under Bradley and Terry, 1 − |2σ(d) − 1|, where d is the difference of the scores,
    divided by √(1 + π·v/8) with v the variance of the difference over an ensemble (MacKay 1992).
    1 is a coin's toss, 0 is certain.
    """
    read = [
        (score, (spreads[place] or 0.0) if spreads else 0.0)
        for place, score in enumerate(scores)
        if score is not None
    ]
    if len(read) < 2:
        return None
    closeness = [
        1 - abs(float(np.tanh((a - b) / np.sqrt(1 + np.pi * (s * s + t * t) / 8) / 2)))
        for place, (a, s) in enumerate(read)
        for b, t in read[place + 1 :]
    ]
    return round(sum(closeness) / len(closeness), 6)


def to_write(wanted: int, *, oversample: float) -> int:
    """For how many prompts is written, so that so many can be kept."""
    return ceil(wanted * oversample)


# -- does choosing pay ------------------------------------------------------------------------


@dataclass(frozen=True)
class TaskFacts:
    """Of one judged task: shares over its pairs of responses; None where there is no telling."""

    judgements: int
    decisive: float | None  # of judgements of pairs: one is better
    disagreement: float | None  # of two people's judgements of a pair: they differ
    overruled: float | None  # of pairs that people decided: the reward model had it otherwise


def task_facts(
    rankings: Sequence[Sequence[int]], scores: Sequence[float | None] | None
) -> TaskFacts:
    """What people made of a task; `rankings` and `scores` in its canonical order."""
    size = len(rankings[0]) if rankings else 0
    pairs = [(i, j) for i in range(size) for j in range(i + 1, size)]
    signs = [[_sign(ranks[j] - ranks[i]) for ranks in rankings] for i, j in pairs]  # 1: i is better
    flat = [sign for pair in signs for sign in pair]
    differ = [a != b for pair in signs for place, a in enumerate(pair) for b in pair[place + 1 :]]
    wrong = []
    for (i, j), pair in zip(pairs, signs, strict=True):
        majority = _sign(sum(pair))
        a, b = (scores[i], scores[j]) if scores and len(scores) == size else (None, None)
        if majority and a is not None and b is not None:
            wrong.append(_sign(a - b) != majority)
    return TaskFacts(
        judgements=len(rankings),
        decisive=_mean([sign != 0 for sign in flat]),
        disagreement=_mean(differ),
        overruled=_mean(wrong),
    )


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _mean(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None
