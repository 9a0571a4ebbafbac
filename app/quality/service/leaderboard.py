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


def length_in_words(view: View) -> str | None:
    """What length has to do with it; None where there is no board to speak of."""
    board, plain = view.figures["at_equal_length"], view.figures["entries"]
    if board is None or not plain:
        return None
    if board.get("reason"):
        return f"What would be left at equal length is not defined: {board['reason']}"
    longer, usual = board["longer_of_equals"], f"{board['usual_difference']:,.0f} characters"
    if longer["low"] is None or longer["low"] <= 0.5 <= longer["high"]:
        taste = "Length makes no clear difference"
    else:
        which = "longer" if longer["value"] > 0.5 else "shorter"
        share = longer["value"] if longer["value"] > 0.5 else 1 - longer["value"]
        taste = (
            f"People prefer what is {which}: of two equally good responses that differ by {usual}, "
            f"the {which} one wins {percent(share)} of decisive comparisons"
        )
    first, was = board["entries"][0]["source"], plain[0]["source"]
    low = board["entries"][0]["better_than_next"]["low"]
    unsure = "" if low is not None and low > 0.5 else ", but that is not sure"
    lead = f"{first} would lead, not {was}" if first != was else f"{first} would still lead"
    return f"{taste}. At equal length {lead}{unsure}."


def tags_in_words(view: View) -> str | None:
    """Where another source leads than over all, as far as that is sure; None without tags."""
    boards, plain = view.figures["by_tag"], view.figures["entries"]
    if not boards or not plain:
        return None
    leader = plain[0]["source"]
    others = [
        f"{board['entries'][0]['source']} in “{board['tag']}”"
        for board in boards
        if board["entries"]
        and board["entries"][0]["source"] != leader
        and board["entries"][0]["better_than_next"]["low"] is not None
        and board["entries"][0]["better_than_next"]["low"] > 0.5
    ]
    if not others:
        return f"No: nowhere does another source than {leader} surely lead."
    chance = " With so many tags, one may do so by chance." if len(boards) > 9 else ""
    return f"Yes: elsewhere than over all, {', '.join(others)} leads.{chance}"


def at_equal_length(view: View) -> Mapping[str, Mapping[str, Any]]:
    """The score at equal length by source."""
    board = view.figures["at_equal_length"]
    return {entry["source"]: entry["score"] for entry in board["entries"]} if board else {}


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
