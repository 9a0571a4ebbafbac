"""Deleting a person's judgements for good, so that others judge those tasks instead.

Afterwards a task is as if she had never judged it: hers is gone with all that belongs to it, and
its place is free. What others judged is not touched. Locks come in the usual order: memberships,
her assignments, then tasks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, case, delete, func, null, or_, select, update
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.annotation.models import Annotation, Removal, Requeue
from app.annotation.service.overlap import decide_overlap
from app.annotation.service.requeue import AS_ROWS, opened_without
from app.projects.models import MemberMessage, Membership, Project, Standing
from app.tasks import queries
from app.tasks import service as tasks
from app.tasks.models import Appeal, Assignment, QualificationAttempt, ReAskPair, Task, TaskKind

REMOVED = (
    "Your judgements in this project have been removed, so you get no more tasks here. "
    "If you think that this is a mistake, ask an admin of the project."
)
DECIDED_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Removable:
    """What there is of a person in a project, in numbers."""

    judgements: int = 0  # current ones, of whatever task
    counted: int = 0  # of them: those that the tasks count
    opened: int = 0  # tasks that would want a judgement more
    texts: int = 0  # rationales and rewrites, older revisions included

    def __add__(self, other: "Removable") -> "Removable":
        return Removable(
            self.judgements + other.judgements,
            self.counted + other.counted,
            self.opened + other.opened,
            self.texts + other.texts,
        )


def projects_of_work(session: Session, *, user: User) -> Sequence[Project]:
    """Where she has a part or has had tasks, in the order of locks."""
    member = select(Membership.project_id).where(Membership.user_id == user.id)
    worked = select(Assignment.project_id).where(Assignment.user_id == user.id)
    return session.scalars(
        select(Project)
        .where(or_(Project.id.in_(member), Project.id.in_(worked)))
        .order_by(Project.id)
    ).all()


def forget_meta(session: Session, *, user: User) -> None:
    """Take out what files said beside her judgements: no rule knows what may name her there."""
    session.execute(
        update(Annotation)
        .where(Annotation.user_id == user.id, Annotation.meta.is_not(None))
        .values(meta=null())
    )


def removable(session: Session, *, user: User, project: Project) -> Removable:
    """What a removal would find now."""
    is_current = Annotation.is_current.is_(True)
    counts = is_current & Annotation.counted.is_(True) & (Task.kind == TaskKind.ORDINARY)
    has_text = func.coalesce(Annotation.rationale, Annotation.rewrite).is_not(None)
    hers = (Annotation.user_id == user.id) & (Annotation.project_id == project.id)
    judgements, texts = session.execute(
        select(func.count().filter(is_current), func.count().filter(has_text)).where(hers)
    ).one()
    counted = session.scalars(
        select(Annotation.task_id).join(Task, Task.id == Annotation.task_id).where(hers, counts)
    ).all()
    opened = opened_without(session, project=project, user_id=user.id, task_ids=counted)
    return Removable(judgements, counted=len(counted), opened=opened, texts=texts)


def lock_work(session: Session, *, user: User, projects: Sequence[Project]) -> None:
    """Hold her memberships: nothing of hers is handed in or handed out meanwhile.

    An import takes tasks before memberships, so none may be under way.
    """
    for project in projects:
        tasks.hold_opening(session, project=project)
    session.execute(
        select(Membership.user_id)
        .where(Membership.user_id == user.id)
        .order_by(Membership.project_id)
        .with_for_update(key_share=True)
    )


def remove_judgements(
    session: Session, *, user: User, project: Project, by: User | None, now: datetime
) -> Removable:
    """Delete her judgements in a project, and her part in it as far as it rests on them.

    The caller holds her memberships (`lock_work`).
    """
    found = removable(session, user=user, project=project)
    freed = _free_places(session, user=user, project=project)
    _delete(session, user=user, project=project)
    for start in range(0, len(freed), DECIDED_AT_ONCE):
        some = freed[start : start + DECIDED_AT_ONCE]
        decide_overlap(session, project=project, task_ids=some)
    session.execute(
        update(Membership)
        .where(Membership.user_id == user.id, Membership.project_id == project.id)
        .values(
            gold_seen=0,
            gold_passed=0,
            standing=Standing.GOOD,
            gold_share=None,
            re_asks=0,
            claimed=0,
            paused_at=func.coalesce(Membership.paused_at, now),
            pause_reason=REMOVED,
        )
    )
    _note(session, user=user, project=project, judgements=found.judgements, by=by, now=now)
    return found


def _free_places(session: Session, *, user: User, project: Project) -> Sequence[UUID]:
    """Let her tasks want what they would want without her; answers which they are."""
    session.execute(  # others free what ran out: they begin with these rows
        select(Assignment.id)
        .where(Assignment.user_id == user.id, Assignment.project_id == project.id, queries.IS_OPEN)
        .order_by(Assignment.id)
        .with_for_update()
    )
    held = _places(user, project).subquery()
    session.execute(
        select(Task.id)
        .where(Task.id.in_(select(held.c.task_id)))
        .order_by(Task.identity)
        .with_for_update(key_share=True)
    )
    left = Task.leased + Task.counted - held.c.leased - held.c.counted
    return session.scalars(
        update(Task)
        .where(Task.id == held.c.task_id)
        .values(
            leased=Task.leased - held.c.leased,
            counted=Task.counted - held.c.counted,
            wanted=queries.wanted_once(left),
        )
        .returning(Task.id),
        execution_options=AS_ROWS,
    ).all()


def _places(user: User, project: Project) -> Select[UUID, int, int]:
    """(task, places leased to her, judgements of hers that count) of ordinary tasks."""
    ours = (Task.project_id == project.id) & (Task.kind == TaskKind.ORDINARY)
    leased = case((queries.IS_OPEN & ~Assignment.is_repeat, 1), else_=0)
    counts = Annotation.is_current.is_(True) & Annotation.counted.is_(True)
    counted = case((counts, 1), else_=0)
    return (
        select(
            Task.id.label("task_id"),
            func.sum(leased).label("leased"),
            func.sum(counted).label("counted"),
        )
        .join(Assignment, Assignment.task_id == Task.id)
        .outerjoin(Annotation, (Annotation.assignment_id == Assignment.id) & Annotation.is_current)
        .where(ours, Assignment.user_id == user.id)
        .group_by(Task.id)
        .having(func.sum(leased) + func.sum(counted) > 0)
    )


def _delete(session: Session, *, user: User, project: Project) -> None:
    for model in (Annotation, Assignment, QualificationAttempt, Appeal, Requeue, MemberMessage):
        session.execute(
            delete(model).where(model.user_id == user.id, model.project_id == project.id),
            execution_options=AS_ROWS,
        )
    ours = select(Task.id).where(Task.project_id == project.id)
    session.execute(
        delete(ReAskPair).where(ReAskPair.user_id == user.id, ReAskPair.task_id.in_(ours)),
        execution_options=AS_ROWS,
    )


def remove_texts(
    session: Session, *, user: User, project: Project, by: User | None, now: datetime
) -> int:
    """Delete what she wrote in her judgements: rationales, rewrites, notes, drafts, appeals.

    Her ranks stay. Answers how many rationales and rewrites there were.
    """
    found = removable(session, user=user, project=project)
    session.execute(
        update(Annotation)
        .where(Annotation.user_id == user.id, Annotation.project_id == project.id)
        .where(func.coalesce(Annotation.rationale, Annotation.rewrite).is_not(None))
        .values(rationale=None, rewrite=None),
        execution_options=AS_ROWS,
    )
    tasks.forget_texts(session, user=user, project_ids=[project.id])
    if found.texts:
        _note(
            session,
            user=user,
            project=project,
            judgements=found.judgements,
            by=by,
            now=now,
            only_texts=True,
        )
    return found.texts


def _note(
    session: Session,
    *,
    user: User,
    project: Project,
    judgements: int,
    by: User | None,
    now: datetime,
    only_texts: bool = False,
) -> None:
    session.add(
        Removal(
            project_id=project.id,
            user_id=user.id,
            only_texts=only_texts,
            judgements=judgements,
            by=by.id if by else None,
            at=now,
        )
    )
    session.flush()  # whoever marks snapshots reads it
