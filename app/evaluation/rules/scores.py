"""What a reward model says of the two models, and whether people agree with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.evaluation.rules.winning import mean_with_interval
from app.quality.rules.intervals import Figure, undefined, wilson

MOST_EXAMPLES = 10


@dataclass(frozen=True, slots=True)
class Scored:
    """A prompt with both scores; `said`: the mean of people's judgements, None before any."""

    prompt_id: UUID
    a: float
    b: float
    said: float | None
    votes: int = 0

    @property
    def gap(self) -> float:
        return self.a - self.b

    @property
    def agrees(self) -> bool | None:
        """Whether both point the same way; None where either does not point at all."""
        if self.said is None or self.said == 0.5 or self.gap == 0:
            return None
        return (self.said > 0.5) == (self.gap > 0)


@dataclass(frozen=True, slots=True)
class ScoreFigures:
    """gain: mean of A's score less B's, by prompt; wins: share of prompts where A's is higher.

    agreement: of the prompts that people decided, those in whose order the model agrees.
    """

    prompts: int
    a: Figure
    b: Figure
    gain: Figure
    wins: Figure
    agreement: Figure
    compared: int


def score_figures(scored: Sequence[Scored]) -> ScoreFigures:
    agrees = [one.agrees for one in scored if one.agrees is not None]
    higher = sum((one.gap > 0) + (one.gap == 0) / 2 for one in scored)
    return ScoreFigures(
        prompts=len(scored),
        a=mean_with_interval([one.a for one in scored]),
        b=mean_with_interval([one.b for one in scored]),
        gain=mean_with_interval([one.gap for one in scored]),
        wins=_share(higher, len(scored), why="There are no scores."),
        agreement=_share(sum(agrees), len(agrees), why="People have not decided any prompt yet."),
        compared=len(agrees),
    )


def _share(number: float, of: int, *, why: str) -> Figure:
    return Figure(number / of, *wilson(number, of)) if of else undefined(why)


def disputed(scored: Sequence[Scored]) -> list[Scored]:
    """Where the model is surest against what people say, the surest first."""
    against = [one for one in scored if one.agrees is False]
    return sorted(against, key=lambda one: (-abs(one.gap), one.prompt_id))[:MOST_EXAMPLES]


def in_words(found: ScoreFigures, *, a: str, b: str, reward: str) -> str:
    """The gain in a sentence, with what people say about that."""
    gain = found.gain
    if gain.value is None:
        return "Nothing is scored yet."
    first, second = (a, b) if gain.value >= 0 else (b, a)
    bounds = ""
    unsure = False
    if gain.low is not None and gain.high is not None:
        low, high = sorted((abs(gain.low), abs(gain.high)))
        unsure = gain.low <= 0 <= gain.high
        bounds = "" if unsure else f" ({low:.2f}–{high:.2f})"
    apart = f"{abs(gain.value):.2f}{bounds} on average"
    if unsure:
        return (
            f"{reward} does not tell {a} and {b} apart: their scores differ by {apart}, which may "
            "be chance."
        )
    return f"{reward} scores {first} higher than {second} by {apart}."


def as_json(found: ScoreFigures) -> dict[str, Any]:
    return {
        "prompts": found.prompts,
        "a": found.a.as_json(),
        "b": found.b.as_json(),
        "difference": found.gain.as_json(),
        "a_higher": found.wins.as_json(),
        "agreement_with_people": found.agreement.as_json(),
        "compared": found.compared,
    }
