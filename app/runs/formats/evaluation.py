"""The pictures of a reward model's evaluation: each a question, rows of shares, and an answer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

RULES = {"longer": "the longer answer wins", "shorter": "the shorter answer wins"}


@dataclass(frozen=True, slots=True)
class Shares:
    """A chart of shares with their intervals, one row each."""

    name: str
    title: str
    note: str
    answer: str
    rows: list[dict[str, Any]]
    line: float | None = 0.5  # dotted: chance

    @property
    def data(self) -> dict[str, Any]:
        return {"rows": self.rows, "line": self.line}


def share_charts(found: Mapping[str, Any]) -> list[Shares]:
    """Those that this evaluation has data for, most telling first."""
    said = found["sentences"]
    charts = [
        Shares(
            "standing",
            "Is it better than a simple rule?",
            "Share of unseen pairs in the order that people chose, with 95 % intervals. Dotted: "
            "chance.",
            "",
            [_row("this model", found["accuracy"]), _row(_rule(found), found["baseline"])],
        ),
        Shares(
            "people",
            "How near does it come to people?",
            "Share of single votes, where two people or more judged. Nothing can agree with more "
            "of them than one who knows each majority; with few votes that bound is generous.",
            said["people"],
            _people(found.get("people")),
        ),
        Shares(
            "agreement",
            "Is it right where people agree?",
            "Accuracy by the share of votes that say the same. Where people are torn, nobody can "
            "be right often.",
            "",
            found["by_agreement"],
        ),
        Shares(
            "strength",
            "Is it right where the difference is clear?",
            "Accuracy by how much better people found it: by strength, or in rankings by the "
            "places between the two.",
            "",
            found["by_strength"],
        ),
        Shares(
            "length",
            "Does it judge by length?",
            "Accuracy where the better answer is the longer one, and where it is the shorter. A "
            "model that does not look at length is as good at both.",
            said["length"],
            found["by_length"],
        ),
    ]
    if "ensemble" in found:
        charts.append(
            Shares(
                "ensemble",
                "Do its members disagree where it is wrong?",
                "Accuracy of the ensemble in the third of the pairs on which its members differ "
                "least, and so on. If it falls from the top down, disagreement is a warning.",
                said["ensemble"],
                found["ensemble"]["thirds"],
            )
        )
    return [chart for chart in charts if chart.rows]


def _row(label: str, figure: Mapping[str, Any]) -> dict[str, Any]:
    return {"label": label} | {key: figure.get(key) for key in ("value", "low", "high", "n")}


def _rule(found: Mapping[str, Any]) -> str:
    return RULES[found["baseline"]["rule"]]


def _people(figure: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    if not figure:
        return []
    n = figure["n"]
    return [
        _row("this model", figure["model"]),
        _row("two people", {"value": figure["people"], "n": n}),
        _row("best possible", {"value": figure["best"], "n": n}),
    ]


def mistakes(found: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """The worst examples, each with what the model claimed of them."""
    for row in found.get("worst", []):
        better, worse = row["scores"]
        yield {"votes": 0, "share": None, "spread": None, **row, "gap": worse - better}
