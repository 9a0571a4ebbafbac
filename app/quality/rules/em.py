"""Maximum-likelihood estimation of true classes and of people's error rates by EM.

Dawid, A. P. & Skene, A. M. (1979), "Maximum likelihood estimation of observer error-rates using the
EM algorithm", Applied Statistics 28, 20–28. With pseudo-counts the estimate is the mode under
Dirichlet priors; votes may be seen from one of two mirrored sides, and some people's matrices may be
the same from both.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.quality.rules.intervals import Floats, Ints

STEPS = 500
CLOSE = 1e-10  # relative growth of the objective at which the estimate stands still
_SEED = 1979  # of the hashes that tell items apart; nothing else is random
_TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Votes:
    """N votes on items 0 … n_items − 1, each of which has one, by people 0 … n_annotators − 1.

    item, annotator, said (N,): who called what by which of the K classes; mirrored (N,): she saw
    the item from the other side, where class k looks like K − 1 − k.
    """

    item: Ints
    annotator: Ints
    said: Ints
    mirrored: NDArray[np.bool_]
    n_items: int
    n_annotators: int
    n_classes: int


@dataclass(frozen=True, slots=True)
class Prior:
    """Pseudo-counts: matrices (annotators, K, K), true class by what is said; shares (K,).

    even (annotators,): whose matrix is the same from both sides; is_even: so are the shares of
    the classes. A share of −inf pseudo-counts is a class that does not exist.
    """

    matrices: Floats
    shares: Floats
    even: NDArray[np.bool_]
    is_even: bool = True


@dataclass(frozen=True, slots=True)
class Estimate:
    """posterior (items, K); matrices (annotators, K, K): P(said | true), as seen from her side;
    counts (annotators, K, K): the votes behind them, spread over the true classes.
    """

    posterior: Floats
    matrices: Floats
    counts: Floats
    shares: Floats
    objective: float
    steps: int


@dataclass(frozen=True, slots=True)
class _Coded:
    """Distinct items. code (votes,): of (annotator, side, what was said as seen from there)."""

    item: Ints
    code: Ints
    weight: Floats
    kind: Ints  # of each item


def estimate(votes: Votes, prior: Prior, *, close: float = CLOSE, steps: int = STEPS) -> Estimate:
    """EM from the shares of the votes until the penalised log-likelihood stands still."""
    coded = _coded(votes)
    posterior = _first_guess(votes, coded, prior)
    before = -np.inf
    for step in range(1, steps + 1):
        counts = _counts(coded, posterior, votes)
        matrices = _matrices(counts + prior.matrices, prior.even)
        shares = _shares(coded.weight @ posterior, prior)
        table = _log_table(matrices)
        posterior, likelihood = _expect(coded.item, coded.code, table, shares, len(coded.weight))
        objective = float(coded.weight @ likelihood) + _log_prior(matrices, shares, prior)
        if objective - before <= close * (abs(objective) + 1):
            break
        before = objective
    return Estimate(posterior[coded.kind], matrices, counts, shares, objective, step)


def posterior_of(votes: Votes, fitted: Estimate) -> Floats:
    """What people with these matrices say of items that the estimate does not rest on."""
    table = _log_table(fitted.matrices)
    return _expect(votes.item, _codes(votes), table, fitted.shares, votes.n_items)[0]


def counts_of(votes: Votes, truth: Ints) -> Floats:
    """How often each person said what of items whose class is known: (annotators, K, K)."""
    k = votes.n_classes
    known = truth[votes.item]
    true = np.where(votes.mirrored, k - 1 - known, known)
    said = np.where(votes.mirrored, k - 1 - votes.said, votes.said)
    cell = (votes.annotator * k + true) * k + said
    counts = np.bincount(cell, minlength=votes.n_annotators * k * k)
    return counts.reshape(-1, k, k).astype(np.float64)


def _codes(votes: Votes) -> Ints:
    k = votes.n_classes
    seen = np.where(votes.mirrored, k - 1 - votes.said, votes.said)
    code: Ints = (votes.annotator * 2 + votes.mirrored) * k + seen
    return code


def _coded(votes: Votes) -> _Coded:
    """Items with the same votes by the same people are one, however many there are."""
    code = _codes(votes)
    n_codes = votes.n_annotators * 2 * votes.n_classes
    words = np.random.default_rng(_SEED).integers(0, 2**64, size=n_codes, dtype=np.uint64)
    signature = np.zeros(votes.n_items, np.uint64)
    np.add.at(signature, votes.item, words[code])
    _, example, kind, number = np.unique(
        signature, return_index=True, return_inverse=True, return_counts=True
    )
    place = np.full(votes.n_items, -1)
    place[example] = np.arange(len(example))
    item = place[votes.item]
    kept = item >= 0
    return _Coded(item[kept], code[kept], number.astype(np.float64), kind)


def _first_guess(votes: Votes, coded: _Coded, prior: Prior) -> Floats:
    """The share of the votes for each class, a little smoothed where there is a prior."""
    k, n = votes.n_classes, len(coded.weight)
    mirrored = (coded.code // k) % 2 == 1
    said = np.where(mirrored, k - 1 - coded.code % k, coded.code % k)
    counts = np.bincount(coded.item * k + said, minlength=n * k).reshape(n, k).astype(np.float64)
    counts += 0.1 * (prior.matrices.max() > 0) * np.isfinite(prior.shares)
    guess: Floats = counts / counts.sum(axis=1, keepdims=True)
    return guess


def _counts(coded: _Coded, posterior: Floats, votes: Votes) -> Floats:
    """The votes of each person by true class, as seen from her side."""
    k = votes.n_classes
    weighted = posterior * coded.weight[:, None]
    shape = (votes.n_annotators, 2, k)
    by_class = [
        np.bincount(
            coded.code, weighted[coded.item, true], minlength=votes.n_annotators * 2 * k
        ).reshape(shape)
        for true in range(k)
    ]
    stacked = np.stack(by_class, axis=2)  # (annotators, side, true, said)
    counts: Floats = stacked[:, 0] + stacked[:, 1, ::-1]
    return counts


def _matrices(counts: Floats, even: NDArray[np.bool_]) -> Floats:
    both = counts + counts[:, ::-1, ::-1]
    counts = np.where(even[:, None, None], both, counts)
    total = counts.sum(axis=2, keepdims=True)
    # A class that she never met, without a prior: anything may be said of it.
    matrices: Floats = np.where(total > 0, counts / np.maximum(total, _TINY), 1 / counts.shape[2])
    return matrices


def _shares(counts: Floats, prior: Prior) -> Floats:
    counts = np.where(np.isfinite(prior.shares), counts + prior.shares, 0.0)
    if prior.is_even:
        counts = counts + counts[::-1]
    shares: Floats = counts / counts.sum()
    return shares


def _log_table(matrices: Floats) -> Floats:
    """Log P(what was said | true class of the item), by code: (codes, K)."""
    logs = np.log(np.maximum(matrices, _TINY))  # (annotators, true, said)
    table = np.stack([logs, logs[:, ::-1]], axis=1)  # (annotators, side, true, said)
    n, k = len(matrices), matrices.shape[1]
    return table.transpose(0, 1, 3, 2).reshape(n * 2 * k, k)


def _expect(
    item: Ints, code: Ints, table: Floats, shares: Floats, n_items: int
) -> tuple[Floats, Floats]:
    """(posterior, log-likelihood) of every item."""
    with np.errstate(divide="ignore"):
        log_shares = np.log(shares)
    joint = np.stack(
        [
            np.bincount(item, table[code, true], minlength=n_items) + log_shares[true]
            for true in range(len(shares))
        ],
        axis=1,
    )
    most = joint.max(axis=1, keepdims=True)
    joint = np.exp(joint - most)
    total = joint.sum(axis=1, keepdims=True)
    posterior: Floats = joint / total
    return posterior, (np.log(total) + most)[:, 0]


def _log_prior(matrices: Floats, shares: Floats, prior: Prior) -> float:
    of_shares = np.where(np.isfinite(prior.shares) & (prior.shares > 0), prior.shares, 0.0)
    logs = np.log(np.maximum(matrices, _TINY))
    with np.errstate(divide="ignore", invalid="ignore"):
        known = np.where(of_shares > 0, of_shares * np.log(shares), 0.0)
    return float((prior.matrices * logs).sum() + known.sum())
