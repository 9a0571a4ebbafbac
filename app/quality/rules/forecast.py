"""When what is left will be judged, at the pace of the last days on which people worked."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil, sqrt
from statistics import fmean, stdev

WINDOW = 7  # days with work by which the pace is told …
LOOK_BACK = 28  # … of the last days
FEWEST_DAYS = 3
FARTHEST = 3_650  # days beyond which nothing is foretold
# Student's t, two-sided 95 %, by degrees of freedom: 2 … 6.
_T = {2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447}


@dataclass(frozen=True, slots=True)
class Pace:
    """Judgements that count per day with work, and on which share of the days people work."""

    per_day: float
    deviation: float
    days: int
    share: float  # of the calendar's days


@dataclass(frozen=True, slots=True)
class Forecast:
    """`working_days` with its interval, as dates; `high` and `latest` None: no end can be told."""

    left: int
    pace: Pace | None
    working_days: float | None = None
    low: float | None = None
    high: float | None = None
    done_on: date | None = None
    earliest: date | None = None
    latest: date | None = None
    reason: str | None = None


def pace_of(counts: Mapping[date, int], *, today: date) -> Pace | None:
    """From what was judged on each day; today is not over and does not count."""
    worked = sorted(
        day
        for day, number in counts.items()
        if number > 0 and today - timedelta(days=LOOK_BACK) <= day < today
    )[-WINDOW:]
    if len(worked) < FEWEST_DAYS:
        return None
    numbers = [float(counts[day]) for day in worked]
    return Pace(fmean(numbers), stdev(numbers), len(worked), len(worked) / (today - worked[0]).days)


def forecast(left: int, counts: Mapping[date, int], *, today: date) -> Forecast:
    """How many more days with work so many judgements take.

    After D days the sum is D·m, with the variance D·s² of the days to come and D²·s²/n of m,
    which n days have told: the ends of the interval are the D at which ± t standard errors reach
    what is left.
    """
    pace = pace_of(counts, today=today)
    if left <= 0:
        return Forecast(0, pace, reason="Everything that is wanted has been judged.")
    if pace is None:
        so_far = sum(
            number > 0 and today - timedelta(days=LOOK_BACK) <= day < today
            for day, number in counts.items()
        )
        return Forecast(
            left,
            None,
            reason=(
                f"Not known yet: the pace is told from {FEWEST_DAYS} full days with work in the "
                f"last {LOOK_BACK} days, and there {'is' if so_far == 1 else 'are'} {so_far} so "
                "far."
            ),
        )
    days = left / pace.per_day
    if days > FARTHEST:
        return Forecast(
            left, pace, reason="At the pace of the last days it would take more than ten years."
        )
    low, high = _bound(left, pace, +1), _bound(left, pace, -1)
    return Forecast(
        left,
        pace,
        days,
        low,
        high,
        _date(today, days, pace),
        _date(today, low or days, pace),
        None if high is None else _date(today, high, pace),
    )


def _bound(left: int, pace: Pace, side: int) -> float | None:
    """The D at which D·m + side · t · √(D·s² + D²·s²/n) = left; None: never."""
    t = _T[min(6, max(2, pace.days - 1))]

    def reached(d: float) -> float:
        spread = pace.deviation * sqrt(d + d * d / pace.days)
        return d * pace.per_day + side * t * spread

    if reached(FARTHEST) < left:
        return None
    low, high = 0.0, float(FARTHEST)
    for _ in range(60):
        middle = (low + high) / 2
        if reached(middle) < left:
            low = middle
        else:
            high = middle
    return high


def _date(today: date, days: float, pace: Pace) -> date:
    """So many days with work from tomorrow on, at the present share of days with work."""
    return today + timedelta(days=ceil(days / pace.share))


def in_words(found: Forecast) -> str:
    """When it will be done, in a sentence."""
    if found.working_days is None or found.pace is None or found.done_on is None:
        return found.reason or ""
    judgements = f"{found.left:,} judgement{'' if found.left == 1 else 's'} to go"
    about = f"about {_days(found.working_days)} with work"
    if found.earliest is None or found.latest is None:
        return (
            f"{judgements}: {about}, around {_day(found.done_on)}. How late it may become cannot "
            "be told: the last days differ too much."
        )
    if found.earliest == found.latest:
        return f"{judgements}: {about}, on {_day(found.done_on)}."
    return (
        f"{judgements}: {about}, around {_day(found.done_on)} ({_day(found.earliest)} to "
        f"{_day(found.latest)})."
    )


def _days(value: float) -> str:
    return "a day" if value <= 1 else f"{value:,.1f} days" if value < 10 else f"{value:,.0f} days"


def _day(day: date) -> str:
    return f"{day:%d %B %Y}".lstrip("0")
