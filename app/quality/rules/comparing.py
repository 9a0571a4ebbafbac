"""One share of agreement against another, with an interval of the difference."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from statistics import NormalDist

from app.quality.rules.intervals import newcombe, wilson

MOST_WEIGHT = 3  # of a task in a comparison, against one with a single pair of judgements
FEWEST_FOR_VARIANCE = 10  # tasks


@dataclass(frozen=True, slots=True)
class Sums:
    """What shares of agreement are made of: same / units, resting on so many tasks.

    same_2, same_units, units_2: Σ same², Σ same · units, Σ units² over tasks, for the variance.
    """

    same: float
    units: float
    tasks: float
    same_2: float = 0.0
    same_units: float = 0.0
    units_2: float = 0.0

    @property
    def value(self) -> float | None:
        return self.same / self.units if self.units else None

    @property
    def weight(self) -> float:
        """So many independent yes-or-no tasks would tell as much: the effective sample size.

        p(1 − p) over the linearised variance of the ratio (Cochran 1977, eq. 6.13). A task judged
        by several people tells more than one pair of judgements: up to MOST_WEIGHT times.
        """
        p = self.value
        if p is None or not 0 < p < 1 or self.tasks < FEWEST_FOR_VARIANCE:
            return self.tasks
        residual = self.same_2 - 2 * p * self.same_units + p * p * self.units_2
        variance = residual / self.units**2 * self.tasks / (self.tasks - 1)
        if variance <= 0:
            return self.tasks
        return min(max(self.tasks, p * (1 - p) / variance), MOST_WEIGHT * self.tasks)

    def without(self, other: "Sums") -> "Sums":
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Sums(*(max(0.0, mine - theirs) for mine, theirs in pairs))


def total_of(parts: Iterable[Sums]) -> Sums:
    return Sums(
        *(sum(column) for column in zip(*map(astuple, [Sums(0, 0, 0), *parts]), strict=True))
    )


NOTHING = Sums(0.0, 0.0, 0)


@dataclass(frozen=True, slots=True)
class Difference:
    """How much one share lies above another, with its interval; `is_clear`: zero is outside."""

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        return self.low > 0 or self.high < 0

    @property
    def is_fall(self) -> bool:
        return self.high < 0


def difference(part: Sums, rest: Sums, *, looks: int = 1) -> Difference | None:
    """How much the first share lies above the second; None where either is not defined.

    Newcombe's interval over tasks by their weight; `looks`: so many such questions are asked at
    once, and fewer than one in twenty such rounds may give a false alarm (Bonferroni, at half that
    level: so far out Wilson's tails hold about twice what they say).
    """
    if part.value is None or rest.value is None:
        return None
    z = NormalDist().inv_cdf(1 - (0.025 if looks <= 1 else 0.0125 / looks))
    p, q = part.value, rest.value
    about_p = wilson(p * part.weight, part.weight, z=z)
    about_q = wilson(q * rest.weight, rest.weight, z=z)
    return Difference(p - q, *newcombe(p, about_p, q, about_q))
