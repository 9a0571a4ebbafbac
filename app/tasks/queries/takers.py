"""Who could still judge a task that wants more judgements."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import and_, any_, exists, func, or_, select
from sqlalchemy.orm import Session

from app.accounts.models import Role, User, UserKind
from app.projects.models import Membership
from app.tasks.models import Assignment, AssignmentState, Task, TaskLane


@dataclass(frozen=True, slots=True)
class Taker:
    user_id: UUID
    name: str


def takers(session: Session, *, task: Task) -> Sequence[Taker]:
    """Who may judge this task and has not: neither judged, passed on, nor holds it now.

    Annotators who are not paused, and others of the project who have taken work before. Whose
    limit of a day is reached can take it tomorrow, so nobody's limits are asked.
    """
    had = exists().where(
        Assignment.task_id == task.id,
        Assignment.user_id == Membership.user_id,
        ~Assignment.is_repeat,
        Assignment.state != AssignmentState.EXPIRED,
    )
    fits = exists().where(
        TaskLane.project_id == task.project_id,
        TaskLane.key == task.lane,
        TaskLane.expertise.contained_by(Membership.expertise),
        or_(
            TaskLane.language == "",
            func.cardinality(Membership.languages) == 0,
            TaskLane.language == any_(Membership.languages),
        ),
    )
    rows = session.execute(
        select(User.id, User.name)
        .join(Membership, Membership.user_id == User.id)
        .where(
            Membership.project_id == task.project_id,
            Membership.paused_at.is_(None),
            User.disabled_at.is_(None),
            User.kind == UserKind.PERSON,
            or_(
                Membership.role == Role.ANNOTATOR,
                and_(Membership.role != Role.VIEWER, Membership.claimed > 0),
            ),
            ~had,
            *([fits] if task.lane else ()),
        )
        .order_by(User.name, User.id)
    )
    return [Taker(*row) for row in rows]
