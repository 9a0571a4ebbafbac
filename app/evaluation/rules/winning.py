"""How often the first of two models wins, from judgements that hang together by prompt.

What people say of one prompt depends on the prompt, so the prompt is the unit: its score is the
mean over its judgements of 1 for a win, ½ for a tie and 0 for a loss, and the win rate is the mean
of the scores. Where both models wrote the same, nobody needs to judge: the score is ½.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean

from app.quality.rules.intervals import FEWEST_TASKS, Figure, undefined, wilson

NOBODY = "Nobody has judged yet."


@dataclass(frozen=True, slots=True)
class Judged:
    """A prompt of a comparison: its judgements by time, each 1, ½ or 0 for the first model."""

    said: tuple[float, ...]
    tags: tuple[str, ...] = ()
    longer: float = 0.0  # characters of the first model's response less those of the second's

    @property
    def score(self) -> float:
        return fmean(self.said)


@dataclass(frozen=True, slots=True)
class Tally:
    """Wins, ties and losses of the first model."""

    wins: int
    ties: int
    losses: int

    @property
    def number(self) -> int:
        return self.wins + self.ties + self.losses


def by_judgement(prompts: Sequence[Judged]) -> Tally:
    return _tally([one for prompt in prompts for one in prompt.said])


def by_prompt(prompts: Sequence[Judged]) -> Tally:
    """By the majority of a prompt's decisive judgements; an even vote is a tie."""
    return _tally([prompt.score for prompt in prompts])


def _tally(scores: Sequence[float]) -> Tally:
    wins = sum(score > 0.5 for score in scores)
    losses = sum(score < 0.5 for score in scores)
    return Tally(wins, len(scores) - wins - losses, losses)


def mean_of_scores(scores: Sequence[float]) -> Figure:
    """The mean of scores in [0, 1] with Wilson's interval at the effective number of prompts.

    That number is p(1 − p) / Var(p), as for shares of clustered samples (Korn & Graubard 1998).
    Where every score is 0 or 1 it is the number of prompts, and the interval is Wilson's own;
    ties and several judgements of a prompt make scores vary less, and the interval narrower.
    """
    n = len(scores)
    if not n:
        return undefined(NOBODY)
    mean = fmean(scores)
    if n < FEWEST_TASKS:
        return Figure(mean, reason=f"No interval: fewer than {FEWEST_TASKS} prompts.")
    spread = sum((score - mean) ** 2 for score in scores)
    most = mean * (1 - mean) * n
    effective = n * most / spread if spread > 0 else float(n)
    low, high = wilson(mean * effective, effective)
    return Figure(mean, low, high)


def with_equal_ones(figure: Figure, *, share: float) -> Figure:
    """The win rate over all prompts, of which `share` have twice the same response.

    These score ½ whoever looks, and how many they are is known from the start.
    """

    def moved(value: float | None) -> float | None:
        return None if value is None else share / 2 + (1 - share) * value

    return Figure(moved(figure.value), moved(figure.low), moved(figure.high), figure.reason)


def win_rate(prompts: Sequence[Judged], *, equal_share: float = 0.0) -> Figure:
    """Of all prompts, those that nobody needs to judge among them."""
    if equal_share >= 1:
        return Figure(0.5, 0.5, 0.5)
    return with_equal_ones(mean_of_scores([one.score for one in prompts]), share=equal_share)


def by_tag(prompts: Sequence[Judged], *, most: int = 20) -> list[tuple[str, int, Figure]]:
    """(tag, prompts, win rate) of the commonest tags, the commonest first."""
    groups: dict[str, list[float]] = {}
    for prompt in prompts:
        for tag in prompt.tags:
            groups.setdefault(tag, []).append(prompt.score)
    first = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))[:most]
    return [(tag, len(scores), mean_of_scores(scores)) for tag, scores in first]


def mean_with_interval(values: Sequence[float]) -> Figure:
    """A mean with its normal 95 % interval; values may be anything."""
    n = len(values)
    if not n:
        return undefined("There are no scores.")
    mean = fmean(values)
    if n < FEWEST_TASKS:
        return Figure(mean, reason=f"No interval: fewer than {FEWEST_TASKS} prompts.")
    error = sqrt(sum((value - mean) ** 2 for value in values) / (n - 1) / n)
    return Figure(mean, mean - 1.96 * error, mean + 1.96 * error)
