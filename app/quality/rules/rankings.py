"""Agreement of whole rankings: Kendall's tau-b and W with ties, and who comes first."""

import numpy as np
from numpy.typing import NDArray

from app.quality.rules.agreement import ratio
from app.quality.rules.intervals import Floats
from app.quality.rules.judgements import Judgements, pair_signs, panels


def tau_b(signs: Floats) -> Floats:
    """Kendall's tau-b of every two people (Kendall 1945): signs (…, m, pairs) → (…, m, m).

    (C − D) / √((n₀ − n₁)(n₀ − n₂)): over signs of implied pairs, C − D is a scalar product and
    n₀ − n₁ a squared length. NaN where one side ties everything.
    """
    product = signs @ np.swapaxes(signs, -1, -2)
    untied = np.diagonal(product, axis1=-2, axis2=-1)
    length = np.sqrt(untied[..., :, None] * untied[..., None, :])
    return ratio(product, length)


def deviations(ranks: Floats) -> Floats:
    """Mid-ranks less their mean: (…, m, n) → (…, m, n)."""
    signs: Floats = np.sign(ranks[..., :, None] - ranks[..., None, :]).sum(axis=-1) / 2
    return signs


def kendall_w(ranks: Floats) -> Floats:
    """Kendall's W of m people over n responses, corrected for ties: (…, m, n) → (…,).

    12 S / (m² (n³ − n) − m Σ (t³ − t)), written with mid-rank deviations d: Σ_i (Σ_r d_ri)² over
    m Σ_ri d_ri². NaN where everybody ties everything.
    """
    d = deviations(ranks)
    together = (d.sum(axis=-2) ** 2).sum(axis=-1)
    apart = d.shape[-2] * (d**2).sum(axis=(-2, -1))
    return ratio(together, apart)


def top_agreement(ranks: NDArray[np.int16]) -> Floats:
    """Share of pairs of people who name the same best response: (…, m, n) → (…,).

    Among those who name a single one; NaN where fewer than two do.
    """
    best = ranks == ranks.min(axis=-1, keepdims=True)
    named = (best & (best.sum(axis=-1, keepdims=True) == 1)).sum(axis=-2)
    number = named.sum(axis=-1)
    same = (named * (named - 1)).sum(axis=-1)
    return ratio(same.astype(np.float64), (number * (number - 1)).astype(np.float64))


def rank_features(judgements: Judgements, *, n_tasks: int) -> Floats:
    """Per task what `ranking_sums` says of it: (tasks, 6)."""
    features = np.zeros((n_tasks, 6))
    for panel in panels(judgements):
        ranks = judgements.ranks[panel.rows][:, :, : panel.size]
        features[judgements.task[panel.rows[:, 0]]] = ranking_sums(ranks)
    return features


def ranking_sums(ranks: NDArray[np.int16]) -> Floats:
    """Of each task, each with whether it is defined: mean tau-b of two people, W, top-1.

    (tasks, m, n) → (tasks, 6).
    """
    size = ranks.shape[-1]
    tau = tau_b(pair_signs(ranks, size).astype(np.float64))
    i, j = np.triu_indices(ranks.shape[1], k=1)
    pairs = tau[:, i, j]
    defined = (~np.isnan(pairs)).sum(axis=1)
    features = np.zeros((len(ranks), 6))
    features[:, 0] = np.nansum(pairs, axis=1) / np.maximum(defined, 1)
    features[:, 1] = defined > 0
    w, top = kendall_w(ranks.astype(np.float64)), top_agreement(ranks)
    for column, values in ((2, w), (4, top)):
        features[:, column] = np.nan_to_num(values)
        features[:, column + 1] = ~np.isnan(values)
    return features
