"""Paired comparisons with ties: Bradley & Terry (1952) as extended by Davidson (1970).

P(i beats j) : P(tie) : P(j beats i) = √(πi/πj) : ν : √(πj/πi), Davidson, R. R. (1970), "On
extending the Bradley–Terry model to accommodate ties", JASA 65, 317–328, eq. 2.3. What is shown on
the left may have an advantage γ, as if its π were γ times as large (Davidson & Beaver 1977), and
what is longer by x one of exp(φx). With λ = log π, δ = log ν and η = log γ it is a multinomial
logit, whose log-likelihood is concave: Newton's method finds the maximum wherever there is one.
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
    second, 0 nobody knows; longer (N,): by how much the first is, None where nobody asks.
    """

    first: Ints
    second: Ints
    outcome: Ints
    weight: Floats
    side: Ints
    n_items: int
    longer: Floats | None = None

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
            longer=None if self.longer is None else self.longer[rows],
        )


@dataclass(frozen=True, slots=True)
class Fit:
    """log_worth (items,), mean 0; log_tie: δ, None where nobody called a tie; effects (E,): η, φ.

    E columns of `effects_of`. bread: inverse of the negative Hessian over (items, effects, δ?);
    residuals (N, 2): what each comparison adds to the gradient, towards its first item and towards
    δ. If it has not converged, there is no maximum.
    """

    log_worth: Floats
    log_tie: float | None
    effects: Floats
    bread: Floats
    residuals: Floats
    columns: Floats
    has_converged: bool


@dataclass(frozen=True, slots=True)
class _Cells:
    """Comparisons of the same two under the same circumstances together.

    first, second (C,); columns (C, E); counts (C, 3): weight by outcome; of (N,): cell of each.
    """

    first: Ints
    second: Ints
    columns: Floats
    counts: Floats
    of: Ints
    n_items: int

    def of_items(self, values: Floats) -> Floats:
        """Sums over items of what each cell adds to its first and takes from its second."""
        n = self.n_items
        sums = np.bincount(self.first, values, n) - np.bincount(self.second, values, n)
        return sums.astype(np.float64)


def effects_of(comparisons: Comparisons, *, home: bool, length: bool) -> Floats:
    """What acts on a comparison beside worth: (N, E)."""
    columns: list[Floats] = [comparisons.side.astype(np.float64)] if home else []
    if length:
        assert comparisons.longer is not None
        columns.append(comparisons.longer)
    return np.stack(columns, axis=1) if columns else np.zeros((len(comparisons), 0))


def fit(
    comparisons: Comparisons, *, home: bool = False, length: bool = False, pseudo: float = 0.0
) -> Fit:
    """The maximum of the likelihood, which must exist; see `why_undefined`.

    pseudo: so many wins and so many losses of each item against an imagined one of average worth,
    as in Turner et al. (2020), "Modelling rankings in R: the PlackettLuce package", §2.3. With them
    there is always a maximum.
    """
    columns = effects_of(comparisons, home=home, length=length)
    cells = _cells(comparisons, columns)
    counts, n = cells.counts, comparisons.n_items
    ties = bool(counts[:, TIE].any())
    theta = np.zeros(n + columns.shape[1] + ties)
    if ties:  # of equals, the share of ties is ν / (2 + ν)
        decisive = counts[:, [FIRST, SECOND]].sum()
        theta[-1] = np.log(2 * counts[:, TIE].sum() / max(decisive, 1e-9))
    value, gradient, hessian = _likelihood(theta, cells, ties=ties, pseudo=pseudo)
    converged = False
    for _ in range(_STEPS):
        if np.abs(theta).max() > _FAR or np.linalg.cond(hessian) > _SINGULAR:
            break
        step = np.linalg.solve(hessian, gradient)
        scale = 1.0
        while scale > 1e-6:
            tried = _likelihood(theta + scale * step, cells, ties=ties, pseudo=pseudo)
            if tried[0] >= value - 1e-12 * abs(value):
                break
            scale /= 2
        theta = theta + scale * step
        value, gradient, hessian = tried
        if np.abs(scale * step).max(initial=0.0) < _CLOSE:
            converged = True
            break
    residuals = np.eye(3)[comparisons.outcome] - _probabilities(theta, cells, ties=ties)[cells.of]
    return Fit(
        log_worth=theta[:n] - theta[:n].mean() if not pseudo else theta[:n],
        log_tie=float(theta[-1]) if ties else None,
        effects=theta[n : n + columns.shape[1]],
        bread=np.linalg.pinv(hessian).astype(np.float64),
        residuals=np.stack(
            [(residuals[:, FIRST] - residuals[:, SECOND]) / 2, residuals[:, TIE]], axis=1
        ),
        columns=columns,
        has_converged=converged,
    )


def _cells(comparisons: Comparisons, columns: Floats) -> _Cells:
    n = comparisons.n_items
    key = comparisons.first * n + comparisons.second
    for column in columns.T:
        values, code = np.unique(column, return_inverse=True)
        key = key * len(values) + code
    _, example, cell = np.unique(key, return_index=True, return_inverse=True)
    flat = np.bincount(
        3 * cell + comparisons.outcome, comparisons.weight, minlength=3 * len(example)
    )
    return _Cells(
        first=comparisons.first[example],
        second=comparisons.second[example],
        columns=columns[example],
        counts=flat.reshape(-1, 3).astype(np.float64),
        of=cell,
        n_items=n,
    )


def _probabilities(theta: Floats, cells: _Cells, *, ties: bool) -> Floats:
    """P(first, tie, second) per cell."""
    effects = theta[cells.n_items : cells.n_items + cells.columns.shape[1]]
    half = (theta[cells.first] - theta[cells.second] + cells.columns @ effects) / 2
    tie = np.full(len(half), theta[-1] if ties else -np.inf)
    utility = np.stack([half, tie, -half], axis=1)
    utility = np.exp(utility - utility.max(axis=1, keepdims=True))
    p: Floats = utility / utility.sum(axis=1, keepdims=True)
    return p


def _likelihood(
    theta: Floats, cells: _Cells, *, ties: bool, pseudo: float
) -> tuple[float, Floats, Floats]:
    """Log-likelihood, its gradient and its negative Hessian, made regular.

    Worth is known but for a factor. Without pseudo-counts, ones over the items' block fix their sum
    and change nothing else, because the gradient's sum over items is 0.
    """
    p, counts, n = _probabilities(theta, cells, ties=ties), cells.counts, cells.n_items
    total = counts.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(np.where(counts > 0, counts * np.log(p), 0.0).sum())
    slope = (counts[:, FIRST] - counts[:, SECOND] - total * (p[:, FIRST] - p[:, SECOND])) / 2
    gap = (p[:, FIRST] - p[:, SECOND]) / 2
    curve = total * ((p[:, FIRST] + p[:, SECOND]) / 4 - gap**2)
    gradient, hessian = _gradient(slope, cells), _hessian(curve, cells)
    if ties:
        of_ties = counts[:, TIE] - total * p[:, TIE]
        mixed = _gradient(-total * p[:, TIE] * gap, cells)
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


def _gradient(slope: Floats, cells: _Cells) -> Floats:
    """Σ slope · x over cells, x being +1 at the first item, −1 at the second, then the columns."""
    return np.concatenate([cells.of_items(slope), cells.columns.T @ slope])


def _hessian(curve: Floats, cells: _Cells) -> Floats:
    """Σ curve · x xᵀ over cells."""
    n, columns = cells.n_items, cells.columns
    met = np.bincount(cells.first * n + cells.second, curve, minlength=n * n).reshape(n, n)
    items = np.diag(met.sum(axis=0) + met.sum(axis=1)) - met - met.T
    mixed = np.zeros((n, columns.shape[1]))
    for place, column in enumerate(columns.T):
        mixed[:, place] = cells.of_items(curve * column)
    return np.block([[items, mixed], [mixed.T, columns.T @ (curve[:, None] * columns)]])


def covariance(fitted: Fit, comparisons: Comparisons, clusters: Sequence[Ints]) -> Floats:
    """The sandwich H⁻¹MH⁻¹ over (items, effects, δ?), robust to dependence within clusters.

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
    columns = fitted.columns[order]
    meat = np.zeros((size, size))
    for begin in range(0, n_clusters, _BLOCK):
        here = slice(*np.searchsorted(code, [begin, begin + _BLOCK]))
        place = (code[here] - begin) * size
        length = min(_BLOCK, n_clusters - begin) * size
        slope, tie = weighted[here].T
        sums = np.bincount(place + first[here], slope, minlength=length)
        sums -= np.bincount(place + second[here], slope, minlength=length)
        for number, column in enumerate(columns[here].T, start=n):
            sums += np.bincount(place + number, slope * column, minlength=length)
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
