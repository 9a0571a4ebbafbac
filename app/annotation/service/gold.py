"""What gold says of people: scored when they submit, and again when a key changes."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, false, func, or_, select, update
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.service import audit
from app.annotation.models import Annotation, Requeue
from app.annotation.schemas import GoldBody
from app.annotation.service.overlap import decide_overlap
from app.annotation.service.qualification import rescore_attempts
from app.errors import Invalid
from app.projects.models import Membership, Project, Standing
from app.projects.queries import told_since
from app.tasks import queries as task_queries
from app.tasks import rules as task_rules
from app.tasks import service as tasks
from app.tasks.models import Assignment, GoldKey, Task
from app.tasks.schemas import Gold


def passes(gold: Gold, ranks: Sequence[int]) -> bool:
    return gold.is_satisfied_by(ranks)


def set_gold(
    session: Session, *, task: Task, project: Project, body: GoldBody, by: User, now: datetime
) -> Gold:
    """Make a task gold or a question, or change its key; what people judged is scored anew."""
    lock_members(session, project=project)
    order = task_queries.responses_of(session, task_ids=[task.id])[task.id]
    gold = Gold(
        prefers=_positions(body.prefers, order=order),
        equal=_positions(body.equal, order=order),
        ties_allowed=body.ties_allowed,
        explanation=body.explanation,
        qualification=body.qualification,
    )
    tasks.set_gold(session, task=task, gold=gold, size=len(order), by=by)
    judged = score_judged(session, task=task, gold=gold)
    if gold.qualification:  # anew, not by what changes: another key may have been there between
        attempts = {row.attempt_id for row in judged if row.attempt_id is not None}
        rescore_attempts(session, project=project, attempt_ids=attempts, now=now)
    people = {row.user_id for row in judged if row.user_id is not None}
    restand(session, project=project, user_ids=people)
    kind = "qualification" if gold.qualification else "gold"
    target, action = str(task.id), f"{kind}.set"
    audit(session, user=by, action=action, target=target, project_id=project.id)
    return gold


def score_judged(
    session: Session, *, task: Task, gold: Gold
) -> Sequence[Row[Any, Any, Any, Any, Any]]:
    """Score what people judged unseen by this key; answers to a question belong to an attempt.

    Nobody is scored on what she was told before. Answers (id, user_id, ranks, attempt_id, told)
    of everything that was judged.
    """
    judged = session.execute(
        select(
            Annotation.id,
            Annotation.user_id,
            Annotation.ranks,
            Assignment.attempt_id,
            Annotation.assignment_id.in_(_told(session, task)).label("told"),
        )
        .join(Assignment, Assignment.id == Annotation.assignment_id)
        .where(Annotation.task_id == task.id)
    ).all()
    unseen = [row for row in judged if row.attempt_id is None and not row.told]
    if gold.qualification:
        unseen = []
    scores = {row.id: passes(gold, row.ranks) for row in unseen}
    for passed in (True, False, None):
        ids = [row.id for row in judged if scores.get(row.id) is passed]
        session.execute(
            update(Annotation)
            .where(Annotation.id.in_(ids))
            .values(counted=False, gold_passed=passed)
        )
    return judged


def _told(session: Session, task: Task) -> Select[UUID]:
    """Assignments of the task that were handed in after the guidelines had told its answer."""
    since = told_since(session, project_id=task.project_id, task_id=task.id)
    return select(Assignment.id).where(
        Assignment.task_id == task.id,
        Assignment.display_order.is_not(None),  # imported judgements were made elsewhere
        false() if since is None else Assignment.finished_at > since,
    )


def unset_gold(session: Session, *, task: Task, project: Project, by: User) -> None:
    """Make a task with a key ordinary; people's judgements count from now on. Twice is once.

    Answers to a question of the qualification never do, nor what was taken out of the count so
    that others judge again, nor what was judged after the guidelines had told the answer.
    """
    lock_members(session, project=project)
    if not tasks.unset_gold(session, task=task):
        return
    unless_asked = select(Assignment.id).where(
        Assignment.task_id == task.id, Assignment.attempt_id.is_(None)
    )
    is_own = Annotation.assignment_id.not_in(_told(session, task))
    taken_out = select(Requeue.id).where(
        Requeue.project_id == project.id, Requeue.undone_at.is_(None)
    )
    is_in = or_(Annotation.requeue_id.is_(None), Annotation.requeue_id.not_in(taken_out))
    judged = session.execute(
        update(Annotation)
        .where(Annotation.task_id == task.id, Annotation.assignment_id.in_(unless_asked))
        .values(
            counted=~Annotation.is_repeat & Annotation.is_current & is_in & is_own,
            gold_passed=None,
        )
        .returning(Annotation.user_id, Annotation.counted)
    ).all()
    counted = sum(row.counted for row in judged)
    tasks.put_in_work(session, task=task, counted=counted)
    decide_overlap(session, project=project, task_ids=[task.id])
    restand(session, project=project, user_ids={row.user_id for row in judged if row.user_id})
    audit(session, user=by, action="gold.unset", target=str(task.id), project_id=project.id)


def restand(
    session: Session,
    *,
    project: Project,
    user_ids: Collection[UUID],
) -> None:
    """Recount people's answers to gold in force, and what follows: standing and gold share.

    When keys change; a submission adds to the count (see `submitting`). Nobody is paused by this.
    """
    if not user_ids:
        return
    tally = (
        select(
            Annotation.user_id,
            func.count().label("seen"),
            func.count().filter(Annotation.gold_passed.is_(True)).label("passed"),
        )
        .join(GoldKey, GoldKey.task_id == Annotation.task_id)
        .where(
            Annotation.project_id == project.id,
            Annotation.user_id.in_(user_ids),
            Annotation.gold_passed.is_not(None),
            Annotation.is_current.is_(True),
            Annotation.is_repeat.is_(False),
            GoldKey.suspended_at.is_(None),
        )
        .group_by(Annotation.user_id)
    )
    counts = {row.user_id: (row.seen, row.passed) for row in session.execute(tally)}
    for user_id in user_ids:
        seen, passed = counts.get(user_id, (0, 0))
        session.execute(
            update(Membership)
            .where(Membership.project_id == project.id, Membership.user_id == user_id)
            .values(**standing_after(project, seen=seen, passed=passed))
        )


def standing_after(project: Project, *, seen: int, passed: int) -> dict[str, Any]:
    """What a membership says of her gold answers once she passed so many of those seen."""
    standing = Standing(
        task_rules.standing(seen=seen, passed=passed, threshold=project.gold_threshold)
    )
    is_good = standing is Standing.GOOD
    return {
        "gold_seen": seen,
        "gold_passed": passed,
        "standing": standing,
        "gold_share": None if is_good else task_rules.raised_share(project.gold_rate),
    }


def lock_members(session: Session, *, project: Project) -> None:
    """Memberships come before tasks in the order of locks (see `tasks.service.claiming`).

    An import takes them the other way round, so none may be under way.
    """
    tasks.hold_opening(session, project=project)
    session.execute(
        select(Membership.user_id)
        .where(Membership.project_id == project.id)
        .order_by(Membership.user_id)
        .with_for_update(key_share=True)
    )


def _positions(pairs: Sequence[tuple[str, str]], *, order: Sequence[UUID]) -> list[tuple[int, int]]:
    places = {str(response_id): place for place, response_id in enumerate(order)}
    unknown = [name for pair in pairs for name in pair if name not in places]
    if unknown:
        raise Invalid(
            f"{unknown[0]} is not a response of this task; it has {', '.join(places)}.",
            errors=[{"field": "prefers", "message": f"unknown response {unknown[0]}"}],
        )
    return [(places[i], places[j]) for i, j in pairs]
