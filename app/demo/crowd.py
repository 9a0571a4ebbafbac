"""Simulated annotators of different care: what each of them would answer, and how fast.

A judgement follows a random utility model: what a response is worth to an annotator is its
quality, plus her liking for the first place on the screen and for length, plus noise. Responses
whose worth differs by less than her `tie_width` are equal to her.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

MIDDAY, EVENING = 12.0, 18.0
LABELS = "ABCDEFGHIJ"


@dataclass(frozen=True, slots=True)
class Persona:
    """How an annotator judges; qualities lie in 0–1, so 0.3 is much and 0.05 little."""

    key: str
    name: str
    noise: float  # standard deviation that is added to each quality
    tie_width: float = 0.0
    position_bias: float = 0.0  # what standing first on the screen is worth
    length_bias: float = 0.0  # what being the longest rather than the shortest is worth
    fatigue: float = 0.0  # noise that comes on top between midday and evening
    characters_per_second: float = 30.0
    rationale_share: float = 0.0

    def noise_at(self, hour: float) -> float:
        """The noise at this hour of the day (0–24)."""
        tired = (hour - MIDDAY) / (EVENING - MIDDAY)
        return self.noise + self.fatigue * min(max(tired, 0.0), 1.0)


CROWD = (
    Persona(
        "careful",
        "Simulated: careful",
        noise=0.14,
        tie_width=0.05,
        characters_per_second=22,
        rationale_share=0.7,
    ),
    Persona(
        "even-handed",
        "Simulated: often undecided",
        noise=0.18,
        tie_width=0.2,
        characters_per_second=26,
        rationale_share=0.3,
    ),
    Persona("quick", "Simulated: quick", noise=0.34, tie_width=0.03, characters_per_second=75),
    Persona(
        "longer-wins",
        "Simulated: longer wins",
        noise=0.14,
        length_bias=0.7,
        characters_per_second=36,
        rationale_share=0.1,
    ),
    Persona(
        "left-clicker",
        "Simulated: left-clicker",
        noise=0.3,
        position_bias=1.6,
        characters_per_second=110,
    ),
    Persona(
        "tired-afternoon",
        "Simulated: tired afternoon",
        noise=0.15,
        tie_width=0.05,
        fatigue=0.55,
        characters_per_second=28,
        rationale_share=0.3,
    ),
)


@dataclass(frozen=True, slots=True)
class Shown:
    """A response as it stands on the screen."""

    text: str
    quality: float
    note: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement in its wire form (contract §3); `strength` only for a decided pair."""

    ranking: list[list[str]]
    strength: int | None
    rationale: str | None
    visible_ms: int
    active_ms: int


def judge(
    persona: Persona,
    shown: Sequence[Shown],
    *,
    rng: Random,
    hour: float = 9.0,
    strength_levels: int = 0,
    allow_ties: bool = True,
) -> Verdict:
    """What `persona` answers to the responses in display order (2–10) at this hour of the day."""
    worth = _worth(persona, shown, noise=persona.noise_at(hour), rng=rng)
    groups = _groups(worth, tie_width=persona.tie_width if allow_ties else 0.0)
    seconds = _seconds(persona, shown, rng=rng)
    active = round(seconds * 1000 * rng.uniform(0.75, 1.0))
    return Verdict(
        ranking=[[LABELS[place] for place in group] for group in groups],
        strength=_strength(worth, groups, levels=strength_levels),
        rationale=_rationale(persona, shown, groups, rng=rng),
        visible_ms=round(seconds * 1000),
        active_ms=active,
    )


def _worth(persona: Persona, shown: Sequence[Shown], *, noise: float, rng: Random) -> list[float]:
    lengths = [len(response.text) for response in shown]
    span = max(lengths) - min(lengths) or 1
    return [
        response.quality
        + persona.position_bias * (place == 0)
        + persona.length_bias * (length - min(lengths)) / span
        + rng.gauss(0.0, noise)
        for place, (response, length) in enumerate(zip(shown, lengths, strict=True))
    ]


def _groups(worth: Sequence[float], *, tie_width: float) -> list[list[int]]:
    """Places best first; a group holds those within `tie_width` of its best one."""
    groups: list[list[int]] = []
    for place in sorted(range(len(worth)), key=lambda place: -worth[place]):
        if groups and worth[groups[-1][0]] - worth[place] < tie_width:
            groups[-1].append(place)
        else:
            groups.append([place])
    return [sorted(group) for group in groups]


def _strength(
    worth: Sequence[float], groups: Sequence[Sequence[int]], *, levels: int
) -> int | None:
    """1 (slightly) … `levels` (much better), growing evenly up to a difference of 0.75."""
    if levels == 0 or len(worth) != 2 or len(groups) == 1:
        return None
    gap = abs(worth[0] - worth[1])
    return min(levels, 1 + int(gap / 0.75 * levels))


def _seconds(persona: Persona, shown: Sequence[Shown], *, rng: Random) -> float:
    """Reading at her own speed, a moment to decide, and the scatter of real reaction times."""
    characters = sum(len(response.text) for response in shown)
    return float((2.0 + characters / persona.characters_per_second) * rng.lognormvariate(0.0, 0.35))


def _rationale(
    persona: Persona, shown: Sequence[Shown], groups: Sequence[Sequence[int]], *, rng: Random
) -> str | None:
    """Now and then a sentence about the best and the worst; never by their labels."""
    if rng.random() >= persona.rationale_share:
        return None
    if len(groups) == 1:
        return rng.choice(("Equally good to me.", "I see no real difference.", "Both would do."))
    best, worst = shown[groups[0][0]].note, shown[groups[-1][-1]].note
    return rng.choice(
        (
            f"My first choice {best}; the last one {worst}.",
            f"The best one {best}.",
            f"The weakest one {worst}.",
            f"Clear to me: one {best}, another {worst}.",
        )
    )
