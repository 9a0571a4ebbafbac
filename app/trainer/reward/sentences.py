"""An evaluation in words, for the log, the model card and the run's page."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

RULES = {"longer": "the longer answer wins", "shorter": "the shorter answer wins"}
LEANS = 0.3  # a correlation with length that is
FAR_OFF = 0.1  # a calibration error that is none only by chance


def in_words(found: Mapping[str, Any]) -> dict[str, str]:
    """One or two sentences per part of an evaluation."""
    said = {
        "accuracy": _accuracy(found),
        "baseline": _baseline(found["baseline"]),
        "people": _people(found["people"]),
        "calibration": _calibration(found["calibration"]),
        "length": _length(found),
    }
    if "ensemble" in found:
        said["ensemble"] = _ensemble(found["ensemble"])
    if found.get("criteria"):
        said["criteria"] = _criteria(found["criteria"])
    return said


def percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def between(figure: Mapping[str, Any]) -> str:
    return f"{100 * figure['low']:.0f}–{100 * figure['high']:.0f}"


def points(value: float) -> str:
    whole = round(100 * value)
    return f"{whole} point{'' if abs(whole) == 1 else 's'}".replace("-", "−")


def _accuracy(found: Mapping[str, Any]) -> str:
    figure = found["accuracy"]
    pairs = f"{figure['n']:,} unseen pair{'' if figure['n'] == 1 else 's'}"
    tasks = "" if found["tasks"] == figure["n"] else f" of {found['tasks']:,} tasks"
    chance = "" if figure["low"] > 0.5 else " Chance, 50 %, is not ruled out."
    verb = "puts" if figure["n"] != 1 else "would put"
    return (
        f"It {verb} {percent(figure['value'])} of {pairs}{tasks} in the order that people did "
        f"({between(figure)} %).{chance}"
    )


def _baseline(figure: Mapping[str, Any]) -> str:
    gained, rule = figure["gain"], f"“{RULES[figure['rule']]}” ({percent(figure['value'])})"
    spread = f"({_signed(100 * gained['low'], 0)} to {_signed(100 * gained['high'], 0)})"
    if gained["low"] > 0:
        return f"It beats {rule} by {points(gained['value'])} {spread}."
    if gained["high"] < 0:
        return f"It is worse than {rule} by {points(-gained['value'])}: look at the data first."
    return f"It is not clearly better than {rule}: {points(gained['value'])} {spread}."


def _people(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return (
            "Each pair rests on one judgement, so that nobody knows how far people agree, and how "
            "much a model could reach. Let two or more people judge some of the tasks."
        )
    return (
        f"It agrees with {percent(figure['model']['value'])} of the single votes; someone who "
        f"always knew the majority would with {percent(figure['best'])}. Two people agree on "
        f"{percent(figure['people'])} of pairs ({figure['n']:,} pairs, {figure['votes']:.1f} "
        "votes each)."
    )


def _calibration(figure: Mapping[str, Any]) -> str:
    off = [b for b in figure["bins"] if not b["low"] <= b["claimed"] <= b["high"]]
    error = f"claim and outcome differ by {points(figure['ece'])} on average"
    if not off and figure["ece"] > FAR_OFF:
        return f"These pairs are too few to tell if it can be taken at its word: {error}."
    if not off:
        return f"It can be taken at its word, as far as these pairs can tell: {error}."
    proud = [b["claimed"] > b["held"] for b in off]
    way = "It is too sure of some pairs and not sure enough of others"
    if all(proud) or not any(proud):
        way = "It is too sure of itself" if proud[0] else "It is surer than it claims"
    return (
        f"{way}: it claims {percent(figure['claimed'])} and is right in {percent(figure['held'])}; "
        f"{error}."
    )


def _length(found: Mapping[str, Any]) -> str:
    r = found["length"]["pearson"]
    if r is None:
        return "All responses to a prompt are of the same length, or get the same score."
    which = "longer" if r > 0 else "shorter"
    lean = f"leans towards {which} answers" if abs(r) >= LEANS else "hardly looks at length"
    by = {row["label"]: row["value"] for row in found["by_length"]}
    long, short = by.get("the longer is better"), by.get("the shorter is better")
    halves = ""
    if long is not None and short is not None:
        halves = (
            f" It is right in {percent(long)} of pairs whose longer answer is the better one and "
            f"in {percent(short)} where it is the shorter."
        )
    return f"It {lean} (correlation within a prompt {_signed(r)}).{halves}"


def _signed(value: float, digits: int = 2) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _ensemble(figure: Mapping[str, Any]) -> str:
    said = (
        f"Its {figure['members']} members put {percent(figure['differ']['value'])} of pairs in "
        f"different orders; alone they are right in {_range(figure['alone'])}."
    )
    thirds = {row["label"]: row for row in figure["thirds"]}
    least, most = thirds.get("least disagreement"), thirds.get("most disagreement")
    if not least or not most:
        return said
    spread = math.hypot(*((row["high"] - row["low"]) / 2 for row in (least, most)))
    warns = "warns" if least["value"] - most["value"] > spread else "does not clearly warn"
    return (
        f"{said} Where they disagree most the ensemble is right in {percent(most['value'])}, where "
        f"least in {percent(least['value'])}: disagreement {warns} of mistakes."
    )


def _range(values: Sequence[float]) -> str:
    low, high = percent(min(values)), percent(max(values))
    return low if low == high else f"{low[:-2]}–{high}"


def _criteria(rows: Sequence[Mapping[str, Any]]) -> str:
    told = [
        f"{row['name']} within {row['rmse']:.2g} ({row['mean_rmse']:.2g} by always saying the mean)"
        for row in rows
    ]
    return "It foresees ratings of " + ", ".join(told) + "."
