"""The win rate that would be left if both models wrote at the same length.

As in AlpacaEval 2 with two models: a logistic regression of the score on the tempered difference
of lengths (`app.quality.rules.length`),
P(win) = σ(θ + φ · tanh(Δ / sd(Δ))). σ(θ) is what is left at Δ = 0. A score may lie between 0 and 1
(Papke & Wooldridge 1996), and the interval allows for that: the sandwich H⁻¹MH⁻¹ over prompts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from app.evaluation.rules.winning import Judged
from app.quality.rules.intervals import FEWEST_TASKS, Figure, Floats, undefined
from app.quality.rules.length import tempered

_STEPS = 50
_FAR = 15.0  # a log odds beyond it has run away

FEW = f"Fewer than {FEWEST_TASKS} prompts."
APART = (
    "Length and preference cannot be told apart here: judge more prompts, of which both the "
    "longer and the shorter response win some."
)


@dataclass(frozen=True, slots=True)
class LengthControlled:
    """win_rate: at equal length; slope: φ, above 0 where people prefer the longer response."""

    win_rate: Figure
    slope: Figure
    longer_share: float | None  # prompts of which the first model's response is the longer


def length_controlled(prompts: Sequence[Judged]) -> LengthControlled:
    y = np.array([one.score for one in prompts], np.float64)
    longer = np.array([one.longer for one in prompts], np.float64)
    share = float(np.mean(np.sign(longer) / 2 + 0.5)) if len(longer) else None
    if len(y) < FEWEST_TASKS:
        return LengthControlled(undefined(FEW), undefined(FEW), share)
    spread = float(longer.std())
    if spread == 0:
        same = undefined("All differences of length are the same.")
        return LengthControlled(same, same, share)
    x = np.stack([np.ones(len(y)), tempered(longer, spread)], axis=1)
    theta = _fit(x, y)
    if theta is None:
        return LengthControlled(undefined(APART), undefined(APART), share)
    errors = _errors(x, y, theta)
    low, high = theta - 1.96 * errors, theta + 1.96 * errors
    return LengthControlled(
        Figure(_share(theta[0]), _share(low[0]), _share(high[0])),
        Figure(float(theta[1]), float(low[1]), float(high[1])),
        share,
    )


def _share(log_odds: float) -> float:
    return float(1 / (1 + np.exp(-log_odds)))


def _chance(x: Floats, theta: Floats) -> Floats:
    p: Floats = 1 / (1 + np.exp(-np.clip(x @ theta, -40, 40)))
    return p


def _fit(x: Floats, y: Floats) -> Floats | None:
    """The maximum of the quasi-likelihood by Newton's method; None where there is none."""
    theta = np.zeros(x.shape[1])
    for _ in range(_STEPS):
        p = _chance(x, theta)
        hessian = x.T @ ((p * (1 - p))[:, None] * x)
        if np.abs(theta).max() > _FAR or np.linalg.cond(hessian) > 1e12:
            return None
        step = np.linalg.solve(hessian, x.T @ (y - p))
        theta = theta + step
        if np.abs(step).max() < 1e-10:
            return theta
    return None


def _errors(x: Floats, y: Floats, theta: Floats) -> Floats:
    p = _chance(x, theta)
    bread = np.linalg.inv(x.T @ ((p * (1 - p))[:, None] * x))
    gradients = (y - p)[:, None] * x
    n = len(y)
    covariance = bread @ (gradients.T @ gradients) @ bread * (n / (n - 1))
    return np.array([sqrt(max(0.0, value)) for value in np.diag(covariance)])
