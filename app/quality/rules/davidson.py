"""Paired comparisons with ties: Bradley & Terry (1952) as extended by Davidson (1970).

P(i beats j) : P(tie) : P(j beats i) = √(πi/πj) : ν : √(πj/πi), Davidson, R. R. (1970), "On
extending the Bradley–Terry model to accommodate ties", JASA 65, 317–328, eq. 2.3. What is shown on
the left may have an advantage γ, as if its π were γ times as large (Davidson & Beaver 1977). With
λ = log π, δ = log ν and η = log γ it is a multinomial logit, whose log-likelihood is concave:
Newton's method finds the maximum wherever there is one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.quality.rules.intervals import Floats, Ints

FIRST, TIE, SECOND = range(3)
_STEPS = 100
_CLOSE = 1e-11
_BLOCK = 8_192  # clusters summed at once
_FAR = 30.0  # a log odds beyond it has run away
_SINGULAR = 1e13


@dataclass(frozen=True, slots=True)
class Comparisons:
    """N comparisons of items 0 … n_items − 1.

    first, second, outcome, weight (N,); side (N,): +1 the first was shown further left, −1 the
    second, 0 nobody knows.
    """

    first: Ints
    second: Ints
    outcome: Ints
    weight: Floats
    side: Ints
    n_items: int

    def __len__(self) -> int:
        return len(self.first)

    def where(self, rows: NDArray[np.bool_]) -> "Comparisons":
        return Comparisons(
            first=self.first[rows],
            second=self.second[rows],
            outcome=self.outcome[rows],
            weight=self.weight[rows],
            side=self.side[rows],
            n_items=self.n_items,
        )


@dataclass(frozen=True, slots=True)
class Fit:
    """log_worth (items,), mean 0; log_tie: δ, None where nobody called a tie; log_home: η.

    bread: inverse of the negative Hessian over (items, η?, δ?); residuals (N, 2): what each
    comparison adds to the gradient, towards its first item and towards δ. If it has not converged,
    there is no maximum.
    """

    log_worth: Floats
    log_tie: float | None
    log_home: float | None
    bread: Floats
    residuals: Floats
    has_converged: bool


def fit(comparisons: Comparisons, *, home: bool = False, pseudo: float = 0.0) -> Fit:
    """The maximum of the likelihood, which must exist; see `why_undefined`.

    pseudo: so many wins and so many losses of each item against an imagined one of average worth,
    as in Turner et al. (2020), "Modelling rankings in R: the PlackettLuce package", §2.3. With them
    there is always a maximum.
    """
    cell, first, second, side, counts = _cells(comparisons)
    ties = bool(counts[:, TIE].any())
    n = comparisons.n_items
    design = np.zeros((len(first), n + home))
    rows = np.arange(len(first))
    design[rows, first] += 1
    design[rows, second] -= 1
    if home:
        design[:, n] = side
    theta = np.zeros(n + home + ties)
    if ties:  # of equals, the share of ties is ν / (2 + ν)
        decisive = counts[:, [FIRST, SECOND]].sum()
        theta[-1] = np.log(2 * counts[:, TIE].sum() / max(decisive, 1e-9))
    value, gradient, hessian = _likelihood(theta, design, counts, n, ties=ties, pseudo=pseudo)
    converged = False
    for _ in range(_STEPS):
        if np.abs(theta).max() > _FAR or np.linalg.cond(hessian) > _SINGULAR:
            break
        step = np.linalg.solve(hessian, gradient)
        scale = 1.0
        while scale > 1e-6:
            tried = _likelihood(theta + scale * step, design, counts, n, ties=ties, pseudo=pseudo)
            if tried[0] >= value - 1e-12 * abs(value):
                break
            scale /= 2
        theta = theta + scale * step
        value, gradient, hessian = tried
        if np.abs(scale * step).max(initial=0.0) < _CLOSE:
            converged = True
            break
    p = _probabilities(theta, design, ties=ties)
    residuals = np.eye(3)[comparisons.outcome] - p[cell]
    return Fit(
        log_worth=theta[:n] - theta[:n].mean() if not pseudo else theta[:n],
        log_tie=float(theta[-1]) if ties else None,
        log_home=float(theta[n]) if home else None,
        bread=np.linalg.pinv(hessian).astype(np.float64),
        residuals=np.stack(
            [(residuals[:, FIRST] - residuals[:, SECOND]) / 2, residuals[:, TIE]], axis=1
        ),
        has_converged=converged,
    )


def _cells(comparisons: Comparisons) -> tuple[Ints, Ints, Ints, Ints, Floats]:
    """Comparisons of the same two on the same sides together: (cell of each, …, counts)."""
    n = comparisons.n_items
    key = (comparisons.first * n + comparisons.second) * 3 + comparisons.side + 1
    number = np.bincount(key, minlength=3 * n * n)
    used = np.flatnonzero(number).astype(np.int64)
    place = np.zeros(3 * n * n, np.int64)
    place[used] = np.arange(len(used))
    cell = place[key]
    counts: Floats = np.zeros((len(used), 3))
    np.add.at(counts, (cell, comparisons.outcome), comparisons.weight)
    pair = used // 3
    return cell, pair // n, pair % n, used % 3 - 1, counts


def _probabilities(theta: Floats, design: Floats, *, ties: bool) -> Floats:
    """P(first, tie, second) per cell."""
    half = design @ theta[: design.shape[1]] / 2
    tie = np.full(len(half), theta[-1] if ties else -np.inf)
    utility = np.stack([half, tie, -half], axis=1)
    utility = np.exp(utility - utility.max(axis=1, keepdims=True))
    p: Floats = utility / utility.sum(axis=1, keepdims=True)
    return p


def _likelihood(
    theta: Floats, design: Floats, counts: Floats, n: int, *, ties: bool, pseudo: float
) -> tuple[float, Floats, Floats]:
    """Log-likelihood, its gradient and its negative Hessian, made regular.

    Worth is known but for a factor. Without pseudo-counts, ones over the items' block fix their sum
    and change nothing else, because the gradient's sum over items is 0.
    """
    p = _probabilities(theta, design, ties=ties)
    total = counts.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(np.where(counts > 0, counts * np.log(p), 0.0).sum())
    slope = (counts[:, FIRST] - counts[:, SECOND] - total * (p[:, FIRST] - p[:, SECOND])) / 2
    gap = (p[:, FIRST] - p[:, SECOND]) / 2
    curve = total * ((p[:, FIRST] + p[:, SECOND]) / 4 - gap**2)
    gradient, hessian = design.T @ slope, design.T @ (curve[:, None] * design)
    if ties:
        of_ties = counts[:, TIE] - total * p[:, TIE]
        mixed = design.T @ (-total * p[:, TIE] * gap)
        corner = (total * p[:, TIE] * (1 - p[:, TIE])).sum()
        gradient = np.append(gradient, of_ties.sum())
        hessian = np.block([[hessian, mixed[:, None]], [mixed[None, :], np.array([[corner]])]])
    if pseudo:
        chance = 1 / (1 + np.exp(-theta[:n]))
        value += pseudo * float(np.log(chance * (1 - chance)).sum())
        gradient[:n] += pseudo * (1 - 2 * chance)
        hessian[:n, :n] += np.diag(2 * pseudo * chance * (1 - chance))
    else:
        hessian[:n, :n] += 1.0
    return value, gradient, hessian


def covariance(fitted: Fit, comparisons: Comparisons, clusters: Sequence[Ints]) -> Floats:
    """The sandwich H⁻¹MH⁻¹ over (items, η?, δ?), robust to dependence within clusters.

    clusters: one way of grouping the comparisons, or three: by one thing, by another, and by both
    at once, M = M₁ + M₂ − M₁₂ (Cameron, Gelbach & Miller 2011, eq. 2.13).
    """
    signs = (1, 1, -1)[: len(clusters)]
    meat: Floats = np.sum(
        [
            sign * _meat(fitted, comparisons, cluster)
            for sign, cluster in zip(signs, clusters, strict=True)
        ],
        axis=0,
    )
    if len(clusters) > 1:  # a difference can have negative directions: as there, they become 0
        values, vectors = np.linalg.eigh(meat)
        meat = (vectors * np.maximum(values, 0)) @ vectors.T
    result: Floats = fitted.bread @ meat @ fitted.bread
    return result


def _meat(fitted: Fit, comparisons: Comparisons, cluster: Ints) -> Floats:
    """Sum over clusters of the outer product of their gradients, times C / (C − 1)."""
    n, size = comparisons.n_items, len(fitted.bread)
    code = np.unique(cluster, return_inverse=True)[1]
    n_clusters = int(code.max()) + 1
    order = np.argsort(code, kind="stable")
    code = code[order]
    first, second = comparisons.first[order], comparisons.second[order]
    weighted = (fitted.residuals * comparisons.weight[:, None])[order]
    side = comparisons.side[order]
    meat = np.zeros((size, size))
    for begin in range(0, n_clusters, _BLOCK):
        here = slice(*np.searchsorted(code, [begin, begin + _BLOCK]))
        place = (code[here] - begin) * size
        length = min(_BLOCK, n_clusters - begin) * size
        slope, tie = weighted[here].T
        sums = np.bincount(place + first[here], slope, minlength=length)
        sums -= np.bincount(place + second[here], slope, minlength=length)
        if fitted.log_home is not None:
            sums += np.bincount(place + n, slope * side[here], minlength=length)
        if fitted.log_tie is not None:
            sums += np.bincount(place + size - 1, tie, minlength=length)
        gradients = sums.reshape(-1, size)
        meat += gradients.T @ gradients
    return meat * n_clusters / max(n_clusters - 1, 1)


def components(wins: Ints, ties: Ints) -> list[Ints]:
    """The largest sets of items each of which leads to every other by wins and ties, largest first.

    wins (items, items): of the row over the column; ties: symmetric. Within such a set no item or
    group always wins: Ford (1957), "Solution of a ranking problem from binary comparisons".
    """
    reach = (wins > 0) | (ties > 0) | np.eye(len(wins), dtype=np.bool_)
    for _ in range(max(1, len(wins).bit_length())):
        reach = (reach.astype(np.float64) @ reach) > 0
    mutual = reach & reach.T
    found = {tuple(np.flatnonzero(row)) for row in mutual}
    return [np.array(part) for part in sorted(found, key=lambda part: (-len(part), part))]


def has_tie_parameter(wins: Ints, ties: Ints) -> bool:
    """Whether the data of one component bound ν from above.

    They do unless worths exist with which each win is as sure as we like and each tie still the
    likeliest of its kind: λi − λj ≥ 2 for every win of i over j and |λi − λj| ≤ 2 for every tie. By
    the theory of difference constraints such worths exist if and only if no circle of wins and ties
    has more wins than ties, that is no negative circle where a win is −1 and a tie is +1.
    """
    length = np.where(wins > 0, -1.0, np.where(ties > 0, 1.0, np.inf))
    lowest = -float(len(length) ** 2)
    for middle in range(len(length)):
        length = np.maximum(np.minimum(length, length[:, [middle]] + length[[middle]]), lowest)
    return bool((np.diag(length) < 0).any())
