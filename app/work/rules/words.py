"""Numbers as people say them."""

from datetime import timedelta


def some(number: float, one: str, many: str | None = None) -> str:
    """`1 task`, `1,240 tasks`."""
    return f"{number:,.0f} {one if round(number) == 1 else many or one + 's'}"


def does(number: float, one: str, many: str) -> str:
    """The form of a verb that goes with a number: `is` of one, `are` of more."""
    return one if round(number) == 1 else many


def hours(value: float) -> str:
    """`about 6.5 hours`, `about 40 minutes`, `about 12 days` (of 24 hours)."""
    if value < 1 / 60:
        return "less than a minute"
    if value < 1.5:
        return f"about {some(value * 60, 'minute')}"
    if value < 10:
        return f"about {value:.1f} hours"
    return f"about {value:,.0f} hours"


def person_hours(value: float) -> str:
    """The same of work, however many share it: `about 6.5 person-hours`."""
    words = hours(value)
    return words.replace(" hour", " person-hour") if " hour" in words else f"{words} of work"


def ago(span: timedelta) -> str:
    """How long something lasts: `45 s`, `12 min`, `3 h 5 min`, `2 days`."""
    seconds = max(0, int(span.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
    return f"{minutes // 1440} days"
