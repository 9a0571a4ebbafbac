"""What a person can be given: the conditions and statements of a claim, made once.

To build one anew costs more than to run it. Each comes in two forms: for a project whose tasks ask
nothing of their judges, which most are, and for one with lanes.
"""

from math import inf
from time import monotonic
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Double,
    Integer,
    ScalarSelect,
    Select,
    Text,
    Uuid,
    any_,
    bindparam,
    case,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session, aliased

from app.projects.models import Membership, Project
from app.tasks import rules
from app.tasks.models import (
    Assignment,
    AssignmentState,
    GoldKey,
    ReAsk,
    ReAskPair,
    Task,
    TaskLane,
)

# Written out, not bound: the planner must recognise the partial indexes in prepared statements.
IS_ORDINARY: ColumnElement[bool] = literal_column("task.kind = 'ordinary'")
IS_WANTED: ColumnElement[bool] = literal_column(
    "task.kind = 'ordinary' AND task.leased + task.counted < task.wanted"
)
IS_GOLD: ColumnElement[bool] = literal_column("task.kind = 'gold'")
IS_QUALIFICATION: ColumnElement[bool] = literal_column("task.kind = 'qualification'")
HAS_KEY: ColumnElement[bool] = literal_column("task.kind <> 'ordinary'")
IS_OPEN: ColumnElement[bool] = literal_column("assignment.state = 'open'")

OURS = Task.project_id == bindparam("in_project", type_=Uuid())

# Asked row by row through the index of (task, person): counts, since the planner would turn an
# EXISTS into a join with all that she has judged. A repeat has a first judgement before it.
HERS = aliased(Assignment)
_hers = (
    select(func.count())
    .where(HERS.task_id == Task.id, HERS.user_id == bindparam("person"), ~HERS.is_repeat)
    .correlate(Task)
)
# Whether a task is new to her: not judged, skipped or held; one whose lease ran out is free again.
IS_NEW = _hers.where(HERS.state != AssignmentState.EXPIRED).scalar_subquery() == 0
NEVER_HAD = _hers.scalar_subquery() == 0

# The lanes that are open to her: the one that asks nothing, and those whose language and expertise
# are hers. Who has no languages listed may judge every language.
_expertise = bindparam("her_expertise", [], type_=ARRAY(Text))
_languages = bindparam("her_languages", [], type_=ARRAY(Text))
LANES = select(TaskLane.key).where(TaskLane.project_id == bindparam("in_project", type_=Uuid()))
_open_lanes = LANES.where(
    TaskLane.expertise.contained_by(_expertise),
    or_(
        TaskLane.language == "",
        func.cardinality(_languages) == 0,
        TaskLane.language == any_(_languages),
    ),
)
HER_LANES = union_all(select(literal("", Text()).label("key")), _open_lanes).cte("her")
IN_HER_LANES = Task.lane == any_(
    func.array(select(HER_LANES.c.key).correlate(None).scalar_subquery(), type_=ARRAY(Text))
)
IN_PLAIN_LANE: ColumnElement[bool] = literal_column("task.lane = ''")
NO_LANES_HOLDS_SECONDS = 2.0
_lanes_known: dict[UUID, tuple[bool, float]] = {}  # by project: whether it has, until when known

IS_IN_FORCE = exists().where(GoldKey.task_id == Task.id, GoldKey.suspended_at.is_(None))

# The most that the project asks for now, or a reviewer of this very task. A smaller number than
# before holds for the next claim already; the job that lowers the tasks' own numbers comes later.
# `ix_task_open` cannot know it.
_most = (
    select(Project.overlap_max)
    .where(Project.id == bindparam("in_project", type_=Uuid()))
    .scalar_subquery()
)
IS_WITHIN_MOST = Task.leased + Task.counted < func.greatest(_most, Task.at_least)

AN_ORDINARY_TASK = select(Task.id).where(OURS, IS_ORDINARY).limit(1)


def top_priority(*, lanes: bool, below: bool = False) -> Select[int]:
    """The highest priority of what is wanted and hers to judge: a look at the head of each lane."""
    head = select(Task.priority).where(OURS, IS_WANTED).order_by(Task.priority.desc()).limit(1)
    if below:
        head = head.where(Task.priority < bindparam("below", type_=Integer()))
    if not lanes:
        return head.where(IN_PLAIN_LANE)
    first = head.where(Task.lane == HER_LANES.c.key).correlate(HER_LANES).lateral("head")
    return (
        select(first.c.priority)
        .select_from(HER_LANES.join(first, true()))
        .order_by(first.c.priority.desc())
        .limit(1)
    )


_level = func.coalesce(
    bindparam("level", type_=Integer()),
    top_priority(lanes=False).correlate(None).scalar_subquery(),
)
_level_of_lanes = select(
    func.coalesce(
        bindparam("level", type_=Integer()),
        top_priority(lanes=True).correlate(None).scalar_subquery(),
    ).label("level")
).cte("level")


def _stretch(*, lanes: bool) -> Select[UUID, float]:
    """What is wanted, of one priority (the highest by default), in a stretch of the random key.

    An ordered scan of the partial index `ix_task_open`, once its lane is named.
    """
    level = select(_level_of_lanes.c.level).correlate(None).scalar_subquery() if lanes else _level
    return (
        select(Task.id, Task.random_key)
        .where(
            OURS,
            IS_WANTED,
            IS_WITHIN_MOST,
            Task.priority == level,
            Task.random_key >= bindparam("from_key", type_=Double()),
            Task.random_key < bindparam("to_key", type_=Double()),
        )
        .order_by(Task.random_key)
    )


# Her lanes, the one with the nearest task that is new to her first, so that each lane is drawn as
# often as it has tasks. One in which she has judged all that lies ahead comes last, and costs no
# more than a short look.
LOOKED_AT = 50  # tasks of a lane, when lanes are compared
_ahead = (
    _stretch(lanes=True)
    .where(Task.lane == HER_LANES.c.key)
    .limit(LOOKED_AT)
    .correlate(HER_LANES)
    .subquery("ahead")
)
_seen = aliased(Assignment)
_is_new_ahead = (
    select(func.count())
    .where(
        _seen.task_id == _ahead.c.id,
        _seen.user_id == bindparam("person"),
        ~_seen.is_repeat,
        _seen.state != AssignmentState.EXPIRED,
    )
    .correlate(_ahead)
    .scalar_subquery()
    == 0
)
_nearest = select(_ahead.c.random_key).where(_is_new_ahead).order_by(_ahead.c.random_key).limit(1)
_by_distance = (
    select(HER_LANES.c.key)
    .order_by(_nearest.correlate(HER_LANES).scalar_subquery().nulls_last())
    .subquery("by_distance")
)


def wanted_task(*, lanes: bool, locks: bool) -> Select[UUID]:
    """A task that is wanted, hers to judge and new to her; with `locks` one that nobody holds.

    What it costs depends on how many of the tasks from there on she has judged, not on how many
    there are.
    """
    found = _stretch(lanes=lanes).with_only_columns(Task.id).where(IS_NEW).limit(1)
    if locks:
        found = found.with_for_update(key_share=True, skip_locked=True)
    if not lanes:
        return found.where(IN_PLAIN_LANE)
    first = found.where(Task.lane == _by_distance.c.key).correlate(_by_distance).lateral("first")
    return select(first.c.id).select_from(_by_distance.join(first, true())).limit(1)


def gold_task(*, lanes: bool) -> Select[UUID]:
    """A gold task in force that is hers to judge and new to her, as ordinary ones are.

    What she gave back comes again: else that it stays away would tell gold, and who gives back
    whatever comes would have used it all up without a single answer.
    """
    return (
        select(Task.id)
        .where(
            OURS,
            IS_GOLD,
            Task.closed_at.is_(None),
            IN_HER_LANES if lanes else IN_PLAIN_LANE,
            IS_IN_FORCE,
            IS_NEW,
        )
        .order_by(Task.random_key)
        .limit(1)
    )


# A task that she has submitted here before, so many submissions ago at least, and that has not
# come again yet. A look at a few dozen entries of `ix_assignment_history`, however many there are.
_before, _again = aliased(Assignment), aliased(Assignment)
_past = (
    select(_before.task_id, _before.is_repeat, _before.display_order)
    .where(
        _before.project_id == bindparam("in_project"),
        _before.user_id == bindparam("person"),
        _before.state == AssignmentState.SUBMITTED,
        _before.attempt_id.is_(None),  # a question of the qualification was answered openly
    )
    .order_by(_before.finished_at.desc())
    .offset(bindparam("repeat_distance", 0, type_=Integer()))
    .limit(LOOKED_AT)
    .subquery("past")
)
_came_again = (
    select(func.count())
    .where(
        _again.task_id == _past.c.task_id,
        _again.user_id == bindparam("person"),
        _again.is_repeat,
        _again.display_order.is_not(None),
    )
    .correlate(_past)
    .scalar_subquery()
)
REPEATED_TASK = (
    select(Task.id)
    .join(_past, _past.c.task_id == Task.id)
    .where(
        IS_ORDINARY,
        Task.closed_at.is_(None),
        ~_past.c.is_repeat,
        _past.c.display_order.is_not(None),  # imported judgements were made elsewhere
        _came_again == 0,
    )
    .limit(1)
)


# One that she is to judge again because the guidelines have changed: the next of hers by chance.
# It waits while no repeat of it was lent to her, and until she has read what changed. Where nothing
# else is left for her, no other work can come between the two looks, and none is waited for.
_repeated = aliased(Assignment)
_was_lent = (
    select(func.count())
    .where(
        _repeated.task_id == ReAskPair.task_id,
        _repeated.user_id == ReAskPair.user_id,
        _repeated.is_repeat,
        _repeated.display_order.is_not(None),
    )
    .correlate(ReAskPair)
    .scalar_subquery()
)
IS_WAITING: ColumnElement[bool] = _was_lent == 0
OUR_PAIRS = (
    (ReAsk.id == ReAskPair.re_ask_id)
    & (ReAsk.project_id == bindparam("in_project", type_=Uuid()))
    & ReAsk.cancelled_at.is_(None)
)
NOTHING_ELSE = select(bindparam("nothing_else", False, type_=Boolean())).scalar_subquery()
_first = aliased(Assignment)
RE_ASKED_TASK = (
    select(Task.id)
    .join(ReAskPair, ReAskPair.task_id == Task.id)
    .join(ReAsk, OUR_PAIRS)
    .join(
        Membership,
        (Membership.project_id == ReAsk.project_id) & (Membership.user_id == ReAskPair.user_id),
    )
    .join(
        _first,
        (_first.task_id == ReAskPair.task_id)
        & (_first.user_id == ReAskPair.user_id)
        & ~_first.is_repeat
        & (_first.state == AssignmentState.SUBMITTED)
        & or_(NOTHING_ELSE, _first.ordinal <= Membership.claimed - rules.FEWEST_BETWEEN),
    )
    .where(
        ReAskPair.user_id == bindparam("person"),
        IS_ORDINARY,
        Task.closed_at.is_(None),
        or_(Membership.guidelines_read == 0, Membership.guidelines_read >= ReAsk.needed),
        IS_WAITING,
    )
    .order_by(ReAskPair.place)
    .limit(1)
)


def most_wanted() -> ScalarSelect[int]:
    """The most judgements asked for of a task now, by its project or a reviewer.

    In a statement about tasks.
    """
    most = select(func.greatest(Project.overlap_max, Task.at_least)).where(
        Project.id == Task.project_id
    )
    return most.correlate(Task).scalar_subquery()


def least_wanted() -> ScalarSelect[int]:
    """The fewest: what is asked for before adaptive overlap looks whether that is enough."""
    least = select(func.greatest(Project.overlap_min, Task.at_least)).where(
        Project.id == Task.project_id
    )
    return least.correlate(Task).scalar_subquery()


def wanted_once(taken: ColumnElement[int]) -> ColumnElement[int]:
    """What a task wants once so many places are taken; a closed one wants nobody else."""
    return case((Task.closed_at.is_(None), func.greatest(taken, least_wanted())), else_=taken)


def has_lanes(session: Session, *, project: Project) -> bool:
    """Whether any task asks for a language or expertise; the first ones may be seen a little late.

    A claim looks a second time before it says that there is nothing, and then into every lane.
    """
    has, until = _lanes_known.get(project.id, (False, 0.0))
    if until < monotonic():
        has = session.scalar(LANES.limit(1), {"in_project": project.id}) is not None
        until = inf if has else monotonic() + NO_LANES_HOLDS_SECONDS
        _lanes_known[project.id] = has, until
    return has


def skills(membership: Membership | None) -> dict[str, list[str]]:
    """What the statements of a claim ask of a person."""
    if membership is None:  # an admin of the installation, who has not worked here yet
        return {"her_expertise": [], "her_languages": []}
    return {"her_expertise": membership.expertise, "her_languages": membership.languages}
