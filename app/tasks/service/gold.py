"""Gold keys: a task becomes gold and ordinary again."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.errors import Invalid
from app.tasks import queries, rules
from app.tasks.models import Assignment, AssignmentState, GoldKey, Task, TaskKind
from app.tasks.schemas import Gold

# What a new key starts without: doubts about the old one, and their answers.
NEW_KEY = ("suspended_at", "suspend_reason", "upheld_at")


def require_consistent(gold: Gold, *, size: int) -> None:
    """`Invalid` unless some ranking of `size` responses satisfies the key."""
    named = [place for pair in (*gold.prefers, *gold.equal) for place in pair]
    if not named:
        raise Invalid("A gold key needs at least one pair: in `prefers`, or in `equal`.")
    if any(not 0 <= place < size for place in named):
        raise Invalid("The gold key names a response that the task does not have.")
    for i, j in (*gold.prefers, *gold.equal):
        if i == j:
            raise Invalid(
                f"A pair of this gold key names {letter(i)} twice, so its preferences run in a "
                "circle. Compare it with another response."
            )
    if not rules.is_consistent(size, prefers=gold.prefers, equal=gold.equal):
        round_and_round = rules.circle(size, prefers=gold.prefers, equal=gold.equal)
        said = [f"{letter(i)} better than {letter(j)}" for i, j in round_and_round]
        concerned = {place for pair in round_and_round for place in pair}
        said += [f"{letter(i)} equal to {letter(j)}" for i, j in gold.equal if {i, j} & concerned]
        raise Invalid(
            "No ranking can satisfy this gold key: its preferences run in a circle "
            f"({', '.join(said)}). Take one of them away."
        )


def letter(place: int) -> str:
    """A, B, C…: a response by its canonical place."""
    return chr(ord("A") + place)


def set_gold(session: Session, *, task: Task, gold: Gold, size: int, by: User | None) -> None:
    """Make the task gold or a question of the qualification, or change its key.

    Leases go on and hold no place any more; those of a question end with it.
    """
    require_consistent(gold, size=size)
    lock(session, task=task)
    kind = TaskKind.QUALIFICATION if gold.qualification else TaskKind.GOLD
    if kind is TaskKind.GOLD:
        _end_questions(session, task=task)
    session.execute(
        update(Task)
        .where(Task.id == task.id)
        .values(kind=kind, wanted=None, at_least=0, leased=0, counted=0)
    )
    put_keys(session, keys=[(task.id, gold)], by=by, replaces=True)
    session.refresh(task)


def unset_gold(session: Session, *, task: Task) -> bool:
    """Take the key of a task away; False when it had none. `put_in_work` is to follow."""
    lock(session, task=task)
    if task.kind is TaskKind.ORDINARY:
        return False
    _end_questions(session, task=task)
    session.execute(delete(GoldKey).where(GoldKey.task_id == task.id))
    return True


def put_in_work(session: Session, *, task: Task, counted: int) -> None:
    """Make a task ordinary of which so many judgements count.

    More of them than the project asks for raise the wanted number.
    """
    leased = session.scalars(
        select(func.count()).where(
            Assignment.task_id == task.id,
            Assignment.state == AssignmentState.OPEN,
            ~Assignment.is_repeat,
            Assignment.attempt_id.is_(None),
        )
    ).one()
    wanted = queries.wanted_once(literal(leased + counted))
    session.execute(
        update(Task)
        .where(Task.id == task.id)
        .values(kind=TaskKind.ORDINARY, leased=leased, counted=counted, wanted=wanted)
    )
    session.refresh(task)


def suspend_key(session: Session, *, task: Task, reason: str, now: datetime) -> bool:
    """Take a key out of force; False when it was already, or the task has none."""
    lock(session, task=task)
    suspended = session.scalar(
        update(GoldKey)
        .where(GoldKey.task_id == task.id, GoldKey.suspended_at.is_(None))
        .values(suspended_at=now, suspend_reason=reason)
        .returning(GoldKey.task_id)
    )
    if suspended is not None:
        _end_questions(session, task=task)
    return suspended is not None


def uphold_key(session: Session, *, task: Task, now: datetime) -> bool:
    """Put a suspended key in force again, and keep it so in spite of what is known; False if it is.

    Only people who answer from now on can put it in doubt again.
    """
    lock(session, task=task)
    upheld = session.scalar(
        update(GoldKey)
        .where(GoldKey.task_id == task.id, GoldKey.suspended_at.is_not(None))
        .values(suspended_at=None, suspend_reason=None, upheld_at=now)
        .returning(GoldKey.task_id)
    )
    return upheld is not None


def _end_questions(session: Session, *, task: Task) -> None:
    """End the leases of what is no question any more: its attempts go on with another one."""
    session.execute(
        update(Assignment)
        .where(
            Assignment.task_id == task.id,
            Assignment.attempt_id.is_not(None),
            Assignment.state == AssignmentState.OPEN,
        )
        .values(state=AssignmentState.EXPIRED, finished_at=func.now())
    )


def lock(session: Session, *, task: Task) -> None:
    """Hold the task's row, with what it says now."""
    session.execute(select(Task.id).where(Task.id == task.id).with_for_update(key_share=True))
    session.refresh(task, ["kind", "wanted", "leased", "counted"])


def put_keys(
    session: Session,
    *,
    keys: Sequence[tuple[UUID, Gold]],
    by: User | None,
    replaces: bool = False,
) -> None:
    """Store gold keys of tasks; an existing one stays unless `replaces`."""
    if not keys:
        return
    statement = insert(GoldKey).values(
        [
            {
                "task_id": task_id,
                "prefers": [list(pair) for pair in gold.prefers],
                "equal": [list(pair) for pair in gold.equal],
                "ties_allowed": gold.ties_allowed,
                "explanation": gold.explanation,
                "created_by": by.id if by else None,
                "suspended_at": None if gold.suspended is None else func.now(),
                "suspend_reason": gold.suspended,
            }
            for task_id, gold in keys
        ]
    )
    if not replaces:
        session.execute(statement.on_conflict_do_nothing())
        return
    changed = ("prefers", "equal", "ties_allowed", "explanation", "created_by")
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[GoldKey.task_id],
            set_={key: statement.excluded[key] for key in changed} | dict.fromkeys(NEW_KEY),
        )
    )
