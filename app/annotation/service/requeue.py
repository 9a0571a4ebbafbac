"""Taking a person's judgements out of the count, so that others judge those tasks again.

Nothing is lost: the judgements stay as they are, only not counted, and the way back is open as
long as nobody has taken their place. Locks come in the usual order: membership, then tasks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, and_, case, func, or_, select, update
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.annotation.models import Annotation, Requeue
from app.annotation.service.overlap import decide_overlap, unsure_tasks
from app.db import among
from app.errors import Invalid
from app.projects.models import Membership, Project
from app.projects.service import note
from app.tasks import service as tasks
from app.tasks.models import Assignment, Task, TaskKind
from app.tasks.queries import least_wanted, most_wanted

AS_ROWS = {"synchronize_session": False}  # nobody in this session holds them as objects


@dataclass(frozen=True, slots=True)
class Which:
    """Which of her judgements: all, those since a moment, the last so many, or the last since."""

    since: datetime | None = None
    last: int | None = None

    def in_words(self) -> str:
        last = "" if self.last is None else f"the last {self.last:,}"
        since = "" if self.since is None else f"since {self.since:%Y-%m-%d %H:%M} UTC"
        return f"{last} {since}".strip() or "all of hers"


@dataclass(frozen=True, slots=True)
class Reach:
    """What re-queueing does: so many judgements, tasks that open again, and such that do not."""

    judgements: int
    opened: int
    closed: int  # others have judged them as often as the project asks for, or agree enough


@dataclass(frozen=True, slots=True)
class Restored:
    """What undoing it did: judgements that count again, and those whose place was taken."""

    counted: int
    surplus: int


def _hers(project: Project, membership: Membership, which: Which) -> Select[UUID, UUID]:
    """(judgement, task) of what counts, newest first."""
    found = (
        select(Annotation.id, Annotation.task_id)
        .join(Assignment, Assignment.id == Annotation.assignment_id)
        .join(Task, Task.id == Annotation.task_id)
        .where(
            Assignment.user_id == membership.user_id,
            Assignment.project_id == project.id,
            Annotation.is_current.is_(True),
            Annotation.counted.is_(True),
            Task.kind == TaskKind.ORDINARY,
        )
        .order_by(Assignment.finished_at.desc(), Annotation.id)
        .limit(which.last)
    )
    return found if which.since is None else found.where(Assignment.finished_at >= which.since)


_left = Task.leased + Task.counted - 1
_has_enough = _left >= most_wanted()


def reach(session: Session, *, project: Project, membership: Membership, which: Which) -> Reach:
    """What it would do now; it may be a little else by the time that it is done."""
    task_ids = [task_id for _, task_id in session.execute(_hers(project, membership, which))]
    opened = opened_without(session, project=project, user_id=membership.user_id, task_ids=task_ids)
    return Reach(len(task_ids), opened=opened, closed=len(task_ids) - opened)


def opened_without(
    session: Session, *, project: Project, user_id: UUID, task_ids: Sequence[UUID]
) -> int:
    """How many of these tasks want another judgement once hers, which counts, does not."""
    unsure = (
        unsure_tasks(session, task_ids, Annotation.user_id != user_id)
        if project.overlap_max > project.overlap_min
        else []
    )
    is_asked_more = and_(Task.leased == 0, among(Task.id, unsure), ~_has_enough)
    return session.scalars(
        select(func.count()).where(
            among(Task.id, task_ids),
            Task.closed_at.is_(None),
            or_(_left < least_wanted(), is_asked_more),
        )
    ).one()


def requeue(
    session: Session,
    *,
    project: Project,
    membership: Membership,
    which: Which,
    by: User,
    now: datetime,
) -> tuple[Requeue, Reach]:
    """Let others judge what she judged: hers stop counting, and their tasks open again.

    `Invalid` where nothing of hers counts. She does not get those tasks again.
    """
    _lock(session, project=project, membership=membership)
    rows = session.execute(_hers(project, membership, which)).all()
    if not rows:
        raise Invalid(
            f"{membership.user.name} has no judgements that count ({which.in_words()}). "
            "Choose an earlier moment."
        )
    task_ids = [task_id for _, task_id in rows]
    closed = _lock_tasks(session, task_ids)
    entry = Requeue(
        project_id=project.id,
        user_id=membership.user_id,
        which=which.in_words(),
        judgements=len(rows),
        closed=[str(task_id) for task_id in closed],
        by=by.id,
        at=now,
    )
    session.add(entry)
    session.flush()  # the judgements refer to it
    session.execute(
        update(Annotation)
        .where(among(Annotation.id, [annotation_id for annotation_id, _ in rows]))
        .values(counted=False, requeue_id=entry.id),
        execution_options=AS_ROWS,
    )
    opened = _open(session, project=project, task_ids=task_ids)
    done = Reach(len(rows), opened=opened, closed=len(rows) - opened)
    note(
        session,
        "project.member.requeue",
        membership=membership,
        by=by,
        requeue=str(entry.id),
        which=which.in_words(),
        judgements=done.judgements,
        opened=done.opened,
    )
    return entry, done


def _open(session: Session, *, project: Project, task_ids: Sequence[UUID]) -> int:
    """Take one judgement out of each task's count; how many want another in its place.

    A task that has enough without it gives the place up, as when a lease is given back: what is
    closed, and what adaptive overlap finds sure by the others' judgements alone.
    """
    fewer = func.least(Task.wanted, func.greatest(_left, least_wanted()))
    session.execute(
        update(Task)
        .where(among(Task.id, task_ids))
        .values(
            counted=Task.counted - 1,
            wanted=case((Task.closed_at.is_(None), fewer), else_=_left),
        ),
        execution_options=AS_ROWS,
    )
    decide_overlap(session, project=project, task_ids=task_ids)
    return session.scalars(
        select(func.count()).where(
            among(Task.id, task_ids), Task.leased + Task.counted < Task.wanted
        )
    ).one()


def undo_requeue(
    session: Session,
    *,
    project: Project,
    membership: Membership,
    entry: Requeue,
    by: User,
    now: datetime,
) -> Restored:
    """Count her judgements again where nobody has taken the place; twice is once."""
    _lock(session, project=project, membership=membership)
    session.refresh(entry, with_for_update=True)
    if entry.undone_at is not None:
        assert entry.restored is not None  # undone_with_a_number
        return Restored(entry.restored, entry.judgements - entry.restored)
    rows = session.execute(
        select(Annotation.id, Annotation.task_id).where(
            Annotation.requeue_id == entry.id,
            Annotation.is_current.is_(True),
            Annotation.counted.is_(False),
        )
    ).all()
    _lock_tasks(session, [task_id for _, task_id in rows])
    closed = {UUID(task_id) for task_id in entry.closed}
    free = _free(session, [task_id for _, task_id in rows], closed=closed)
    back = [(annotation_id, task_id) for annotation_id, task_id in rows if task_id in free]
    session.execute(
        update(Annotation)
        .where(among(Annotation.id, [annotation_id for annotation_id, _ in back]))
        .values(counted=True, requeue_id=None),
        execution_options=AS_ROWS,
    )
    session.execute(
        update(Task)
        .where(among(Task.id, [task_id for _, task_id in back]))
        .values(
            counted=Task.counted + 1,
            wanted=func.greatest(Task.wanted, Task.leased + Task.counted + 1),
        ),
        execution_options=AS_ROWS,
    )
    entry.undone_at, entry.restored = now, len(back)
    decide_overlap(session, project=project, task_ids=[task_id for _, task_id in back])
    note(
        session,
        "project.member.requeue.undo",
        membership=membership,
        by=by,
        requeue=str(entry.id),
        judgements=entry.judgements,
        restored=len(back),
    )
    return Restored(len(back), entry.judgements - len(back))


def _free(session: Session, task_ids: Sequence[UUID], *, closed: set[UUID]) -> set[UUID]:
    """The tasks that have room for hers: a place nobody has taken, or one that had to close.

    Under adaptive overlap one that was sure without hers has room for the most that it may get.
    """
    is_adaptive = Project.overlap_min < Project.overlap_max
    most = case((is_adaptive, func.greatest(Task.wanted, most_wanted())), else_=Task.wanted)
    has_room = Task.leased + Task.counted < most
    rows = session.execute(
        select(Task.id, has_room)
        .join(Project, Project.id == Task.project_id)
        .where(among(Task.id, task_ids), Task.kind == TaskKind.ORDINARY)
    )
    return {task_id for task_id, has_room in rows if has_room or task_id in closed}


def _lock(session: Session, *, project: Project, membership: Membership) -> None:
    """Hold her membership: nothing of hers is handed in meanwhile, and no key is set.

    An import takes tasks before memberships, so none may be under way.
    """
    tasks.hold_opening(session, project=project)
    session.execute(
        select(Membership.user_id)
        .where(Membership.project_id == project.id, Membership.user_id == membership.user_id)
        .with_for_update(key_share=True)
    )


def _lock_tasks(session: Session, task_ids: Sequence[UUID]) -> list[UUID]:
    """Hold the tasks, in the order in which the job of the overlap takes them.

    Answers those that have enough judgements without hers.
    """
    rows = session.execute(
        select(Task.id, _has_enough)
        .where(among(Task.id, task_ids))
        .order_by(Task.identity)
        .with_for_update(key_share=True, of=Task)
    )
    return [task_id for task_id, has_enough in rows if has_enough]
