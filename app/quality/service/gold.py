"""Changes of gold as a reviewer makes them: first what they would do, then the change itself."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app.accounts.models import User
from app.annotation import service as annotation
from app.annotation.schemas import GoldBody
from app.errors import Conflict
from app.projects.models import Project
from app.quality.queries import gold as queries
from app.quality.rules.gold import ScoreChange, edition, key_of_places
from app.quality.schemas.gold import GoldChange
from app.tasks import queries as task_queries
from app.tasks import service as tasks
from app.tasks.models import GoldKey, Outcome, Task, TaskKind
from app.tasks.schemas import Gold
from app.tasks.service.gold import require_consistent


@dataclass(frozen=True, slots=True)
class Doubt:
    """A task with a key, what is wanted of it, by whom and when."""

    project: Project
    task: Task
    change: GoldChange
    by: User
    now: datetime


def edition_of(task: Task, key: GoldKey | None) -> str:
    """Of the key that a page shows."""
    said = () if key is None else (key.prefers, key.equal, key.ties_allowed, key.explanation)
    return edition(task.kind.value, *said, key is not None and key.suspended_at)


def change_gold(session: Session, doubt: Doubt) -> None:
    """Withdraw, restore or correct a key, or make its task ordinary; open appeals are answered.

    `Conflict` where somebody has changed the key since the page was opened.
    """
    change, task = doubt.change, doubt.task
    key = session.get(GoldKey, task.id, populate_existing=True)
    if change.edition and change.edition != edition_of(task, key):
        raise Conflict(
            "Somebody has changed this key since you opened the page. Look at what it says now; "
            "your change has not been made."
        )
    about: dict[str, Any] = {"task": task, "project": doubt.project, "by": doubt.by}
    match change.action:
        case "withdraw":
            annotation.withdraw_gold(session, reason=change.reason, now=doubt.now, **about)
            _answer(session, doubt, outcome=Outcome.WITHDRAWN)
        case "restore":
            annotation.restore_gold(session, now=doubt.now, **about)
        case "correct":
            body = _body(session, doubt, key)
            annotation.set_gold(session, body=body, now=doubt.now, **about)
            _answer(session, doubt, outcome=Outcome.CORRECTED)
        case "unset":
            annotation.unset_gold(session, **about)
            _answer(session, doubt, outcome=Outcome.WITHDRAWN)


def _body(session: Session, doubt: Doubt, key: GoldKey | None) -> GoldBody:
    """The key that the form describes; a wrong one is refused before anything is changed."""
    if key is None:
        raise Conflict("This is an ordinary task by now: it has no key to correct.")
    order = task_queries.responses_of(session, task_ids=[doubt.task.id])[doubt.task.id]
    prefers, equal = key_of_places(doubt.change.places)
    require_consistent(Gold(prefers=prefers, equal=equal), size=len(order))
    ids = [str(response_id) for response_id in order]
    return GoldBody(
        prefers=[(ids[i], ids[j]) for i, j in prefers],
        equal=[(ids[i], ids[j]) for i, j in equal],
        ties_allowed=doubt.change.ties_allowed,
        explanation=doubt.change.explanation.strip(),
        qualification=doubt.task.kind is TaskKind.QUALIFICATION,
    )


def _answer(session: Session, doubt: Doubt, *, outcome: Outcome) -> None:
    appeals = task_queries.open_appeals(session, project=doubt.project, task_id=doubt.task.id)
    tasks.settle(
        session,
        project=doubt.project,
        appeals=[line.appeal for line in appeals],
        outcome=outcome,
        answer=doubt.change.answer,
        by=doubt.by,
        now=doubt.now,
    )


def rehearse(session: Session, project: Project, act: Callable[[], None]) -> list[ScoreChange]:
    """Whose score the act would change: it is done, looked at, and taken back."""
    savepoint = session.begin_nested()
    try:
        return changed_scores(session, project, act)
    finally:
        savepoint.rollback()


def changed_scores(
    session: Session, project: Project, act: Callable[[], None]
) -> list[ScoreChange]:
    """Whose score the act changes."""
    before = queries.scores(session, project=project)
    act()
    session.flush()
    return [
        ScoreChange(user_id, name, before[user_id][1], score, is_paused)
        for user_id, (name, score, is_paused) in queries.scores(session, project=project).items()
        if user_id in before and before[user_id][1] != score
    ]
