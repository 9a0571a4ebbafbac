"""What reviewers settle, and gold that is withdrawn from scoring."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.service import audit
from app.annotation.service.gold import restand
from app.errors import Invalid
from app.projects.models import Membership, Project
from app.quality.models import Adjudication
from app.quality.queries import people as queries
from app.quality.queries.review import adjudications_of, responses_of
from app.quality.rules import review as rules
from app.quality.service.settling import lock_task, require_unchanged
from app.tasks.models import GoldKey, Task, TaskKind
from app.tasks.service import try_lock_opening

LONGEST_REASON = 4_000
HAS_KEY = (
    "This task has a key by now, which is its answer. An admin can change the key, or make it an "
    "ordinary task again."
)


def adjudicate_ranking(
    session: Session,
    *,
    task: Task,
    ranking: Sequence[Sequence[str]],
    reason: str,
    by: User,
    if_unchanged: str | None = None,
) -> Adjudication:
    """As `adjudicate`, from groups of labels (A, B… in canonical order) or ids of responses."""
    names: dict[str, int] = {}
    for position, response in enumerate(responses_of(session, task=task)):
        names |= {rules.label(position): position, str(response.id): position}
    return adjudicate(
        session,
        task=task,
        ranks=rules.ranks_of(ranking, names=names),
        reason=reason,
        by=by,
        if_unchanged=if_unchanged,
    )


def adjudicate(
    session: Session,
    *,
    task: Task,
    ranks: Sequence[int],
    reason: str,
    by: User,
    if_unchanged: str | None = None,
) -> Adjudication:
    """Settle a task: the newest adjudication holds, older ones stay on record.

    The same again by the same reviewer adds nothing. `if_unchanged` is what she saw, as a stamp:
    `Conflict` when something came in between.
    """
    lock_task(session, task=task)
    if task.kind is not TaskKind.ORDINARY:
        raise Invalid(HAS_KEY)
    if not reason.strip():
        raise Invalid("Say why, in a sentence: it is what annotators and later reviewers learn by.")
    if len(reason) > LONGEST_REASON:
        raise Invalid(f"The reason is longer than {LONGEST_REASON:,} characters.")
    holding = rules.holding(each for each, _ in adjudications_of(session, task=task))
    if holding is not None and _says_the_same(holding, ranks, reason, by):
        return holding
    if if_unchanged is not None:
        require_unchanged(session, task=task, seen=if_unchanged)
    adjudication = Adjudication(
        task_id=task.id,
        user_id=by.id,
        ranks=list(ranks),
        reason=reason.strip(),
        # Not the start of the transaction: of two adjudications the later one holds.
        created_at=func.clock_timestamp(),
    )
    session.add(adjudication)
    audit(
        session,
        user=by,
        action="task.adjudicate",
        target=str(task.id),
        project_id=task.project_id,
        ranks=list(ranks),
    )
    session.flush()  # its id and time are part of the answer
    return adjudication


def _says_the_same(earlier: Adjudication, ranks: Sequence[int], reason: str, by: User) -> bool:
    said = (list(earlier.ranks), earlier.reason, earlier.user_id)
    return said == (list(ranks), reason.strip(), by.id)


def suspend_disputed_gold(session: Session, *, project: Project, now: datetime) -> list[UUID]:
    """Take gold that many good annotators fail out of scoring until a reviewer has looked at it.

    Answers the tasks suspended now, none while an import is under way; everybody's score is
    corrected. A pause is an admin's to lift.
    """
    disputed = [
        gold
        for gold in queries.gold_answers(session, project=project)
        if gold.suspended_at is None and rules.is_disputed(judged=gold.judged, failed=gold.failed)
    ]
    if not disputed or not try_lock_opening(session, project=project):
        return []
    session.execute(  # before tasks and their keys, as everywhere
        select(Membership.user_id)
        .where(Membership.project_id == project.id)
        .order_by(Membership.user_id)
        .with_for_update(key_share=True)
    )
    suspended = [
        gold
        for gold in disputed
        if session.scalar(
            update(GoldKey)
            .where(GoldKey.task_id == gold.task_id, GoldKey.suspended_at.is_(None))
            .values(
                suspended_at=now,
                suspend_reason=f"{gold.failed} of {gold.judged} annotators in good standing "
                "answer otherwise.",
            )
            .returning(GoldKey.task_id)
        )
    ]
    for gold in suspended:
        audit(
            session,
            user=None,
            action="gold.suspend",
            target=str(gold.task_id),
            project_id=project.id,
            judged=gold.judged,
            failed=gold.failed,
        )
    task_ids = [gold.task_id for gold in suspended]
    answered = queries.people_who_answered(session, task_ids=task_ids)
    restand(session, project=project, user_ids=answered)
    return task_ids
