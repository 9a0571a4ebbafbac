"""Who is at work now, and what was done in each hour of the last day: pure rules."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Protocol
from uuid import UUID

LOOK_BACK = timedelta(hours=24)
AT_WORK = timedelta(minutes=15)  # since the last judgement
LEASE_AGES = (5, 15, 30, 60)  # minutes that set the classes of the ages of leases


class HeldTask(Protocol):
    """What somebody holds."""

    @property
    def user_id(self) -> UUID: ...
    @property
    def name(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def leased_until(self) -> datetime: ...


class HourOfPerson(Protocol):
    """What somebody handed in within an hour."""

    @property
    def user_id(self) -> UUID: ...
    @property
    def name(self) -> str: ...
    @property
    def hour(self) -> datetime: ...
    @property
    def judgements(self) -> int: ...
    @property
    def active_ms(self) -> float: ...
    @property
    def last_at(self) -> datetime: ...


@dataclass(slots=True)
class AtWork:
    """A person who holds something, or handed something in not long ago."""

    user_id: UUID
    name: str
    holds: list[Any] = field(default_factory=list)
    judgements: int = 0  # of the last 24 hours
    active_hours: float = 0.0
    last_at: datetime | None = None

    def is_at_work(self, now: datetime) -> bool:
        """Whether a lease of hers runs, or her last judgement is recent."""
        return any(each.leased_until > now for each in self.holds) or (
            self.last_at is not None and now - self.last_at < AT_WORK
        )


def people_at_work(
    held: Iterable[HeldTask], hours: Iterable[HourOfPerson], *, now: datetime
) -> tuple[list[AtWork], int]:
    """Those who hold something or are at work, by name; and how many are at work."""
    people: dict[UUID, AtWork] = {}
    for each in held:
        people.setdefault(each.user_id, AtWork(each.user_id, each.name)).holds.append(each)
    for hour in hours:
        person = people.setdefault(hour.user_id, AtWork(hour.user_id, hour.name))
        person.judgements += hour.judgements
        person.active_hours += hour.active_ms / 3_600_000
        person.last_at = max(filter(None, (person.last_at, hour.last_at)))
    shown = [person for person in people.values() if person.holds or person.is_at_work(now)]
    shown.sort(key=lambda person: (person.name.casefold(), str(person.user_id)))
    return shown, sum(person.is_at_work(now) for person in shown)


def by_hour(hours: Iterable[HourOfPerson], *, now: datetime) -> list[tuple[datetime, int]]:
    """Judgements of each hour that touches the last 24, oldest first, empty hours too."""
    last = now.replace(minute=0, second=0, microsecond=0)
    found = {last - timedelta(hours=back): 0 for back in range(24, -1, -1)}
    for each in hours:
        if each.hour in found:
            found[each.hour] += each.judgements
    return list(found.items())


def lease_ages(held: Sequence[HeldTask], *, now: datetime) -> list[tuple[str, int]]:
    """How long the running leases are out, in classes."""
    ages = [(now - each.created_at).total_seconds() / 60 for each in held]
    edges = [0, *LEASE_AGES]
    classes = [
        (f"{low}–{high} min" if low else f"under {high} min", float(low), float(high))
        for low, high in pairwise(edges)
    ]
    classes.append((f"over {edges[-1]} min", float(edges[-1]), float("inf")))
    return [(label, sum(low <= age < high for age in ages)) for label, low, high in classes]
