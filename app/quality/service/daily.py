"""What is kept beside the overview: days, the last week against before, sources, and the work."""

from collections.abc import Mapping
from dataclasses import astuple
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from app.db import JsonObject
from app.projects.models import Project, Standing
from app.quality.queries import ledger
from app.quality.queries.crowd import Crowd
from app.quality.queries.people import people_of
from app.quality.rules import comparing
from app.quality.rules import days as rules
from app.quality.rules.comparing import Sums
from app.quality.rules.intervals import Figure
from app.quality.rules.judgements import Judgements
from app.quality.rules.money import usable_pairs
from app.quality.rules.overview import SEED


def daily(session: Session, *, project: Project, crowd: Crowd, now: datetime) -> JsonObject:
    """As JSON, people by id and sources by the hash of their name."""
    judgements = crowd.judgements.once()
    ids = [str(user_id) for user_id in crowd.annotator_ids()]
    failed = {
        str(person.user_id)
        for person in people_of(session, project=project)
        if person.standing is Standing.FAILED
    }
    usable, pairs = usable_pairs(
        judgements, left_out=[code for code, user_id in enumerate(ids) if user_id in failed]
    )
    rng = np.random.default_rng(SEED)
    return {
        "today": now.date().isoformat(),
        "windows": _windows(judgements, now.date(), rng),
        "days": [_day_json(day) for day in rules.by_day(judgements, rng)],
        "people": _people(judgements, ids, now.date()),
        "sources": _sources(judgements, crowd),
        "tasks": len(np.unique(judgements.task[~np.isnan(judgements.seconds)])),  # made here
        "usable": usable,
        "pairs": pairs,
        "ledger": ledger.as_json(ledger.ledger_of(session, project=project)),
    }


def _day_json(day: rules.Day) -> JsonObject:
    return {
        "day": day.day.isoformat(),
        "n_annotations": day.n_annotations,
        "n_annotators": day.n_annotators,
        "n_tasks": round(day.sums.tasks),
        "sums": sums_json(day.sums),
        **day.agreement.as_json(),
    }


def _windows(judgements: Judgements, today: date, rng: np.random.Generator) -> JsonObject:
    """Today, the last seven days, and what came before them."""
    days = rules.day_of(judgements.submitted)
    last, first = rules.number_of(today), rules.number_of(today - timedelta(days=rules.WEEK - 1))
    in_week = days >= first
    windows = {}
    for name, inside in (("today", days >= last), ("week", in_week)):
        found = rules.shares(judgements, inside.astype(np.int64))
        mine = found.key == 1
        windows[name] = _window(
            judgements.where(inside),
            rules.sums_of(found, mine),
            rules.figure_of(found.same[mine], found.units[mine], rng),
        )
    before = judgements.where(~in_week)  # among themselves: nothing of the week is in it
    found = rules.shares(before, np.zeros(len(before), np.int64))
    figure = rules.figure_of(found.same, found.units, rng)
    windows["before"] = _window(before, rules.sums_of(found), figure)
    return windows


def _window(judgements: Judgements, sums: Sums, figure: Figure) -> JsonObject:
    return {
        "n_annotations": len(judgements),
        "n_annotators": len(np.unique(judgements.annotator)),
        "n_tasks": round(sums.tasks),
        "sums": sums_json(sums),
        **figure.as_json(),
    }


def _people(judgements: Judgements, ids: list[str], today: date) -> JsonObject:
    """Each person's agreement with all others: in the last week, and before."""
    first = rules.number_of(today - timedelta(days=rules.WEEK - 1))
    is_recent = rules.day_of(judgements.submitted) >= first
    found = rules.sums_by_key(rules.shares(judgements, 2 * judgements.annotator + is_recent))
    changes = rules.changes_of_people(judgements, is_recent)
    return {
        ids[code]: {
            "week": sums_json(found.get(2 * code + 1, comparing.NOTHING)),
            "before": sums_json(found.get(2 * code, comparing.NOTHING)),
            "has_fallen": (change := changes.get(code)) is not None and change.is_fall,
        }
        for code in sorted({key // 2 for key in found})
    }


def _sources(judgements: Judgements, crowd: Crowd) -> JsonObject:
    """Agreement on the tasks of each source; 0 stands for none."""
    of_rows = crowd.sources[~crowd.judgements.repeat]
    _, first = np.unique(judgements.task, return_index=True)
    found = rules.shares(judgements, np.zeros(len(judgements), np.int64))
    by_source = rules.Shares(found.task, of_rows[first], found.same, found.units)
    return {str(key): sums_json(sums) for key, sums in rules.sums_by_key(by_source).items()}


def sums_json(sums: Sums) -> list[float]:
    return [round(value, 4) for value in astuple(sums)]


def sums_from(wire: Any) -> Sums:
    return Sums(*map(float, wire))


def usual_of(kept: JsonObject | None, user_id: UUID | str) -> Sums:
    """A person's agreement with all others, of all times."""
    parts: Mapping[str, Any] = kept["people"].get(str(user_id), {}) if kept else {}
    return comparing.total_of(sums_from(parts.get(name, (0, 0, 0))) for name in ("week", "before"))
