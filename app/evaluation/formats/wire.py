"""What an evaluation says, as JSON and in sentences."""

from app.db import JsonObject
from app.evaluation.rules.standing import (
    Names,
    Standing,
    headline,
    ties_in_words,
    verdict_in_words,
)
from app.quality.rules.words import percent


def sentences(found: Standing, names: Names) -> list[str]:
    """The result, whether it is enough, how ties count, and what length has to do with it."""
    said = [
        headline(found, names),
        verdict_in_words(found, a=names.a, b=names.b),
        ties_in_words(found),
        length_in_words(found, names),
    ]
    return [one for one in said if one]


def length_in_words(found: Standing, names: Names) -> str:
    same, share = found.length.win_rate, found.length.longer_share
    if same.value is None or share is None:
        return ""
    longer = f"{names.a} writes the longer answer to {percent(share)} of prompts."
    if same.low is None or same.high is None:
        return longer
    return (
        f"{longer} If both wrote at the same length, {names.a} would win {percent(same.value)} "
        f"({100 * same.low:.0f}–{100 * same.high:.0f})."
    )


def verdict_as_json(found: Standing, names: Names) -> JsonObject:
    tally = found.tally
    return {
        "win_rate": found.win_rate.as_json(),
        "always": {"low": round(found.low, 6), "high": round(found.high, 6)},
        "prompts": found.prompts,
        "equal": found.equal,
        "judged": found.judged,
        "judgements": found.judgements,
        "decided": found.decided,
        "prefers": {1: "a", -1: "b", 0: None}[found.prefers],
        "wins": tally.wins,
        "ties": tally.ties + found.equal,
        "losses": tally.losses,
        "by_tag": [{"tag": tag, "prompts": n, **rate.as_json()} for tag, n, rate in found.tags],
        "length_controlled": found.length.win_rate.as_json(),
        "sentences": sentences(found, names),
    }
