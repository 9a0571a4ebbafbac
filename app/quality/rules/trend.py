"""Which days stand out, in a sentence below their chart."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from app.quality.rules.comparing import Sums, difference, total_of
from app.quality.rules.words import percent

SHORTLY = timedelta(days=2)  # a change so long before a day may be its cause
FEWEST_TASKS = 10  # shared ones by which a day can be told


@dataclass(frozen=True, slots=True)
class Point:
    """A day; `is_low`: clearly below the other days."""

    day: date
    value: float | None
    tasks: float
    is_low: bool = False


def points(days: Sequence[tuple[date, Sums]]) -> list[Point]:
    """Each day against all others, at a level for all days at once: few false alarms."""
    told = [(day, sums) for day, sums in days if sums.tasks >= FEWEST_TASKS]
    total = total_of(sums for _, sums in days)
    found = []
    for day, sums in days:
        change = difference(sums, total.without(sums), looks=len(told))
        is_low = change is not None and change.is_fall and sums.tasks >= FEWEST_TASKS
        found.append(Point(day, sums.value, sums.tasks, is_low))
    return found


def in_words(found: Sequence[Point], usual: float | None, *, marks: Sequence[date]) -> str:
    """The answer to “on which days do people agree less?”; `marks`: days of changes."""
    if usual is None:
        return "No task has been judged by two people yet, so there is nothing to compare."
    told = [point for point in found if point.tasks >= FEWEST_TASKS]
    if not told:
        return f"No day has {FEWEST_TASKS} shared tasks yet, the fewest by which a day can be told."
    low = [point for point in found if point.is_low]
    if not low:
        return f"On none: no day lies clearly below the others ({percent(usual)} in all)."
    low.sort(key=lambda point: point.value or 0.0)
    named = ", ".join(f"{_day(point.day)} ({percent(point.value or 0.0)})" for point in low[:3])
    more = f" and {len(low) - 3} more" if len(low) > 3 else ""
    said = f"Clearly less than on the others: {named}{more}; {percent(usual)} in all."
    worst = low[0].day
    if any(worst - SHORTLY <= mark <= worst for mark in marks):
        said += f" Something was changed shortly before {_day(worst)}."
    return f"{said} Open a day to see who and what it comes from."


def volume_in_words(days: Sequence[tuple[str, int]]) -> str:
    """The answer to “how much is judged each day?”; days are ISO dates."""
    worked = [(day, number) for day, number in days if number]
    if not worked:
        return f"Nothing in the last {len(days)} days."
    total = sum(number for _, number in worked)
    busiest, most = max(worked, key=lambda each: each[1])
    if len(worked) == 1:
        return f"{total:,} on one day, {_day(date.fromisoformat(busiest))}."
    return (
        f"{total / len(worked):,.0f} on a usual day with work ({len(worked)} of {len(days)} days), "
        f"{most:,} at most, on {_day(date.fromisoformat(busiest))}."
    )


def gold_in_words(standings: Sequence[tuple[str, str]]) -> str:
    """The answer to “who passes the gold questions?”: (name, standing) of those who met some."""
    failed = [name for name, standing in standings if standing == "failed"]
    warned = [name for name, standing in standings if standing == "warned"]
    if not failed and not warned:
        if len(standings) == 1:
            return "The one person who has met some passes."
        return f"All {len(standings)} people who have met some pass."
    said = []
    if failed:
        said.append(f"{_names(failed)} {'fails' if len(failed) == 1 else 'fail'}")
    if warned:
        said.append(f"{_names(warned)} {'is' if len(warned) == 1 else 'are'} close to failing")
    rest = len(standings) - len(failed) - len(warned)
    if rest:
        said.append(f"{rest} {'passes' if rest == 1 else 'pass'}")
    return f"{'; '.join(said)}."


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def _day(day: date) -> str:
    return f"{day:%a} {day.day} {day:%b}"
