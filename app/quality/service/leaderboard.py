"""What the leaderboard says in a sentence, and as charts."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.quality.rules.words import percent
from app.quality.service.summary import View


def headline(view: View) -> str:
    """Which source is better, how surely, or why nobody can say."""
    entries: Sequence[Mapping[str, Any]] = view.figures["entries"]
    if len(entries) < 2:
        return str(view.figures.get("reason", ""))
    first, second = entries[0]["source"], entries[1]["source"]
    share = entries[0]["better_than_next"]
    said = f"{percent(share['value'])} of decisive comparisons"
    if share["low"] is None:
        return f"{first} leads {second} with {said}, but too few tasks were judged to be sure."
    within = f"{said} ({percent(share['low'])} to {percent(share['high'])})"
    if share["low"] > 0.5:
        return f"{first} is better than {second}: preferred in {within}."
    return f"{first} and {second} cannot be told apart yet: {first} is preferred in {within}."


def charts(view: View) -> dict[str, Any]:
    """Data of the script of the page, by name."""
    matrix = view.figures["matrix"]
    return {
        "scores": [
            {"source": entry["source"], "rank": entry["rank"], **entry["score"]}
            for entry in view.figures["entries"]
        ],
        "wins": matrix
        and {
            "sources": matrix["sources"],
            "share": _shares(matrix),
            "n": [
                [_met(matrix, i, j) for j in range(len(matrix["sources"]))]
                for i in range(len(matrix["sources"]))
            ],
        },
    }


def _met(matrix: Mapping[str, Any], i: int, j: int) -> int:
    return int(matrix["wins"][i][j] + matrix["wins"][j][i] + matrix["ties"][i][j])


def _shares(matrix: Mapping[str, Any]) -> list[list[float | None]]:
    """Wins and half the ties of the row against the column, null where they never met."""
    places = range(len(matrix["sources"]))
    return [
        [
            round((matrix["wins"][i][j] + matrix["ties"][i][j] / 2) / number, 4)
            if (number := _met(matrix, i, j))
            else None
            for j in places
        ]
        for i in places
    ]
