"""How good a judge is: shares with their intervals, calibration, correlations. Numbers only."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Z = 1.959963984540054  # 95 %
Figure = dict[str, Any]


def wilson(share: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share seen in n independent trials."""
    spread = Z * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    middle, width = share + Z**2 / (2 * n), 1 + Z**2 / n
    return max(0.0, (middle - spread) / width), min(1.0, (middle + spread) / width)


def share(values: Sequence[float], tasks: Sequence[int]) -> Figure:
    """Mean of values from 0 to 1 with Wilson's interval; the values of a task are not independent.

    They count as many as would spread as the means of the tasks do (Kish's design effect), so
    that a ranking of nine is not taken for 36 witnesses; at most all of them.
    """
    if not len(values):
        return {"value": None, "low": None, "high": None, "n": 0}
    found = float(np.mean(values))
    clusters = len(set(tasks))
    variance = _clustered(np.asarray(values, float) - found, tasks)
    effective = found * (1 - found) / variance if variance > 0 else float(clusters)
    low, high = wilson(found, max(1.0, min(effective, float(len(values)))))
    return {"value": found, "low": low, "high": high, "n": len(values)}


def gain(values: Sequence[float], others: Sequence[float], tasks: Sequence[int]) -> Figure:
    """Mean difference of two judges on the same pairs, with its 95 % interval."""
    difference = np.asarray(values, float) - np.asarray(others, float)
    found = float(difference.mean())
    spread = Z * math.sqrt(_clustered(difference - found, tasks))
    return {"value": found, "low": found - spread, "high": found + spread, "n": len(difference)}


def _clustered(residuals: Any, tasks: Sequence[int]) -> float:
    """Variance of a mean whose residuals are summed by task: Σ_t (Σ r)² / n²."""
    _, owner = np.unique(np.asarray(tasks), return_inverse=True)
    sums = np.bincount(owner, weights=residuals)
    return float((sums**2).sum()) / len(residuals) ** 2


def calibration(deltas: Sequence[float], labels: Sequence[float], bins: int = 10) -> Figure:
    """How far σ(Δ) can be taken at its word: expected calibration error and the bins behind it.

    Each pair is turned so that the model prefers its first response: σ(|Δ|) from 0.5 to 1 is what
    it claims, the label (the share of votes, 1 where there is one) turned alike is what holds.
    Equal scores prefer neither, so that one half holds, as in accuracy.
    """
    delta, label = np.asarray(deltas, float), np.asarray(labels, float)
    delta = np.nan_to_num(delta)  # of weights that are not numbers the next update or save tells
    sure = 1 / (1 + np.exp(-np.abs(delta).clip(max=500)))
    true = 0.5 + np.sign(delta) * (label - 0.5)
    place = np.minimum(((sure - 0.5) * 2 * bins).astype(int), bins - 1)
    rows, error = [], 0.0
    for b in range(bins):
        inside = place == b
        n = int(inside.sum())
        if not n:
            continue
        claimed, held = float(sure[inside].mean()), float(true[inside].mean())
        low, high = wilson(held, n)
        error += n / len(delta) * abs(claimed - held)
        rows.append({"claimed": claimed, "held": held, "low": low, "high": high, "n": n})
    return {
        "ece": error,
        "claimed": float(sure.mean()) if len(delta) else None,
        "held": float(true.mean()) if len(delta) else None,
        "bins": rows,
    }


def ceiling(shares: Sequence[float], votes: Sequence[int], ties: Sequence[float]) -> Figure:
    """What people allow: `shares` of votes for the better one, of so many `votes` (at least 2).

    `ties` are the shares of votes for neither, of which one half is in `shares`. `people`: the
    chance that two of them agree on a pair, where a tie agrees by one half with whatever it meets,
    as it does with a judge: (1 + (n (p - q)² - decisive share) / (n - 1)) / 2, unbiased; `best`:
    how many votes a judge is right about who knows each majority, the mean of max(p, q).
    """
    p, n, t = np.asarray(shares, float), np.asarray(votes, float), np.asarray(ties, float)
    agree = ((1 + (n * (2 * p - 1) ** 2 - (1 - t)) / (n - 1)) / 2).clip(0, 1)
    return {
        "people": float(agree.mean()),
        "best": float(np.maximum(p, 1 - p).mean()),
        "votes": float(n.mean()),
        "n": len(p),
    }


def within(
    scores: Sequence[Sequence[float]], lengths: Sequence[Sequence[float]]
) -> dict[str, float | None]:
    """Correlation of score and length inside prompts, whose own levels are taken out."""
    return {
        "pearson": _pooled([_centred(s) for s in scores], [_centred(x) for x in lengths]),
        "spearman": _pooled(
            [_centred(_ranks(s)) for s in scores], [_centred(_ranks(x)) for x in lengths]
        ),
    }


def correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    return _pooled([_centred(one)], [_centred(other)])


def _centred(values: Sequence[float]) -> Any:
    found = np.asarray(values, float)
    return found - found.mean() if len(found) else found


def _ranks(values: Sequence[float]) -> Any:
    """Ranks from 1, equal values share their mean."""
    found = np.asarray(values, float)
    return (found[:, None] > found).sum(1) + ((found[:, None] == found).sum(1) + 1) / 2


def _pooled(one: Sequence[Any], other: Sequence[Any]) -> float | None:
    a = np.concatenate(one) if one else np.zeros(0)
    b = np.concatenate(other) if other else np.zeros(0)
    size = math.sqrt(float((a**2).sum()) * float((b**2).sum()))
    return float((a * b).sum()) / size if size > 0 else None


def thirds(values: Sequence[float]) -> list[int]:
    """0, 1 or 2 for each value: in the lowest, the middle or the highest third."""
    order = np.argsort(np.asarray(values, float), kind="stable")
    place = np.empty(len(order), int)
    place[order] = np.arange(len(order)) * 3 // max(len(order), 1)
    return [int(third) for third in place]


def parts(
    names: Sequence[str | None], values: Sequence[float], tasks: Sequence[int], order: Sequence[str]
) -> list[Figure]:
    """The share in each named part, in this order; parts that nobody is in are left out."""
    found: dict[str, tuple[list[float], list[int]]] = {}
    for name, value, task in zip(names, values, tasks, strict=True):
        if name is not None:
            own = found.setdefault(name, ([], []))
            own[0].append(value)
            own[1].append(task)
    return [{"label": name, **share(*found[name])} for name in order if name in found]


def as_mapping(figure: Mapping[str, Any], digits: int = 6) -> dict[str, Any]:
    """Rounded for JSON, all the way down; what is not a number is null."""
    return {name: _rounded(value, digits) for name, value in figure.items()}


def _rounded(value: Any, digits: int) -> Any:
    if isinstance(value, float):
        return round(value, digits) if math.isfinite(value) else None
    if isinstance(value, dict):
        return as_mapping(value, digits)
    if isinstance(value, list):
        return [_rounded(item, digits) for item in value]
    return value
