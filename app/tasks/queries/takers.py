"""Who could still judge a task that wants more judgements, and whether there are enough of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import and_, any_, bindparam, exists, func, literal_column, or_, select
from sqlalchemy.orm import Session

from app.accounts.models import Role, User, UserKind
from app.projects.models import Membership, Project
from app.tasks.models import Assignment, AssignmentState, Task, TaskLane
from app.tasks.queries.wanted import IN_HER_LANES, IS_WANTED, IS_WITHIN_MOST, OURS, skills

# Annotators who are not paused, and others of a project who have taken work before.
TAKES_WORK = and_(
    Membership.paused_at.is_(None),
    User.disabled_at.is_(None),
    User.kind == UserKind.PERSON,
    or_(
        Membership.role == Role.ANNOTATOR,
        and_(Membership.role != Role.VIEWER, Membership.claimed > 0),
    ),
)

ENOUGH = 50  # open tasks, for however many people
_open = (
    select((Task.wanted - Task.leased - Task.counted).label("places"))
    .where(OURS, IS_WANTED, IS_WITHIN_MOST, IN_HER_LANES)
    .limit(literal_column(str(ENOUGH)))  # written out, for its plan
    .subquery()
)
_places = select(func.coalesce(func.sum(_open.c.places), 0)).scalar_subquery()
_others = (
    select(func.count())
    .select_from(Membership)
    .join(User, User.id == Membership.user_id)
    .where(
        Membership.project_id == bindparam("in_project"),
        Membership.user_id != bindparam("person"),
        TAKES_WORK,
    )
    .scalar_subquery()
)
LEAVES_ENOUGH = select(_places > func.least(_others, ENOUGH - 1))


@dataclass(frozen=True, slots=True)
class Taker:
    user_id: UUID
    name: str


def takers(session: Session, *, task: Task) -> Sequence[Taker]:
    """Who may judge this task and has not: neither judged, passed on, nor holds it now.

    Whose limit of a day is reached can take it tomorrow, so nobody's limits are asked.
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
            TAKES_WORK,
            ~had,
            *([fits] if task.lane else ()),
        )
        .order_by(User.name, User.id)
    )
    return [Taker(*row) for row in rows]


def leaves_enough(session: Session, *, project: Project, membership: Membership) -> bool:
    """Whether all others could have a place in a task, too, if she had one in advance."""
    hers = {"in_project": project.id, "person": membership.user_id, **skills(membership)}
    return session.scalars(LEAVES_ENOUGH, hers).one()
