"""A day in sentences: how far people agreed, who and what moved it, what was changed before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from app.quality.rules.comparing import Difference
from app.quality.rules.intervals import Figure
from app.quality.rules.words import percent

EXPLAINS = 0.5  # share of a fall by which one person explains it
SCALE = {"criteria", "strength_levels", "allow_ties"}


@dataclass(frozen=True, slots=True)
class Pull:
    """A person's part: what the day's agreement would be without her; her own change is clear."""

    name: str
    without: float | None
    is_clear: bool


@dataclass(frozen=True, slots=True)
class Published:
    version: int
    at: datetime


def tell(
    agreement: Figure,
    usual: float | None,
    change: Difference | None,
    *,
    people: Sequence[Pull],
    published: Sequence[Published],
    day: date,
) -> list[str]:
    """The day, most important first. `published`: versions of the day and the one before it."""
    if agreement.value is None:
        return [f"How far people agreed on this day is not defined: {agreement.reason}"]
    return [
        _agreement(agreement, agreement.value, usual, change),
        *_cause(agreement.value, usual, change, people),
        *(_version(each, day) for each in published),
    ]


def _agreement(
    agreement: Figure, value: float, usual: float | None, change: Difference | None
) -> str:
    said = f"People preferred the same response in {percent(value)} of decisive comparisons"
    if agreement.low is not None and agreement.high is not None:
        said += f" ({100 * agreement.low:.0f}–{100 * agreement.high:.0f} %)"
    if usual is None or change is None:
        return f"{said}. There are no other days to hold it against yet."
    if change.is_clear:
        way = "less" if change.is_fall else "more"
        return f"{said}: clearly {way} than on the other days ({percent(usual)})."
    return f"{said}: no clear difference from the other days ({percent(usual)})."


def _cause(
    value: float, usual: float | None, change: Difference | None, people: Sequence[Pull]
) -> list[str]:
    """Who a clear fall comes from, one person if one explains half of it."""
    clear = [person for person in people if person.is_clear]
    if usual is None or change is None or not change.is_fall or not change.is_clear:
        if not clear:
            return []
        return [f"{_list([each.name for each in clear])} agreed clearly less than usual."]
    known = [person for person in people if person.without is not None]
    worst = max(known, key=lambda person: person.without or 0.0, default=None)
    if worst and worst.without is not None and worst.without - value >= EXPLAINS * (usual - value):
        return [
            (
                f"Most of it comes from {worst.name}: without her judgements it would have been "
                f"{percent(worst.without)}."
            )
        ]
    if clear:
        names = _list([each.name for each in clear])
        return [f"{names} agreed clearly less than usual; no one person explains the fall alone."]
    return [
        "No one person explains it: look at the tasks that were judged, and at what was changed."
    ]


def _version(published: Published, day: date) -> str:
    days = (day - published.at.date()).days
    when = "on this day" if days <= 0 else "the day before" if days == 1 else f"{days} days before"
    return f"Version {published.version} of the guidelines was published {when}."


def _list(names: Sequence[str]) -> str:
    if len(names) > 3:
        return f"{', '.join(names[:3])} and {len(names) - 3} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


# -- what was changed, from the audit log


def version_made(action: str, details: Mapping[str, Any]) -> int | None:
    """The version of the guidelines that a change of settings made."""
    if action != "project.update" or {"guidelines", *SCALE}.isdisjoint(details):
        return None
    was = details.get("was_version")
    return was + 1 if isinstance(was, int) else None


def standing_in_words(name: str, *, before: str, after: str, seen: int, passed: int) -> str:
    """That a gold answer says something else of somebody than those before it."""
    if after == "failed":
        what = "fell below the bar of gold answers"
    elif after == "good":
        what = "is in good standing again by gold answers"
    elif before == "failed":
        what = "is above the bar of gold answers again, though not by much"
    else:
        what = "came close to the bar of gold answers"
    return f"{name} {what}: {passed} of {seen} so far are right."


def event_in_words(action: str, target: str, details: Mapping[str, Any]) -> str:
    """An entry of the audit log as people say it."""
    if action == "project.update":
        return _settings(details)
    if action == "gold.suspend":
        return (
            f"A gold question was suspended: {details.get('failed')} of {details.get('judged')} "
            "good annotators disagree with its key."
        )
    if action == "import.undo":
        return f"The import of {target} was undone."
    if action == "import":
        return f"Import of {target}."
    if action == "task.adjudicate":
        return "A task was adjudicated."
    if action == "project.member":
        return f"{target} became {details.get('role', 'member')}."
    if action == "project.member.pause.rule":
        return (
            f"{target} was paused by the rule: {details.get('passed')} of {details.get('seen')} "
            "gold answers so far are right."
        )
    what = action.removeprefix("project.member.").replace("_", " ").replace(".", ", ")
    said = {
        "pause": f"{target} was paused",
        "resume": f"{target} may go on",
        "remove": f"{target} was taken out of the project",
        "terms": f"What {target} may judge was changed",
    }.get(what, f"{target}: {what}")
    return f"{said}: {details['reason']}." if details.get("reason") else f"{said}."


def _settings(details: Mapping[str, Any]) -> str:
    if details.get("paused") is not None:
        return "The project was paused." if details["paused"] else "The project goes on."
    names = [
        name.replace("_", " ")
        for name in details
        if name not in {"was", "was_version", "guidelines"}
    ]
    version = version_made("project.update", details)
    made = f"Version {version} of the guidelines" if version else ""
    if names:
        changed = f"Settings were changed: {', '.join(names)}"
        return f"{changed}. {made}." if made else f"{changed}."
    return f"{made} was published." if made else "Settings were changed."
