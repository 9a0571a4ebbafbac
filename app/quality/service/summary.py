"""Figures are computed once per change of the data, kept, and shown from there."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.db import JsonObject, database_now
from app.jobs import JobName, defer
from app.projects.models import Project
from app.quality.models import Part, QualitySummary
from app.quality.queries import summary as queries
from app.quality.queries.crowd import Crowd, crowd_of
from app.quality.rules.overview import Overview, overview
from app.quality.service.breakdowns import (
    broken_down,
    fields_json,
    has_ties,
    scales_of,
)
from app.quality.service.consensus_figures import consensus_figures
from app.quality.service.daily import daily
from app.quality.service.leaderboard_figures import leaderboard_figures

INLINE = 20_000  # annotations up to which figures are computed while somebody waits


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
    annotations, view = _kept(session, project=project, part=part)
    if view is not None and view.is_current:
        return view
    if annotations <= INLINE or (view is None and wait):
        return recompute(session, project=project, part=part)
    defer(
        session,
        JobName.STATISTICS,
        queueing_lock=lock_of(project, part),
        project_id=str(project.id),
        part=part.value,
    )
    return view


def fresh(session: Session, *, project: Project, part: Part = Part.OVERVIEW) -> View:
    """The figures of the data as it is: kept ones that still hold, else computed now.

    For jobs: of a large project that takes seconds.
    """
    _, view = _kept(session, project=project, part=part)
    if view is not None and view.is_current:
        return view
    return recompute(session, project=project, part=part)


def _kept(session: Session, *, project: Project, part: Part) -> tuple[int, View | None]:
    """(annotations of the project, what is kept of it and whether that still holds)."""
    annotations, fingerprint = queries.fingerprint(session, project=project, part=part)
    row = queries.kept(session, project=project, part=part)
    if row is None:
        return annotations, None
    return annotations, View(row.figures, row.computed_at, row.fingerprint == fingerprint)


def oldest(*views: View) -> View:
    """Of the views that a page or an answer shows together: the one it has to say its age by."""
    return min(views, key=lambda view: (view.is_current, view.computed_at))


def lock_of(project: Project, part: Part) -> str:
    """At most one job waits for each part of each project."""
    return f"statistics {project.id} {part}"


def recompute(session: Session, *, project: Project, part: Part = Part.OVERVIEW) -> View:
    """Compute from the data as it is and keep the result, unless a newer one is kept already."""
    now = database_now(session)
    _, fingerprint = queries.fingerprint(session, project=project, part=part)
    # What people do with long responses is told by the overview alone.
    crowd = crowd_of(session, project=project, with_lengths=part is Part.OVERVIEW)
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
            scales=scales_of(project),
            ties=has_ties(project, crowd.judgements),
            today=now.date(),
        )
        kept = {"daily": daily(session, project=project, crowd=crowd, now=now)}
        return _overview_json(figures, crowd) | kept
    if part is Part.CONSENSUS:
        return consensus_figures(session, project=project, crowd=crowd)
    if part is Part.LEADERBOARD:
        return leaderboard_figures(session, project=project, crowd=crowd)
    return broken_down(session, project=project, crowd=crowd, part=part)


def _overview_json(figures: Overview, crowd: Crowd) -> JsonObject:
    ids = [str(user_id) for user_id in crowd.annotator_ids()]
    return {
        "fields": fields_json(figures.fields),
        "days": [[day.isoformat(), number] for day, number in figures.days],
        "annotators": [
            {"user_id": ids[health.annotator], **health.as_json()} for health in figures.annotators
        ],
        "disputed": [
            {
                "task_id": str(crowd.task_id(task.task)),
                "disagreement": task.disagreement,
                "n_annotations": task.n_annotations,
            }
            for task in figures.disputed
        ],
    }
