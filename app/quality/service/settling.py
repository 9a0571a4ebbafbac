"""What else a reviewer does with a task: withdraw a decision, send back, make gold of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, joinedload

from app.accounts.models import User
from app.accounts.service import audit
from app.annotation.schemas import GoldBody
from app.annotation.service import gold as annotation
from app.errors import Conflict, Invalid, NotFound
from app.projects.models import Project
from app.quality.models import Adjudication, SendBack
from app.quality.queries import review as queries
from app.quality.rules.keys import key_in_words, read_key
from app.quality.rules.review import in_words
from app.quality.rules.seen import Fact, is_unchanged, news, stamp
from app.quality.schemas.gold import KeyBody
from app.tasks import service as tasks
from app.tasks.models import Task, TaskKind
from app.tasks.queries import takers
from app.tasks.rules import satisfies
from app.tasks.schemas import Gold
from app.tasks.service.gold import require_consistent

IS_CLOSED = (
    "Nobody is asked about this task any more: the guidelines show it as an example, or what asked "
    "for its judgements has its answer. Settle it yourself, or choose another task."
)
MOST_MORE = 3  # people at once
IS_DELETED = "This task has been deleted meanwhile; there is nothing left to decide."


def lock_task(session: Session, *, task: Task) -> None:
    """Hold the task's row with what it says now: what is decided next rests on it."""
    found = session.scalar(
        select(Task)
        .where(Task.id == task.id)
        .options(joinedload(Task.prompt))  # it stays part of what is shown
        .with_for_update(key_share=True, of=Task)
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFound(IS_DELETED)


# -- what is known of a task, to tell what is new


def facts_of(session: Session, *, task: Task) -> list[Fact]:
    """All that a decision may rest on: judgements, decisions, the key, what was asked for."""
    facts = [
        Fact(
            ("judgement", each.id, each.counted),
            f"{each.name} {'judged' if each.revision == 1 else 'changed her mind'}: "
            f"{in_words(each.ranks)}{'' if each.counted else ' (not counted)'}.",
        )
        for each in queries.judgements_of(session, task=task)
    ]
    for adjudication, name in queries.adjudications_of(session, task=task):
        decision = f"{name or 'Somebody who has left'} settled it: {in_words(adjudication.ranks)}"
        if adjudication.withdrawn_at is None:
            facts.append(
                Fact(("settled", adjudication.id), f"{decision}, because “{adjudication.reason}”")
            )
        else:
            facts.append(Fact(("withdrawn", adjudication.id), f"{decision}; that is withdrawn."))
    for each, name in queries.send_backs_of(session, task=task):
        who = name or "Somebody who has left"
        did = "took that back" if each.undone_at else f"sent it back for {each.more} more"
        facts.append(Fact(("sent back", each.id, each.undone_at is None), f"{who} {did}."))
    key = queries.gold_key_of(session, task=task)
    if key is not None:
        words = key_in_words(key.prefers, key.equal)
        state = " (suspended)" if key.suspended_at else ""
        facts.append(
            Fact(("key", words, key.ties_allowed, state), f"It has a gold key: {words}{state}.")
        )
    facts.append(Fact(("kind", task.kind.value), f"It is {_article(task.kind)} now."))
    return facts


def _article(kind: TaskKind) -> str:
    return {
        TaskKind.ORDINARY: "an ordinary task",
        TaskKind.GOLD: "gold",
        TaskKind.QUALIFICATION: "a question of the qualification",
    }[kind]


def stamp_of(session: Session, *, task: Task) -> str:
    return stamp(facts_of(session, task=task))


def require_unchanged(session: Session, *, task: Task, seen: str) -> None:
    """`Conflict` with what is new, unless the task is as it was when `seen` was made."""
    facts = facts_of(session, task=task)
    if is_unchanged(facts, seen):
        return
    new = news(facts, seen) or ["Something was taken away."]
    raise Conflict(
        f"This task has changed since you opened it. {' '.join(new)}",
        errors=[{"field": "if_unchanged", "message": sentence} for sentence in new],
    )


# -- a decision is taken back


def withdraw(session: Session, *, task: Task, adjudication_id: UUID, by: User) -> None:
    """Take a decision back; one before it that was not withdrawn holds again. Twice is once."""
    lock_task(session, task=task)
    withdrawn = session.scalar(
        update(Adjudication)
        .where(
            Adjudication.id == adjudication_id,
            Adjudication.task_id == task.id,
            Adjudication.withdrawn_at.is_(None),
        )
        .values(withdrawn_at=func.clock_timestamp(), withdrawn_by=by.id)
        .returning(Adjudication.id),
        execution_options={"synchronize_session": False},
    )
    if withdrawn is None:
        known = session.get(Adjudication, adjudication_id)
        if known is None or known.task_id != task.id:
            raise NotFound("There is no such decision of this task.")
        return
    session.expire(session.get_one(Adjudication, adjudication_id))
    audit(
        session,
        user=by,
        action="task.withdraw_adjudication",
        target=str(task.id),
        project_id=task.project_id,
        adjudication=str(adjudication_id),
    )


# -- more judgements


def send_back(
    session: Session,
    *,
    task: Task,
    more: int,
    reason: str,
    by: User,
    if_unchanged: str | None = None,
) -> SendBack:
    """Ask so many more people to judge a task, soon and beyond the project's overlap."""
    lock_task(session, task=task)
    if task.kind is not TaskKind.ORDINARY or task.wanted is None:
        raise Invalid("This task has a key: everybody may get it, so nobody needs to be asked.")
    if task.closed_at is not None:
        raise Conflict(IS_CLOSED)
    if if_unchanged is not None:
        require_unchanged(session, task=task, seen=if_unchanged)
    able = takers(session, task=task)
    free = len(able) - (task.wanted - task.counted - task.leased)  # places that wait already
    if free < more:
        raise Invalid(_too_few(len(able), free))
    row = SendBack(
        task_id=task.id,
        user_id=by.id,
        more=more,
        reason=reason.strip(),
        wanted_before=task.wanted,
        at_least_before=task.at_least,
        priority_before=task.priority,
        created_at=func.clock_timestamp(),
    )
    session.add(row)
    tasks.ask_for_more(session, task=task, more=more)
    audit(
        session,
        user=by,
        action="task.send_back",
        target=str(task.id),
        project_id=task.project_id,
        more=more,
        reason=reason.strip(),
    )
    session.flush()  # its id and time are part of the answer
    return row


def _too_few(able: int, free: int) -> str:
    if able == 0:
        return (
            "Nobody is left who could judge this task: everybody who may has judged it, passed it "
            "on, holds it now or is paused. Invite somebody, or settle it yourself."
        )
    open_places = able - free
    who = "1 person has" if able == 1 else f"{able} people have"
    if free <= 0:
        return (
            f"{who} not judged this task yet, and it waits for {open_places} already. "
            "Wait for those, or settle it yourself."
        )
    already = f", and it waits for {open_places} already" if open_places else ""
    return f"Only {who} not judged this task yet{already}. Ask for {free} more at most."


def undo_send_back(
    session: Session, *, task: Task, project: Project, send_back_id: UUID, by: User
) -> None:
    """Take back that more people were asked, while nobody has begun. Twice is once."""
    lock_task(session, task=task)
    newest = next(
        (each for each, _ in queries.send_backs_of(session, task=task) if not each.undone_at), None
    )
    row = session.get(SendBack, send_back_id)
    if row is None or row.task_id != task.id:
        raise NotFound("This task was never sent back like that.")
    if row.undone_at is not None:
        return
    if newest is not row:
        raise Conflict("It has been sent back again since then. Take the newest one back first.")
    done = tasks.ask_no_more(
        session,
        task=task,
        project=project,
        wanted=row.wanted_before,
        at_least=row.at_least_before,
        priority=row.priority_before,
    )
    if not done:
        raise Conflict(
            "Somebody has judged this task or holds it since it was sent back, so that cannot be "
            "taken back any more. What she says counts."
        )
    row.undone_at, row.undone_by = func.clock_timestamp(), by.id
    audit(
        session,
        user=by,
        action="task.undo_send_back",
        target=str(task.id),
        project_id=task.project_id,
        more=row.more,
    )
    session.flush()


# -- gold


@dataclass(frozen=True, slots=True)
class GoldEffect:
    """What a key would do to the judgements that are there."""

    right: Sequence[str]
    wrong: Sequence[str]
    counted: int


def gold_from(key: str, *, size: int, ties_allowed: bool, explanation: str) -> Gold:
    """A key in words, checked: `Invalid` where no order of the responses could satisfy it."""
    read = read_key(key, size=size)
    gold = Gold(
        prefers=read.prefers,
        equal=read.equal,
        ties_allowed=ties_allowed,
        explanation=explanation.strip(),
    )
    require_consistent(gold, size=size)
    return gold


def gold_effect(session: Session, *, task: Task, gold: Gold) -> GoldEffect:
    """Who would be right and who wrong by this key, and how many judgements cease to count."""
    judged = [
        each
        for each in queries.judgements_of(session, task=task)
        if not each.is_source and not each.is_repeat
    ]
    is_right = [
        satisfies(
            each.ranks, prefers=gold.prefers, equal=gold.equal, ties_allowed=gold.ties_allowed
        )
        for each in judged
    ]
    return GoldEffect(
        right=[each.name for each, right in zip(judged, is_right, strict=True) if right],
        wrong=[each.name for each, right in zip(judged, is_right, strict=True) if not right],
        counted=sum(each.counted for each in judged),
    )


def make_gold(
    session: Session,
    *,
    task: Task,
    project: Project,
    gold: Gold,
    by: User,
    now: datetime,
    if_unchanged: str,
) -> None:
    """Turn a task into gold with this key, by the service behind `PUT /tasks/{id}/gold`.

    What came in between is told before anything is locked: memberships come before tasks.
    """
    require_unchanged(session, task=task, seen=if_unchanged)
    ids = [str(response.id) for response in queries.responses_of(session, task=task)]
    body = GoldBody(
        prefers=[(ids[i], ids[j]) for i, j in gold.prefers],
        equal=[(ids[i], ids[j]) for i, j in gold.equal],
        ties_allowed=gold.ties_allowed,
        explanation=gold.explanation,
    )
    annotation.set_gold(session, task=task, project=project, body=body, by=by, now=now)


def set_key(
    session: Session, *, task: Task, project: Project, body: KeyBody, by: User, now: datetime
) -> None:
    """As `annotation.set_gold`; `Conflict` where the task is not as its `stamp` says."""
    annotation.lock_members(session, project=project)
    if body.if_unchanged is not None:
        lock_task(session, task=task)
        require_unchanged(session, task=task, seen=body.if_unchanged)
    annotation.set_gold(session, task=task, project=project, body=body, by=by, now=now)


def unmake_gold(session: Session, *, task: Task, project: Project, by: User) -> None:
    """Make gold an ordinary task again: its judgements count, and answers are scored no more."""
    annotation.unset_gold(session, task=task, project=project, by=by)
