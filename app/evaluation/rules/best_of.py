"""Best of n: what a reward model gives the best of n responses, and how far that moves the model.

Of N scores s(1) ≤ … ≤ s(N) of one prompt, the mean of the best over all draws of n without
replacement is Σᵢ C(i − 1, n − 1) / C(N, n) · s(i): the best is the i-th in as many draws as there
are choices of the other n − 1 below it. It is unbiased for the best of n fresh responses, unlike
the best of the first n, of which there is but one. Best of n is at most log n − (n − 1) / n nats
from the model (Stiennon et al. 2020, appendix G; a bound by Beirami et al. 2024).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, log

from app.evaluation.rules.winning import mean_with_interval
from app.quality.rules.intervals import Figure


@dataclass(frozen=True, slots=True)
class BestOf:
    n: int
    kl: float
    score: Figure


def sizes(most: int) -> list[int]:
    """1, 2, 4, 8 … and the number of responses itself."""
    found = [1 << power for power in range(most.bit_length()) if 1 << power <= most]
    return found if not found or found[-1] == most else [*found, most]


def expected_best(scores: Sequence[float], n: int) -> float:
    """The mean of the best of n of these, 1 ≤ n ≤ len(scores)."""
    ways = comb(len(scores), n)
    return sum(
        comb(below, n - 1) / ways * score
        for below, score in enumerate(sorted(scores))
        if below >= n - 1
    )


def divergence(n: int) -> float:
    """At most so many nats between the model and the best of n."""
    return log(n) - (n - 1) / n


def best_of(samples: Sequence[Sequence[float]]) -> list[BestOf]:
    """By n, the mean over prompts; each prompt has its own number of scores."""
    most = min((len(scores) for scores in samples), default=0)
    return [
        BestOf(n, divergence(n), mean_with_interval([expected_best(s, n) for s in samples]))
        for n in sizes(most)
    ]
