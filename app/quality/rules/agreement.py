"""Agreement among people: every figure is a function of sums over what was judged.

Notation of Gwet (2014): n_uc of the n_u judgements of unit u are in category c, of q declared
categories. Because a figure needs sums only, a bootstrap resample is a weighted sum, and all
formulas here work on arrays with a leading axis of resamples. Undefined is NaN inside, and a
`Figure` with a reason outside.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from app.quality.rules.intervals import Floats, Ints


class Level(StrEnum):
    """What the differences between categories mean."""

    NOMINAL = "nominal"
    ORDINAL = "ordinal"
    INTERVAL = "interval"


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over units, each with a leading axis of resamples R.

    pairs (R, q, q): Σ_u n_uc (n_uk − [c = k]) / (n_u (n_u − 1)), Gwet's weighting of units;
    coincidences (R, q, q): the same times n_u, Krippendorff's; shares (R, q): Σ_u n_uc / n_u;
    units (R,): with a judgement; paired (R,): with two or more;
    decisive_same, decisive_paired (R,): as the trace of `pairs` and `paired`, without ties.
    """

    pairs: Floats
    coincidences: Floats
    shares: Floats
    units: Floats
    paired: Floats
    decisive_same: Floats
    decisive_paired: Floats


def unit_features(counts: Ints, *, tie: int | None) -> Floats:
    """What each unit adds to `Sums`, flat: (units, q) → (units, 2q² + q + 4)."""
    n_units, q = counts.shape
    number = counts.sum(axis=1)
    ordered = counts[:, :, None] * (counts[:, None, :] - np.eye(q, dtype=np.int64))
    share = ordered / np.maximum(number * (number - 1), 1)[:, None, None]
    decisive = counts if tie is None else np.delete(counts, tie, axis=1)
    n_decisive = decisive.sum(axis=1)
    decisive_same = (decisive * (decisive - 1)).sum(axis=1) / np.maximum(
        n_decisive * (n_decisive - 1), 1
    )
    return np.concatenate(
        [
            share.reshape(n_units, q * q),
            (share * number[:, None, None]).reshape(n_units, q * q),
            counts / np.maximum(number, 1)[:, None],
            (number >= 1)[:, None],
            (number >= 2)[:, None],
            decisive_same[:, None],
            (n_decisive >= 2)[:, None],
        ],
        axis=1,
    )


def as_sums(flat: Floats, *, categories: int) -> Sums:
    """(R, 2q² + q + 4 or more) → Sums; the inverse of the layout of `unit_features`."""
    q, square = categories, categories * categories
    rest = 2 * square + q
    return Sums(
        pairs=flat[:, :square].reshape(-1, q, q),
        coincidences=flat[:, square : 2 * square].reshape(-1, q, q),
        shares=flat[:, 2 * square : rest],
        units=flat[:, rest],
        paired=flat[:, rest + 1],
        decisive_same=flat[:, rest + 2],
        decisive_paired=flat[:, rest + 3],
    )


def sums_of(counts: Ints, *, tie: int | None = None) -> Sums:
    """The sums over all units of a table of counts, R = 1."""
    flat = unit_features(counts, tie=tie).sum(axis=0, keepdims=True)
    return as_sums(flat, categories=counts.shape[1])


def ratio(above: Floats, below: Floats) -> Floats:
    """`above / below`, NaN where `below` is not positive."""
    quotient: Floats = np.full(below.shape, np.nan)
    np.divide(above, below, out=quotient, where=below > 1e-12)
    return quotient


def weighted(tables: Floats, weight: Floats) -> Floats:
    """Σ_ck table_ck · weight_ck of each table, as a matrix product: (R, q, q), (q, q) → (R,)."""
    product: Floats = tables.reshape(-1, weight.size) @ weight.ravel()
    return product


def crossed(rows: Floats, weight: Floats, columns: Floats) -> Floats:
    """Σ_ck row_c · weight_ck · column_k: (R, q), (q, q), (R, q) → (R,)."""
    product: Floats = np.einsum("rk,rk->r", rows @ weight, columns)
    return product


def percent_agreement(sums: Sums) -> Floats:
    """Mean over units with two judgements of the share of agreeing pairs of judgements."""
    return ratio(weighted(sums.pairs, np.eye(sums.pairs.shape[1])), sums.paired)


def percent_agreement_no_ties(sums: Sums) -> Floats:
    """The same among decisive judgements only, so that chance is one half for a pair."""
    return ratio(sums.decisive_same, sums.decisive_paired)


def distances(marginals: Floats, level: Level, values: Floats | None = None) -> Floats:
    """Krippendorff's δ²: marginals (R, q) → (R, q, q); categories stand at `values` or 0 … q−1.

    (1, q, q) where it is the same for all.
    """
    q = marginals.shape[1]
    if level is Level.NOMINAL:
        return 1 - np.eye(q)[None]
    if level is Level.ORDINAL:  # Σ n_g from c to k, less half the ends = distance of the middles
        place = np.cumsum(marginals, axis=1) - marginals / 2
    else:
        place = np.asarray(np.arange(q) if values is None else values, np.float64)[None]
    difference: Floats = (place[:, :, None] - place[:, None, :]) ** 2
    return difference


def krippendorff_alpha(sums: Sums, level: Level, values: Floats | None = None) -> Floats:
    """1 − D_o / D_e from the coincidence matrix: (R,). NaN with no pair or a single value."""
    marginals = sums.coincidences.sum(axis=2)
    n = marginals.sum(axis=1)
    delta = distances(marginals, level, values)
    if len(delta) == 1:
        observed = weighted(sums.coincidences, delta[0])
        expected = crossed(marginals, delta[0], marginals)
    else:
        observed = np.einsum("rck,rck->r", sums.coincidences, delta)
        expected = np.einsum("rc,rck,rk->r", marginals, delta, marginals)
    alpha: Floats = 1 - (n - 1) * ratio(observed, expected)
    return alpha


def weights(categories: int, level: Level) -> Floats:
    """Credit for a near miss: identity for nominal, 1 − (i−j)²/(q−1)² for ordered categories."""
    if level is Level.NOMINAL:
        return np.eye(categories)
    steps = np.arange(categories)
    credit: Floats = 1 - (steps[:, None] - steps[None, :]) ** 2 / max(categories - 1, 1) ** 2
    return credit


def gwet_ac(sums: Sums, weight: Floats) -> Floats:
    """Gwet's AC1 (identity weights) or AC2 (Gwet 2014, ch. 4): (R,). NaN with no pair."""
    q = len(weight)
    if q < 2:
        return np.full(len(sums.units), np.nan)
    observed = ratio(weighted(sums.pairs, weight), sums.paired)
    share = sums.shares / np.maximum(sums.units, 1e-12)[:, None]
    chance = weight.sum() / (q * (q - 1)) * (share * (1 - share)).sum(axis=1)
    return ratio(observed - chance, 1 - chance)


def cohen_kappa(table: Floats, weight: Floats | None = None) -> Floats:
    """Cohen's kappa of two raters: (R, q, q) tables → (R,). NaN where chance alone agrees fully."""
    q = table.shape[-1]
    credit = np.eye(q) if weight is None else weight
    total = table.sum(axis=(1, 2))
    rows, columns = table.sum(axis=2), table.sum(axis=1)
    observed = ratio(weighted(table, credit), total)
    chance = ratio(crossed(rows, credit, columns), total**2)
    return ratio(observed - chance, 1 - chance)


def fleiss_kappa(sums: Sums) -> Floats:
    """Fleiss' kappa (1971) of units that all have the same number of judgements: (R,).

    (P̄ − P̄_e) / (1 − P̄_e), P̄_e the sum of squared shares. NaN where everybody gave one answer.
    """
    share = sums.shares / np.maximum(sums.units, 1e-12)[:, None]
    chance: Floats = (share**2).sum(axis=1)
    return ratio(percent_agreement(sums) - chance, 1 - chance)


def cross_features(one: Ints, other: Ints) -> Floats:
    """What each unit judged by two groups adds to κ_x: counts (units, q) → (units, q² + 2q + 3).

    With R and S judgements of the groups: the share of each pair of answers weighted by R + S;
    R + S; the counts of either group; the share of pairs that say the same; one.
    """
    n_units, q = one.shape
    mine, hers = one.sum(axis=1), other.sum(axis=1)
    shares = one[:, :, None] * other[:, None, :] / (mine * hers)[:, None, None]
    size = (mine + hers)[:, None]
    return np.concatenate(
        [
            shares.reshape(n_units, q * q) * size,
            size,
            one,
            other,
            np.trace(shares, axis1=1, axis2=2)[:, None],
            np.ones((n_units, 1)),
        ],
        axis=1,
    )


def cross_agreement(flat: Floats, *, categories: int) -> Floats:
    """Mean over units of the share of pairs of judgements, one of each group, that say the same."""
    rest = categories**2 + 1 + 2 * categories
    return ratio(flat[:, rest], flat[:, rest + 1])


def cross_kappa(flat: Floats, weight: Floats) -> Floats:
    """κ_x = 1 − d_o / d_e of two groups (Wong, Paritosh, Aroyo 2021, with missing data): (R,).

    d_o weighs each unit by its number of judgements; d_e pairs every judgement of one group with
    every one of the other, whatever the unit. NaN where both gave one and the same answer.
    """
    q = len(weight)
    apart = 1 - weight
    pairs = flat[:, : q * q].reshape(-1, q, q)
    size = flat[:, q * q]
    one, other = flat[:, q * q + 1 : q * q + 1 + q], flat[:, q * q + 1 + q : q * q + 1 + 2 * q]
    observed = ratio(weighted(pairs, apart), size)
    expected = ratio(crossed(one, apart, other), one.sum(axis=1) * other.sum(axis=1))
    kappa: Floats = 1 - ratio(observed, expected)
    return kappa
