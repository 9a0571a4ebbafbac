"""Parts of the judgements: weeks, keys, groups, days."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np

from app.quality.rules import breakdowns
from app.quality.rules.breakdowns import per_day
from app.quality.rules.judgements import Judgements, from_rankings

FIRST = [1, 2]


def at(*moments: datetime) -> np.ndarray:
    return np.array([moment.timestamp() for moment in moments])


def compute(judgements: Judgements) -> dict:
    return {"n": len(judgements)}


def test_weeks_are_iso_weeks_and_a_task_belongs_to_its_latest():
    judgements = replace(
        from_rankings([(0, 0, FIRST), (0, 1, FIRST), (1, 0, FIRST)]),
        submitted=at(
            datetime(2025, 12, 28, 23, 59, tzinfo=UTC),  # a Sunday
            datetime(2025, 12, 29, tzinfo=UTC),  # the Monday that begins 2026-W01
            datetime(2025, 12, 28, 23, 59, tzinfo=UTC),
        ),
    )
    found = breakdowns.by_week(judgements, compute, most=10)
    assert [(week.key, week.fields["n"]) for week in found] == [("2025-W52", 1), ("2026-W01", 2)]
    assert [week.key for week in breakdowns.by_week(judgements, compute, most=1)] == ["2026-W01"]


def test_nothing_judged_has_no_weeks():
    assert breakdowns.by_week(from_rankings([]), compute, most=3) == []


def test_days_are_those_of_utc_and_a_task_belongs_to_its_latest():
    lisbon = timezone(timedelta(hours=1))
    judgements = replace(
        from_rankings([(0, 0, FIRST), (0, 1, FIRST), (1, 0, FIRST)]),
        submitted=at(
            datetime(2026, 11, 23, 12, tzinfo=UTC),
            datetime(2026, 11, 25, 0, 30, tzinfo=lisbon),  # still the 24th in UTC
            datetime(2026, 11, 25, 0, 0, tzinfo=UTC),
        ),
    )
    found = breakdowns.by_day(judgements, compute, most=10)
    assert [(day.key, day.fields["n"]) for day in found] == [("2026-11-24", 2), ("2026-11-25", 1)]
    assert [day.key for day in breakdowns.by_day(judgements, compute, most=1)] == ["2026-11-25"]
    assert breakdowns.by_day(from_rankings([]), compute, most=3) == []


def test_a_task_counts_under_each_of_its_tags_and_under_none_where_it_has_none():
    judgements = from_rankings([(task, 0, FIRST) for task in (0, 1, 1, 2, 3)])
    tags = {"cooking": np.array([0, 1]), "short": np.array([1]), "unused": np.zeros(0, int)}
    found = breakdowns.by_tag(judgements, tags, compute, most=10)
    assert [(tag.key, tag.fields["n"]) for tag in found] == [("cooking", 3), ("", 2), ("short", 2)]
    assert [tag.key for tag in breakdowns.by_tag(judgements, tags, compute, most=1)] == ["cooking"]
    assert breakdowns.by_tag(from_rankings([]), {}, compute, most=3) == []


def test_the_commonest_keys_come_first():
    judgements = from_rankings([(task, 0, FIRST) for task in range(5)])
    keys = np.array([7, 8, 8, 9, 8])
    found = breakdowns.by_key(judgements, keys, compute, most=2)
    assert [(part.key, part.fields["n"]) for part in found] == [(8, 3), (7, 1)]


def test_a_group_counts_those_who_judged():
    judgements = from_rankings([(0, person, FIRST) for person in range(5)])
    groups = {"all": frozenset(range(9)), "four": frozenset({0, 1, 2, 3, 8})}
    found = breakdowns.by_group(judgements, groups, compute)
    assert [(part.key, part.fields["n"]) for part in found] == [("all", 5)]


def test_days_without_judgements_are_zero_and_repeats_are_not_counted():
    judgements = replace(
        from_rankings([(0, 0, FIRST), (0, 0, FIRST), (1, 0, FIRST)]),
        submitted=at(
            *[datetime(2026, 3, 3, 23, 59, tzinfo=UTC)] * 2, datetime(2026, 1, 1, tzinfo=UTC)
        ),
        repeat=np.array([False, True, False]),
    )
    found = per_day(judgements, until=date(2026, 3, 4), days=3)
    assert found == [(date(2026, 3, 2), 0), (date(2026, 3, 3), 1), (date(2026, 3, 4), 0)]
