"""What is kept of a project's figures, and whether it still holds."""

from hashlib import sha256
from typing import Any

from sqlalchemy import Row, Text, cast, func, or_, select
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.annotation.models import Annotation, Removal, Requeue
from app.corpus.models import Import, Prompt
from app.db import among, database_now
from app.errors import found
from app.projects.models import Membership, Project
from app.projects.queries import guidelines_of, tasks_shown
from app.quality.models import Part, QualitySummary
from app.quality.queries.consensus import known_truth
from app.quality.queries.crowd import source_hash
from app.tasks.models import Task
from app.tasks.queries import IS_GOLD, IS_QUALIFICATION

FORMAT = "9"  # of the kept figures; raised with every change of their shape or meaning


def kept(session: Session, *, project: Project, part: Part) -> QualitySummary | None:
    """What is kept; figures in the shape of another version of Touchstone are none."""
    row = session.get(QualitySummary, (project.id, part), populate_existing=True)
    return row if row is not None and row.fingerprint.startswith(f"{FORMAT}:") else None


def n_annotations(session: Session, *, project: Project) -> int:
    """Rows, revisions and repeats included: it grows with everything that is handed in."""
    return session.scalars(
        select(func.count()).select_from(Annotation).where(Annotation.project_id == project.id)
    ).one()


def fingerprint(session: Session, *, project: Project, part: Part) -> tuple[int, str]:
    """(annotations, a digest of what figures depend on).

    Judgements, which of them were re-queued, removed or told in advance, imports taken back, which
    tasks are ordinary, the scale; for the overview, the day and what gold says of people; for
    groups, how they describe themselves; for answers, what is known of tasks and how sure the
    project wants to be.
    """
    annotations = n_annotations(session, project=project)
    others = session.execute(
        select(func.count(), func.bit_xor(func.hashtextextended(cast(Task.id, Text), 0))).where(
            Task.project_id == project.id, or_(IS_GOLD, IS_QUALIFICATION)
        )
    ).one()
    examples = found(guidelines_of(session, project=project)).examples
    told = session.scalars(  # judgements of what the guidelines show: late ones cease to count
        select(func.sum(Task.counted)).where(
            Task.project_id == project.id, among(Task.id, tasks_shown(examples))
        )
    ).one()
    requeued = session.execute(
        select(func.count(), func.count(Requeue.undone_at)).where(Requeue.project_id == project.id)
    ).one()
    # What was removed or taken back: the number alone may be the old one by now.
    removed = session.scalars(
        select(func.count()).select_from(Removal).where(Removal.project_id == project.id)
    ).one()
    undone = session.scalars(
        select(func.count(Import.undone_at)).where(Import.project_id == project.id)
    ).one()
    scale = (project.strength_levels, project.allow_ties, project.criteria)
    groups = _described(groups_of(session, project=project)) if part is Part.GROUP else None
    known = (
        (known_truth(session, project=project), project.overlap_confidence)
        if part is Part.CONSENSUS
        else None
    )
    # The overview tells today from before: with a new day, there are new figures.
    today = (
        (database_now(session).date(), tuple(_standings(session, project=project)))
        if part is Part.OVERVIEW
        else None
    )
    counts = (annotations, removed, undone, told, tuple(others), tuple(requeued))
    depends = (*counts, scale, groups, today, known)
    digest = sha256(repr(depends).encode()).hexdigest()
    return annotations, f"{FORMAT}:{digest}"


def _standings(session: Session, *, project: Project) -> Row[tuple[int, int]]:
    """Changes with what gold says of anybody: also where a key changed and nobody judged."""
    said = func.concat_ws(
        " ",
        Membership.user_id,
        Membership.gold_seen,
        Membership.gold_passed,
        Membership.standing,
    )
    return session.execute(
        select(func.count(), func.bit_xor(func.hashtextextended(said, 0))).where(
            Membership.project_id == project.id
        )
    ).one()


def _described(groups: dict[str, set[Any]]) -> list[tuple[str, list[str]]]:
    return sorted((name, sorted(map(str, ids))) for name, ids in groups.items())


def sources_of(session: Session, *, project: Project) -> dict[int, str]:
    """The prompts' sources by their hash."""
    rows = session.execute(
        select(source_hash(), Prompt.source)
        .where(Prompt.project_id == project.id, Prompt.source.is_not(None))
        .distinct()
    )
    return {number: str(source) for number, source in rows}


def groups_of(session: Session, *, project: Project) -> dict[str, set[Any]]:
    """Self-described groups of the project's people: `attribute: value` → ids of users."""
    groups: dict[str, set[Any]] = {}
    for user_id, preferences in session.execute(
        select(User.id, User.preferences)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.project_id == project.id)
    ):
        for attribute, value in (preferences.get("demographics") or {}).items():
            groups.setdefault(f"{attribute}: {value}", set()).add(user_id)
    return groups


def stale_projects(session: Session) -> list[Project]:
    """Judged projects whose kept overview is not that of the data as it is now.

    By what figures depend on, not by time: judgements that are imported, re-queued or removed are
    none the newer for it, and figures may have been computed while others were on their way in.
    """
    judged = select(Annotation.id).where(Annotation.project_id == Project.id).exists()
    projects = session.scalars(select(Project).where(judged).order_by(Project.id)).all()
    return [
        project
        for project in projects
        if (row := kept(session, project=project, part=Part.OVERVIEW)) is None
        or row.fingerprint != fingerprint(session, project=project, part=Part.OVERVIEW)[1]
    ]
