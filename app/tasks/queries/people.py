"""What people hold, what they have handed in, and the limits of that."""

from collections.abc import Sequence
from datetime import datetime
from time import monotonic
from uuid import UUID

from sqlalchemy import DateTime, bindparam, func, literal_column, select
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.projects.models import Membership, Project
from app.tasks import rules
from app.tasks.models import Assignment, AssignmentState, Task
from app.tasks.queries.wanted import IS_OPEN, IS_ORDINARY, OURS
from app.tasks.schemas import Nothing

HELD = (
    select(Assignment)
    .where(
        Assignment.project_id == bindparam("in_project"),
        Assignment.user_id == bindparam("person"),
        IS_OPEN,
    )
    .order_by(Assignment.ordinal)
)
# The same beside her membership, by id alone.
HOLDS = (
    select(func.array_agg(Assignment.id))
    .where(
        Assignment.project_id == Membership.project_id,
        Assignment.user_id == Membership.user_id,
        IS_OPEN,
    )
    .correlate(Membership)
    .scalar_subquery()
)

# All of hers, or what she has handed in since a moment: from the end of `ix_assignment_history`.
SUBMITTED = select(func.count()).where(
    Assignment.project_id == bindparam("in_project"),
    Assignment.user_id == bindparam("person"),
    Assignment.finished_at
    >= func.coalesce(
        bindparam("since", type_=DateTime(timezone=True)), literal_column("'-infinity'")
    ),
    Assignment.state == AssignmentState.SUBMITTED,
    Assignment.attempt_id.is_(None),
)

WANTED_IN_ALL = select(func.sum(Task.wanted)).where(OURS, IS_ORDINARY)
WANTED_HOLDS_SECONDS = 60
_wanted: dict[UUID, tuple[float, int]] = {}  # by project: when it was counted, and the number


def open_assignments(session: Session, *, project: Project, user: User) -> Sequence[Assignment]:
    """What she holds, expired or not, in the order in which she got it: at most two."""
    return session.scalars(HELD, {"in_project": project.id, "person": user.id}).all()


def submitted_since(session: Session, *, project: Project, user: User, since: datetime) -> int:
    """How many tasks she has handed in from a moment on, questions of the qualification apart."""
    hers = {"in_project": project.id, "person": user.id, "since": since}
    return session.scalars(SUBMITTED, hers).one()


def limit_reached(
    session: Session, *, project: Project, membership: Membership, held: int, now: datetime
) -> Nothing | None:
    """The limit that keeps her from one more task than she has handed in and holds.

    Where none is set, nothing is asked of the database; and all that she has ever handed in is
    counted only from the moment when she may have reached a limit of it.
    """
    if (daily := daily_limit(project, membership)) is not None:
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if _submitted(session, membership, since=midnight) + held >= daily:
            return Nothing.DAILY_LIMIT
    limits = {Nothing.TOTAL_LIMIT: total_limit(project, membership)}
    if project.largest_share is not None:
        wanted = wanted_in_all(session, project=project)
        share = rules.share_limit(project.largest_share, wanted=wanted)
        limits[Nothing.LARGEST_SHARE] = share
    for reason, limit in limits.items():
        if limit is None or membership.claimed < limit:  # she cannot have handed in more than that
            continue
        if _submitted(session, membership) + held >= limit:
            return reason
    return None


def daily_limit(project: Project, membership: Membership | None) -> int | None:
    own = membership and membership.daily_limit
    return own or project.daily_limit


def total_limit(project: Project, membership: Membership | None) -> int | None:
    own = membership and membership.total_limit
    return own or project.total_limit


def wanted_in_all(session: Session, *, project: Project) -> int:
    """How many judgements the project's ordinary tasks want, as it was a minute ago at most."""
    known = _wanted.get(project.id)
    if known is None or known[0] < monotonic() - WANTED_HOLDS_SECONDS:
        total = session.scalar(WANTED_IN_ALL, {"in_project": project.id}) or 0
        known = _wanted[project.id] = (monotonic(), total)
    return known[1]


def _submitted(session: Session, membership: Membership, *, since: datetime | None = None) -> int:
    hers = {"in_project": membership.project_id, "person": membership.user_id, "since": since}
    return session.scalars(SUBMITTED, hers).one()
