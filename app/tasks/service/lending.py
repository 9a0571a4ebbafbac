"""The statement that takes a place in a task and lends the task to a person.

One statement whatever she gets, ordinary work, gold or a repeat, so that the time tells nothing.
It is made once in each form that a project needs: with and without lanes, and with and without
gold and repeats that may be due.
"""

from typing import Any, cast

from sqlalchemy import (
    CTE,
    Boolean,
    ColumnElement,
    DateTime,
    Select,
    SmallInteger,
    Table,
    Update,
    Uuid,
    all_,
    and_,
    bindparam,
    case,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import aliased

from app.corpus.models import Prompt
from app.projects.models import Membership
from app.tasks import queries
from app.tasks.models import (
    Assignment,
    AssignmentState,
    ReAsk,
    ReAskPair,
    Task,
    TaskKind,
    TaskResponse,
)

# As subqueries: a plan for all values must look no dearer than one for a value that rules most of
# the statement out, or PostgreSQL would plan it anew at each claim.
_wants_gold = select(bindparam("wants_gold", False, type_=Boolean())).scalar_subquery()
_wants_re_ask = select(bindparam("wants_re_ask", False, type_=Boolean())).scalar_subquery()
_wants_repeat = select(bindparam("wants_repeat", False, type_=Boolean())).scalar_subquery()

# Nothing is taken for somebody who holds more than the claim knows of: another request of hers may
# have claimed while this one waited for its turn.
_holds_no_more = not_(
    select(Assignment.id)
    .where(
        Assignment.project_id == bindparam("in_project", type_=Uuid()),
        Assignment.user_id == bindparam("person", type_=Uuid()),
        queries.IS_OPEN,
        Assignment.id != all_(bindparam("kept", [], type_=ARRAY(Uuid))),
    )
    .exists()
)


def _due(*, lanes: bool, planned: bool = False) -> CTE:
    """Gold or a repeat instead of an ordinary task, where one is due; `planned`: or a re-asked one.

    Only where an ordinary task is in sight, so that the end of the work tells nothing; a re-asked
    one also at the end, or it would never be judged.
    """
    gold = _gold(lanes=lanes)
    from_key = Task.random_key >= bindparam("gold_key")
    repeat = queries.REPEATED_TASK.with_for_update(key_share=True, skip_locked=True, of=Task)
    again = queries.RE_ASKED_TASK.with_for_update(key_share=True, skip_locked=True, of=Task)
    re_asked = again.correlate(None).scalar_subquery()
    in_sight = queries.wanted_task(lanes=lanes, locks=False).correlate(None).exists()
    may_be_due = or_(queries.NOTHING_ELSE, in_sight) if planned else in_sight
    found = case(
        *([(_wants_re_ask, re_asked)] if planned else []),
        (_wants_repeat, repeat.correlate(None).scalar_subquery()),
        else_=func.coalesce(
            gold.where(from_key).scalar_subquery(), gold.where(~from_key).scalar_subquery()
        ),
    )
    wants = or_(_wants_gold, _wants_repeat, *([_wants_re_ask] if planned else []))
    return select(case((and_(wants, may_be_due), found), else_=null()).label("id")).cte("due")


def _gold(*, lanes: bool) -> Select[Any]:
    gold = queries.gold_task(lanes=lanes)
    return gold.with_for_update(key_share=True, skip_locked=True).correlate(None)


def take(*, lanes: bool, due: bool, planned: bool = False) -> Update:
    """Take a place in an ordinary task that nobody holds, or what is due, which has no place.

    Where there is no ordinary work at all, gold is handed out like it (`gold_alone`).
    """
    ordinary = queries.wanted_task(lanes=lanes, locks=True).correlate(None).scalar_subquery()
    if not due:
        plain = update(Task).where(Task.id == ordinary, _holds_no_more)
        plain = plain.values(leased=Task.leased + 1)
        return plain.returning(
            Task.id, Task.prompt_id, literal(False, Boolean()).label("is_repeat")
        )
    due_id = select(_due(lanes=lanes, planned=planned).c.id).correlate(None).scalar_subquery()
    alone = case(
        (bindparam("gold_alone", False, type_=Boolean()), _gold(lanes=lanes).scalar_subquery()),
        else_=null(),
    )
    comes_again = or_(_wants_repeat, _wants_re_ask) if planned else _wants_repeat
    is_repeat = and_(comes_again, due_id.is_not(None))
    has_places = and_(Task.kind == TaskKind.ORDINARY, not_(is_repeat))
    return (
        update(Task)
        .where(Task.id == func.coalesce(due_id, ordinary, alone), _holds_no_more)
        .values(leased=Task.leased + case((has_places, 1), else_=0))
        .returning(Task.id, Task.prompt_id, is_repeat.label("is_repeat"))
    )


_rows, _prompts = cast(Table, Assignment.__table__), cast(Table, Prompt.__table__)


def _lending(*, lanes: bool, due: bool, planned: bool = False) -> Select[Any]:
    """With the task her turn in the project, the assignment, and what is shown of the task.

    One whose lease ran out is opened again, with its draft and order. Where re-asked tasks of hers
    are `planned`, those that still wait are counted anew.
    """
    taken = take(lanes=lanes, due=due, planned=planned).cte("taken")
    turns: dict[str, Any] = {"claimed": Membership.claimed + 1}
    if planned:
        turns["re_asks"] = _waiting(but=select(taken.c.id).scalar_subquery())
    turn = (
        update(Membership)
        .where(
            Membership.project_id == bindparam("in_project"),
            Membership.user_id == bindparam("person"),
            select(taken.c.id).exists(),
        )
        .values(turns)
        .returning(Membership.claimed)
        .cte("turn")
    )
    opened: dict[str, Any] = {
        "state": literal(AssignmentState.OPEN, Assignment.state.type),
        "slot": bindparam("to_slot", type_=SmallInteger()),
        "ordinal": turn.c.claimed,
        "leased_until": bindparam("until", type_=DateTime(timezone=True)),
        "created_at": bindparam("now", type_=DateTime(timezone=True)),
        "renewals": literal(0, SmallInteger()),
        "attempt_id": null(),  # real work, whatever it was before
        "question": null(),
    }
    new: dict[str, Any] = {
        **opened,
        "id": bindparam("new_id", type_=Uuid()),
        "project_id": bindparam("in_project", type_=Uuid()),
        "task_id": taken.c.id,
        "user_id": bindparam("person", type_=Uuid()),
        "is_repeat": taken.c.is_repeat,
        "display_order": _order(taken, due=due),
        "draft_revision": literal(0, Assignment.draft_revision.type),
    }
    values = select(*(value.label(name) for name, value in new.items()))
    adding = insert(_rows).from_select(
        list(new), values.select_from(taken.join(turn, true())), False
    )
    lent = (
        adding.on_conflict_do_update(
            index_elements=[_rows.c.task_id, _rows.c.user_id],
            index_where=text("NOT is_repeat"),
            set_={**{name: adding.excluded[name] for name in opened}, "finished_at": null()},
            where=_rows.c.state == AssignmentState.EXPIRED,
        )
        .returning(*_rows.c)
        .cte("lent")
    )
    shown = queries.shown_of(taken, _prompts)
    return select(aliased(Assignment, lent), *shown).select_from(
        taken.join(_prompts, _prompts.c.id == taken.c.prompt_id).outerjoin(lent, true())
    )


def _waiting(*, but: ColumnElement[Any]) -> ColumnElement[Any]:
    """How many re-asked tasks still wait for her beside the one that she is just given."""
    return (
        select(func.count())
        .select_from(ReAskPair)
        .join(ReAsk, queries.OUR_PAIRS)
        .where(
            ReAskPair.user_id == bindparam("person"),
            ReAskPair.task_id != but,
            queries.IS_WAITING,
        )
        .scalar_subquery()
    )


def _order(taken: CTE, *, due: bool) -> ColumnElement[Any]:
    """The display order; what comes again stands in another one: a pair the other way round."""
    size = select(func.count()).where(TaskResponse.task_id == taken.c.id).correlate(taken)
    place = (
        func.unnest(bindparam("places", type_=ARRAY(SmallInteger)))
        .table_valued("position", with_ordinality="number", name="place")
        .render_derived()
    )
    places = select(place.c.position).where(place.c.position < size.scalar_subquery())

    def ordered(by: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.array(places.order_by(by).scalar_subquery(), type_=ARRAY(SmallInteger))

    if not due:
        return ordered(place.c.number)
    first = aliased(Assignment)
    before = (
        select(first.display_order)
        .where(
            first.task_id == taken.c.id,
            first.user_id == bindparam("person", type_=Uuid()),
            not_(first.is_repeat),
        )
        .correlate(taken)
        .scalar_subquery()
    )
    is_as_before = and_(taken.c.is_repeat, ordered(place.c.number) == before)
    return case((is_as_before, ordered(place.c.number.desc())), else_=ordered(place.c.number))


# By whether the project has lanes, and whether gold or a repeat can be due in it.
LEND = {
    (lanes, due): _lending(lanes=lanes, due=due) for lanes in (False, True) for due in (False, True)
}
# For whom re-asked tasks wait, by whether the project has lanes: whatever she gets, while some do.
LEND_PLANNED = {lanes: _lending(lanes=lanes, due=True, planned=True) for lanes in (False, True)}
# Now, while nobody else does: an alias of a CTE gets its columns when it is first compiled, and two
# threads of a new process that do so at once would break it for as long as the process lives.
for _statement in (*LEND.values(), *LEND_PLANNED.values()):
    _statement.compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]
