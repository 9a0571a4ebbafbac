"""How many judgements a task gets: exactly K, or as many as it takes to be sure (design §4.7)."""

from collections.abc import Collection
from functools import partial
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from app.annotation import rules
from app.annotation.models import Annotation
from app.db import among
from app.projects.models import Membership, Project
from app.tasks import service as tasks
from app.tasks.models import Task
from app.tasks.queries import IS_ORDINARY, least_wanted, most_wanted


def apply_overlap(
    session: Session, *, project: Project, after: bytes = b"", limit: int = 1000
) -> bytes | None:
    """Bring the next `limit` tasks in line with the project's overlap.

    Answers where to go on, None at the end. A transaction per batch keeps claims going meanwhile.
    """
    batch = tasks.set_overlap(session, project=project, after=after, limit=limit)
    decide_overlap(session, project=project, task_ids=[task_id for task_id, _ in batch])
    return batch[-1][1] if len(batch) == limit else None


def decide_overlap(session: Session, *, project: Project, task_ids: Collection[UUID]) -> None:
    """Ask for one judgement more where all that were wanted are in and the answer is unsure.

    By the project's row as it is now, not as this request has read it: somebody may just be
    changing it, and the job that follows her change may have passed these tasks by.
    """
    if project.overlap_max <= project.overlap_min or not task_ids:
        return
    unsure = unsure_tasks(
        session,
        task_ids,
        Task.counted == Task.wanted,
        Task.closed_at.is_(None),
        Task.wanted < func.greatest(Project.overlap_max, Task.at_least),
    )
    # Also where none is: the time a submission takes must not tell what its task is.
    session.execute(
        update(Task)
        .where(
            among(Task.id, unsure),
            Task.counted == Task.wanted,
            Task.wanted < most_wanted(),
        )
        .values(wanted=Task.wanted + 1)
    )


def spare_overlap(session: Session, *, project: Project, task_ids: Collection[UUID]) -> None:
    """Ask for no more where the answer is sure as it is now, unless somebody has the task.

    To be called where that may have changed: a judgement, or who has it.
    """
    if project.overlap_max <= project.overlap_min or not task_ids:
        return
    unsure = unsure_tasks(session, task_ids)
    # Also where it is: as above, the time must not tell what the task is.
    session.execute(
        update(Task)
        .where(
            among(Task.id, task_ids),
            Task.project_id == project.id,
            ~among(Task.id, unsure),
            IS_ORDINARY,
            Task.closed_at.is_(None),
            Task.leased == 0,
            Task.counted >= least_wanted(),
        )
        .values(wanted=Task.counted)
    )


# A place that a claim frees on its way may be older than adaptive overlap.
claim = partial(tasks.claim, spare=spare_overlap)


def unsure_tasks(
    session: Session, task_ids: Collection[UUID], *where: ColumnElement[bool]
) -> list[UUID]:
    """Tasks whose judgements leave the answer unsure; `where` says which are looked at."""
    votes = session.execute(
        select(
            Annotation.task_id,
            Annotation.ranks,
            Membership.gold_seen,
            Membership.gold_passed,
            Project.allow_ties,
            func.coalesce(Project.overlap_confidence, rules.DEFAULT_CONFIDENCE),
        )
        .join(Task, Task.id == Annotation.task_id)
        .join(Project, Project.id == Task.project_id)
        .outerjoin(
            Membership,
            (Membership.project_id == Annotation.project_id)
            & (Membership.user_id == Annotation.user_id),
        )
        .where(
            among(Annotation.task_id, task_ids),
            Annotation.is_current.is_(True),
            Annotation.counted.is_(True),
            *where,
        )
    )
    judged: dict[UUID, list[tuple[int, float]]] = {}
    asked: dict[UUID, tuple[int, float]] = {}
    for task_id, ranks, seen, passed, allow_ties, confidence in votes:
        accuracy = rules.expected_accuracy(gold_seen=seen or 0, gold_passed=passed or 0)
        judged.setdefault(task_id, []).append((rules.leading_answer(ranks), accuracy))
        asked[task_id] = len(ranks) + allow_ties, confidence
    return [
        task_id
        for task_id, given in judged.items()
        if rules.leading_posterior(given, answers=asked[task_id][0]) < asked[task_id][1]
    ]
