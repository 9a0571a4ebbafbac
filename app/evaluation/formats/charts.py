"""The data of an evaluation's charts, by name; those that have nothing to show are not there."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.evaluation.rules.best_of import BestOf
from app.evaluation.rules.scores import Scored
from app.evaluation.rules.standing import Names, Standing
from app.quality.rules.intervals import Figure

MOST_POINTS = 300


def charts(
    found: Standing,
    names: Names,
    *,
    curves: Mapping[str, Sequence[BestOf]],
    scored: Sequence[Scored],
) -> dict[str, Any]:
    data = {
        "path": _path(found),
        "rates": _rates(found),
        "best": _best(curves, names),
        "gaps": _gaps(scored),
    }
    return {name: rows for name, rows in data.items() if rows}


def _path(found: Standing) -> list[dict[str, Any]]:
    """By complete prompt, thinned where there are many; the last is always there."""
    if len(found.path) < 2:
        return []
    step = max(1, -(-len(found.path) // MOST_POINTS))
    kept = sorted({*range(0, len(found.path), step), len(found.path) - 1})
    rows = []
    for place in kept:
        _, rate, low, high = found.path[place]
        row = {"n": place + 1, "rate": rate, "low": low, "high": high}
        rows.append({key: round(value, 4) for key, value in row.items()})
    return rows


def _rates(found: Standing) -> list[dict[str, Any]]:
    """The win rate over all, at the same length, and by tag."""
    if not found.judged:
        return []
    rows = [_row("all prompts", found.win_rate, found.judged + found.equal, kind="all")]
    if found.length.win_rate.value is not None:
        rows.append(_row("at the same length", found.length.win_rate, found.judged, kind="length"))
    rows += [_row(tag, figure, number, kind="tag") for tag, number, figure in found.tags]
    return rows


def _row(label: str, figure: Figure, n: int, *, kind: str) -> dict[str, Any]:
    return {"label": label, "n": n, "kind": kind, **figure.as_json()}


def _best(curves: Mapping[str, Sequence[BestOf]], names: Names) -> list[dict[str, Any]]:
    called = {"a": names.a, "b": names.b}
    return [
        {
            "name": called[side],
            "points": [
                {"n": point.n, "kl": round(point.kl, 4), **point.score.as_json()}
                for point in points
            ],
        }
        for side, points in curves.items()
        if points
    ]


def _gaps(scored: Sequence[Scored]) -> list[dict[str, Any]]:
    """What people say against how much higher the model scores A."""
    return [
        {"gap": round(one.gap, 4), "said": round(one.said, 4), "votes": one.votes}
        for one in scored
        if one.said is not None
    ]
