"""What a person is told of her own work: counts and pace at once, agreement only week by week.

Agreement after every task, or of a handful of them, would let her guess which were gold.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import combinations
from statistics import fmean

FEWEST_TASKS = 20  # comparable ones in a week before it has a figure
WEEKS_SHOWN = 8
DAYS_SHOWN = 14


def day_of(moment: datetime) -> datetime:
    """The midnight (UTC) at which its day began."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def week_of(moment: datetime) -> datetime:
    """The Monday, 0:00 UTC, at which its week began."""
    midnight = day_of(moment)
    return midnight - timedelta(days=midnight.weekday())


def full_weeks(now: datetime) -> list[datetime]:
    """Mondays of the last full weeks, newest first; the present week has no figure yet."""
    monday = week_of(now)
    return [monday - timedelta(weeks=back) for back in range(1, WEEKS_SHOWN + 1)]


def last_days(now: datetime) -> list[date]:
    """The days of the chart, oldest first, today last."""
    today = day_of(now).date()
    return [today - timedelta(days=back) for back in reversed(range(DAYS_SHOWN))]


def likeness(one: Sequence[int], other: Sequence[int]) -> float:
    """The share of pairs of responses that two rankings put in the same order; a tie is one."""
    pairs = list(combinations(range(len(one)), 2))
    same = sum(_sign(one[i] - one[j]) == _sign(other[i] - other[j]) for i, j in pairs)
    return same / len(pairs)


def _sign(difference: int) -> int:
    return (difference > 0) - (difference < 0)


def weekly_agreement(
    shared: Iterable[tuple[datetime, object, Sequence[int], Sequence[int]]],
) -> dict[datetime, tuple[int, float]]:
    """(when she judged, task, her ranks, another's ranks) → Monday: tasks, mean likeness.

    Each task weighs the same, however many others have judged it.
    """
    weeks: dict[datetime, dict[object, list[float]]] = {}
    for moment, task, hers, another in shared:
        tasks = weeks.setdefault(week_of(moment), {})
        tasks.setdefault(task, []).append(likeness(hers, another))
    return {
        monday: (len(tasks), fmean(fmean(each) for each in tasks.values()))
        for monday, tasks in weeks.items()
    }
