"""Maximum-likelihood estimation of true classes and of people's error rates by EM.

Dawid, A. P. & Skene, A. M. (1979), "Maximum likelihood estimation of observer error-rates using
the EM algorithm", Applied Statistics 28, 20–28. With pseudo-counts the estimate is the mode under
Dirichlet priors; votes may be seen from one of two mirrored sides, and some people's matrices may
be the same from both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.quality.rules.intervals import Floats, Ints

STEPS = 150  # leaps, three steps of EM each
CLOSE = 1e-8  # relative growth of the objective at which the estimate stands still
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
    """What EM ended with.

    posterior (items, K); matrices (annotators, K, K): P(said | true), as seen from her side; counts
    (annotators, K, K): the votes behind them, spread over the true classes.
    """

    posterior: Floats
    matrices: Floats
    counts: Floats
    shares: Floats
    objective: float
    steps: int


@dataclass(frozen=True, slots=True)
class _Coded:
    """Distinct items, those with as many votes together.

    Each panel is a slice of them and the codes (votes, items) of (annotator, side, what was said as
    seen from there). Numbers by class and item are kept class by class, (K, items): long rows are
    what numpy likes.
    """

    panels: Sequence[tuple[slice, Ints]]
    weight: Floats  # how many items are alike
    kind: Ints  # the distinct item of each item
    n_codes: int


Parameters = tuple[Floats, Floats]  # matrices, shares


def estimate(votes: Votes, prior: Prior, *, close: float = CLOSE, steps: int = STEPS) -> Estimate:
    """EM from the shares of the votes until the penalised log-likelihood stands still.

    Two steps, then a leap along them, taken back where it leads downhill: Varadhan & Roland (2008),
    "Simple and globally convergent methods for accelerating the convergence of any EM algorithm",
    Scandinavian Journal of Statistics 35, scheme S3, on the square roots of the probabilities.
    """
    coded = _coded(votes)

    def improve(at: Parameters) -> tuple[Parameters, float]:
        """(parameters after one step of EM, the objective before it)."""
        posterior, likelihood = _expect(coded, at)
        objective = float(likelihood @ coded.weight) + _log_prior(at, prior)
        return _maximise(coded, posterior, votes, prior), objective

    at = _maximise(coded, _first_guess(votes, coded, prior), votes, prior)
    taken = 0
    while taken < steps:
        taken += 1
        once, objective = improve(at)
        twice, after_one = improve(once)
        thrice, after_leap = improve(_leap(at, once, twice))
        at = thrice if after_leap >= after_one else twice
        if max(after_leap, after_one) - objective <= close * (abs(objective) + 1):
            break
    posterior, likelihood = _expect(coded, at)
    return Estimate(
        posterior=np.ascontiguousarray(posterior[:, coded.kind].T),
        matrices=at[0],
        counts=_counts(coded, posterior, votes),
        shares=at[1],
        objective=float(likelihood @ coded.weight) + _log_prior(at, prior),
        steps=taken,
    )


def _leap(start: Parameters, once: Parameters, twice: Parameters) -> Parameters:
    """Where two steps of EM seem to lead; again probabilities."""
    roots = [[np.sqrt(part) for part in parameters] for parameters in (start, once, twice)]
    first = [b - a for a, b in zip(roots[0], roots[1], strict=True)]
    second = [c - b - step for b, c, step in zip(roots[1], roots[2], first, strict=True)]
    bend = sum(float((part**2).sum()) for part in second)
    length = sum(float((part**2).sum()) for part in first)
    if bend == 0:
        return twice
    reach = max(1.0, np.sqrt(length / bend))
    matrices, shares = (
        (a + 2 * reach * b + reach**2 * c) ** 2
        for a, b, c in zip(roots[0], first, second, strict=True)
    )
    total = matrices.sum(axis=2, keepdims=True)
    return matrices / np.maximum(total, _TINY), shares / shares.sum()


def posterior_of(votes: Votes, fitted: Estimate) -> Floats:
    """What people with these matrices say of items that the estimate does not rest on.

    An item without votes is as likely of each class as any.
    """
    table, code = _log_table(fitted.matrices), _codes(votes)
    joint = np.stack(
        [
            np.bincount(votes.item, table[code, true], minlength=votes.n_items)
            for true in range(votes.n_classes)
        ],
    )
    return _normalised(joint + _logs(fitted.shares)[:, None])[0].T


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
    length = np.bincount(votes.item, minlength=votes.n_items)[example]
    by_length = np.argsort(length, kind="stable")
    place = np.full(votes.n_items, -1)  # of an example among the distinct items
    place[example[by_length]] = np.arange(len(example))
    of_votes = place[votes.item]
    kept = of_votes >= 0
    code = code[kept][np.argsort(of_votes[kept], kind="stable")]
    panels, item, vote = [], 0, 0
    for m, n in zip(*np.unique(length, return_counts=True), strict=True):
        panels.append((slice(item, item + n), _by_vote(code[vote : vote + n * m], n)))
        item, vote = item + n, vote + n * m
    return _Coded(panels, number[by_length].astype(np.float64), place[example][kind], n_codes)


def _by_vote(code: Ints, n_items: int) -> Ints:
    return np.ascontiguousarray(code.reshape(n_items, -1).T)


def _first_guess(votes: Votes, coded: _Coded, prior: Prior) -> Floats:
    """The share of the votes for each class, a little smoothed where there is a prior."""
    k = votes.n_classes
    counts = np.zeros((k, len(coded.weight)))
    for items, codes in coded.panels:
        said = np.where((codes // k) % 2 == 1, k - 1 - codes % k, codes % k)
        for true in range(k):
            counts[true, items] = (said == true).sum(axis=0)
    smoothing = 0.1 * (prior.matrices.max(initial=0) > 0) * np.isfinite(prior.shares)
    counts += smoothing[:, None]
    guess: Floats = counts / counts.sum(axis=0)
    return guess


def _expect(coded: _Coded, at: Parameters) -> tuple[Floats, Floats]:
    """(posterior, log-likelihood) of every distinct item."""
    table, shares = _log_table(at[0]), _logs(at[1])
    joint = np.repeat(shares[:, None], len(coded.weight), axis=1)
    for true, of_class in enumerate(table.T):
        logs = np.ascontiguousarray(of_class)
        for items, codes in coded.panels:
            part = joint[true, items]
            for code in codes:
                part += logs.take(code)
    return _normalised(joint)


def _normalised(joint: Floats) -> tuple[Floats, Floats]:
    """(posterior, log of the sum) by item, from logs of joint probabilities (K, items)."""
    most = joint.max(axis=0)
    joint = np.exp(joint - most)
    total = joint.sum(axis=0)
    joint /= total
    return joint, np.log(total) + most


def _counts(coded: _Coded, posterior: Floats, votes: Votes) -> Floats:
    """The votes of each person by true class, as seen from her side."""
    k = votes.n_classes
    by_class = np.zeros((k, coded.n_codes))
    for true in range(k):
        weighted = posterior[true] * coded.weight
        for items, codes in coded.panels:
            part = weighted[items]
            for code in codes:
                by_class[true] += np.bincount(code, part, minlength=coded.n_codes)
    by_side = by_class.reshape(k, votes.n_annotators, 2, k)  # (true, annotator, side, said)
    counts: Floats = (by_side[:, :, 0] + by_side[::-1, :, 1]).transpose(1, 0, 2)
    return counts


def _maximise(coded: _Coded, posterior: Floats, votes: Votes, prior: Prior) -> Parameters:
    counts = _counts(coded, posterior, votes) + prior.matrices
    both = counts + counts[:, ::-1, ::-1]
    counts = np.where(prior.even[:, None, None], both, counts)
    total = counts.sum(axis=2, keepdims=True)
    # A class that she never met, without a prior: anything may be said of it.
    matrices = np.where(total > 0, counts / np.maximum(total, _TINY), 1 / votes.n_classes)
    of_classes = posterior @ coded.weight + np.maximum(prior.shares, 0)
    of_classes = np.where(np.isfinite(prior.shares), of_classes, 0.0)
    if prior.is_even:
        of_classes = of_classes + of_classes[::-1]
    return matrices, of_classes / of_classes.sum()


def _logs(p: Floats) -> Floats:
    logs: Floats = np.log(np.maximum(p, _TINY))
    return logs


def _log_table(matrices: Floats) -> Floats:
    """Log P(what was said | true class of the item), by code: (codes, K)."""
    logs = _logs(matrices)  # (annotators, true, said)
    table = np.stack([logs, logs[:, ::-1]], axis=1)  # (annotators, side, true, said)
    n, k = len(matrices), matrices.shape[1]
    return np.ascontiguousarray(table.transpose(0, 1, 3, 2).reshape(n * 2 * k, k))


def _log_prior(at: Parameters, prior: Prior) -> float:
    of_shares = np.maximum(prior.shares, 0) * _logs(at[1])
    return float((prior.matrices * _logs(at[0])).sum() + of_shares.sum())
