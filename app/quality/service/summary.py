"""Figures are computed once per change of the data, kept, and shown from there."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.db import JsonObject, database_now
from app.jobs import JobName, defer
from app.projects.models import Project
from app.quality.models import Part, QualitySummary
from app.quality.queries import summary as queries
from app.quality.queries.crowd import Crowd, crowd_of
from app.quality.rules import breakdowns
from app.quality.rules.breakdowns import Fields
from app.quality.rules.fields import Scale, all_fields
from app.quality.rules.intervals import Ints
from app.quality.rules.judgements import Judgements
from app.quality.rules.overview import SEED, Overview, overview
from app.quality.service.daily import daily

INLINE = 20_000  # annotations up to which figures are computed while somebody waits
FEWER_RESAMPLES = 200  # of a breakdown into many parts
MANY_PARTS = 300
MOST_WEEKS, MOST_SOURCES, MOST_VERSIONS = 52, 50, 20


@dataclass(frozen=True, slots=True)
class View:
    """What is shown: figures as JSON, as of when, and whether they are those of the data now."""

    figures: JsonObject
    computed_at: datetime
    is_current: bool


def current(
    session: Session, *, project: Project, part: Part = Part.OVERVIEW, wait: bool = False
) -> View | None:
    """The figures: kept ones that still hold, else computed now if that is quick or `wait` is set.

    For a large project the last ones are shown, marked as such, while a job computes anew. None:
    there are none yet, and the job has been asked.
    """
    annotations, fingerprint = queries.fingerprint(session, project=project, part=part)
    row = queries.kept(session, project=project, part=part)
    if row is not None and row.fingerprint == fingerprint:
        return View(row.figures, row.computed_at, is_current=True)
    if annotations <= INLINE or (row is None and wait):
        return recompute(session, project=project, part=part)
    defer(
        session,
        JobName.STATISTICS,
        queueing_lock=lock_of(project, part),
        project_id=str(project.id),
        part=part.value,
    )
    return None if row is None else View(row.figures, row.computed_at, is_current=False)


def lock_of(project: Project, part: Part) -> str:
    """At most one job waits for each part of each project."""
    return f"statistics {project.id} {part}"


def recompute(session: Session, *, project: Project, part: Part = Part.OVERVIEW) -> View:
    """Compute from the data as it is and keep the result, unless a newer one is kept already."""
    now = database_now(session)
    _, fingerprint = queries.fingerprint(session, project=project, part=part)
    crowd = crowd_of(session, project=project)
    figures = compute(session, project=project, crowd=crowd, part=part, now=now)
    values = {"computed_at": now, "fingerprint": fingerprint, "figures": figures}
    session.execute(
        insert(QualitySummary)
        .values(project_id=project.id, part=part, **values)
        .on_conflict_do_update(
            index_elements=[QualitySummary.project_id, QualitySummary.part],
            set_=values,
            where=QualitySummary.computed_at <= now,
        )
    )
    return View(figures, now, is_current=True)


def compute(
    session: Session, *, project: Project, crowd: Crowd, part: Part, now: datetime
) -> JsonObject:
    """The figures of one part as JSON, people and tasks by their ids."""
    if part is Part.OVERVIEW:
        figures = overview(
            crowd.judgements,
            n_annotators=len(crowd.annotators),
            levels=project.strength_levels,
            scales=_scales(project),
            ties=_has_ties(project, crowd.judgements),
            today=now.date(),
        )
        kept = {"daily": daily(session, project=project, crowd=crowd, now=now)}
        return _overview_json(figures, crowd) | kept
    groups = _groups(session, project=project, crowd=crowd, part=part)
    reason = _left_out(crowd, part)
    return {"groups": groups} | ({"reason": reason} if reason else {})


def _left_out(crowd: Crowd, part: Part) -> str | None:
    """What a breakdown of many parts does not show, None where it shows all."""
    judgements = crowd.judgements.once()
    if part is Part.WEEK:
        keys, most, shown = breakdowns.task_weeks(judgements), MOST_WEEKS, "latest weeks are shown"
    elif part is Part.SOURCE:
        keys, most = _sources(crowd), MOST_SOURCES
        shown = "sources with most judgements are shown"
    elif part is Part.GUIDELINES_VERSION:
        keys, most = judgements.version, MOST_VERSIONS
        shown = "versions with most judgements are shown"
    elif part is Part.ANNOTATOR_PAIR:
        keys, most = judgements.annotator, breakdowns.MOST_PAIRED_PEOPLE
        shown = "people with most judgements are paired"
    else:
        return None
    number = len(np.unique(keys))
    return f"Only the {most} {shown} here, of {number:,}." if number > most else None


def _sources(crowd: Crowd) -> Ints:
    """Of the judgements without repeats."""
    return crowd.sources[~crowd.judgements.repeat]


def _scales(project: Project) -> dict[str, Scale]:
    return {
        criterion["key"]: Scale(int(criterion["min"]), int(criterion["max"]))
        for criterion in project.criteria
    }


def _has_ties(project: Project, judgements: Judgements) -> bool:
    """Whether a tie is an answer: where it is allowed, or came with the data all the same."""
    return project.allow_ties or judgements.once().has_ties


def _groups(session: Session, *, project: Project, crowd: Crowd, part: Part) -> list[JsonObject]:
    """One breakdown: `{key, fields}` per part of the judgements."""
    rng = np.random.default_rng(SEED)
    judgements = crowd.judgements.once()
    figures = partial(
        all_fields,
        levels=project.strength_levels,
        scales=_scales(project),
        ties=_has_ties(project, judgements),
        rng=rng,
    )
    if part is Part.WEEK:
        return [
            _slice(week.key, week.fields)
            for week in breakdowns.by_week(judgements, figures, most=MOST_WEEKS)
        ]
    if part is Part.GUIDELINES_VERSION:
        versions = breakdowns.by_key(judgements, judgements.version, figures, most=MOST_VERSIONS)
        return [_slice(str(version.key), version.fields) for version in versions]
    if part is Part.SOURCE:
        names = queries.sources_of(session, project=project)
        sources = breakdowns.by_key(judgements, _sources(crowd), figures, most=MOST_SOURCES)
        return [_slice(names.get(source.key, ""), source.fields) for source in sources]
    if part is Part.GROUP:
        codes = {user_id: code for code, user_id in enumerate(crowd.annotator_ids())}
        groups = {
            name: frozenset(codes[user_id] for user_id in ids if user_id in codes)
            for name, ids in queries.groups_of(session, project=project).items()
        }
        return [
            _slice(group.key, group.fields)
            for group in breakdowns.by_group(judgements, groups, figures)
        ]
    return _pairs(judgements, crowd, figures, rng)


def _pairs(
    judgements: Judgements, crowd: Crowd, figures: Any, rng: np.random.Generator
) -> list[JsonObject]:
    """Every two people, with Cohen's kappa, which is theirs alone."""
    ids = [str(user_id) for user_id in crowd.annotator_ids()]
    people = min(len(ids), breakdowns.MOST_PAIRED_PEOPLE)
    resamples = FEWER_RESAMPLES if people * (people - 1) / 2 > MANY_PARTS else 1_000
    found = []
    for (one, other), part in breakdowns.pairs_of_people(judgements):
        kappa = breakdowns.pair_kappa(part, one, rng=rng, resamples=resamples)
        group = _slice(f"{ids[one]} {ids[other]}", figures(part, resamples=resamples))
        group["user_ids"] = [ids[one], ids[other]]
        group["fields"]["ranking"]["cohen_kappa"] = kappa.as_json()
        found.append(group)
    return found


def _slice(key: str, fields: Fields) -> JsonObject:
    return {"key": key, "fields": _fields_json(fields)}


def _fields_json(fields: Fields) -> JsonObject:
    return {name: field.as_json() for name, field in fields.items()}


def _overview_json(figures: Overview, crowd: Crowd) -> JsonObject:
    ids = [str(user_id) for user_id in crowd.annotator_ids()]
    return {
        "fields": _fields_json(figures.fields),
        "weeks": [_slice(week.key, week.fields) for week in figures.weeks],
        "days": [[day.isoformat(), number] for day, number in figures.days],
        "annotators": [
            {"user_id": ids[health.annotator], **health.as_json()} for health in figures.annotators
        ],
        "matrix": _matrix_json(figures, ids),
        "disputed": [
            {
                "task_id": str(crowd.task_id(task.task)),
                "disagreement": task.disagreement,
                "n_annotations": task.n_annotations,
            }
            for task in figures.disputed
        ],
    }


def _matrix_json(figures: Overview, ids: list[str]) -> Mapping[str, Any]:
    """Shares row by row, null where two people share no task."""
    matrix = figures.matrix
    percent = np.where(matrix.tasks > 0, matrix.same / np.maximum(matrix.tasks, 1), np.nan)
    return {
        "user_ids": [ids[code] for code in figures.matrix_people],
        "percent_agreement": [
            [None if np.isnan(share) else round(float(share), 4) for share in row]
            for row in percent
        ],
        "n_tasks": matrix.tasks.tolist(),
    }
