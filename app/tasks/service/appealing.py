"""Appeals: somebody objects to a key or to her pause, and somebody else answers.

The answer reaches her as a message. What she says of a pause names no task, and neither does the
answer: she must not learn what was gold.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.service import audit
from app.errors import Conflict, Invalid
from app.projects.models import Membership, Project
from app.projects.service import tell
from app.tasks import queries
from app.tasks.models import Appeal, Assignment, Outcome, Task

LONGEST_APPEAL = 2_000
OUTCOMES = {
    Outcome.STANDS: "We looked at it again, and the answer stands.",
    Outcome.WITHDRAWN: "You were right to ask: the question has been withdrawn and counts for "
    "nobody.",
    Outcome.CORRECTED: "You were right to ask: the answer has been corrected, and every score "
    "with it.",
    Outcome.LIFTED: "You can work on: your pause has been lifted.",
}
PAUSE_STANDS = "We looked at it again, and your pause stays for now."


def appeal_question(
    session: Session, *, project: Project, assignment: Assignment, user: User, body: str
) -> None:
    """She thinks that the answer to a question of the qualification is wrong, and says why."""
    if queries.question_key(session, task_id=assignment.task_id) is None:
        raise Conflict("This question has been withdrawn already: it counts for nobody.")
    earlier = queries.appeal_of(session, project=project, user=user, task_id=assignment.task_id)
    if earlier is not None and earlier.outcome is Outcome.STANDS:
        raise Conflict(
            "You asked about this question before, and the answer stands. If you still think that "
            "it is wrong, talk to an admin of the project."
        )
    _appeal(session, project=project, user=user, body=body, task=assignment.task_id)


def appeal_pause(session: Session, *, project: Project, user: User, body: str) -> None:
    """She writes to the admins that she should go on."""
    membership = session.get(Membership, (project.id, user.id), populate_existing=True)
    if membership is None or membership.paused_at is None:
        raise Conflict("Your work here is not paused any more. Go on when you like.")
    _appeal(session, project=project, user=user, body=body, task=None)


def _appeal(session: Session, *, project: Project, user: User, body: str, task: object) -> None:
    text = body.strip()
    if not text:
        raise Invalid("Say in a sentence or two why: it is what we look at.")
    if len(text) > LONGEST_APPEAL:
        raise Invalid(f"That is longer than {LONGEST_APPEAL:,} characters. Make it shorter.")
    made = session.scalar(
        insert(Appeal)
        .values(project_id=project.id, user_id=user.id, task_id=task, body=text)
        .on_conflict_do_nothing()
        .returning(Appeal.id)
    )
    if made is None:
        raise Conflict(
            "We have what you wrote about this already, and nobody has answered yet. You will see "
            "the answer at the top of your page."
        )


def settle(
    session: Session,
    *,
    project: Project,
    appeals: Sequence[Appeal],
    outcome: Outcome,
    answer: str,
    by: User,
    now: datetime,
) -> int:
    """Answer appeals, each once; their authors are told. Answers how many were open still."""
    if len(answer) > LONGEST_APPEAL:
        raise Invalid(f"That is longer than {LONGEST_APPEAL:,} characters. Make it shorter.")
    settled = session.scalars(
        update(Appeal)
        .where(Appeal.id.in_([each.id for each in appeals]), Appeal.settled_at.is_(None))
        .values(outcome=outcome, answer=answer.strip() or None, settled_by=by.id, settled_at=now)
        .returning(Appeal),
        execution_options={"populate_existing": True},
    ).all()
    for appeal in settled:
        tell(
            session,
            project_id=project.id,
            user_id=appeal.user_id,
            body=_told(session, appeal),
        )
        audit(
            session,
            user=by,
            action="appeal.settle",
            target=str(appeal.task_id or appeal.id),
            project_id=project.id,
            user_id=str(appeal.user_id),
            outcome=outcome,
        )
    return len(settled)


def _told(session: Session, appeal: Appeal) -> str:
    """What she reads: what it is about, what came of it, and the words that go with it."""
    assert appeal.outcome is not None  # settled_with_an_outcome
    if appeal.task_id is None:
        about = "You wrote to us about your pause."
        result = PAUSE_STANDS if appeal.outcome is Outcome.STANDS else OUTCOMES[appeal.outcome]
    else:
        question = session.scalar(
            select(Assignment.question)
            .join(Task, Task.id == Assignment.task_id)
            .where(Assignment.task_id == appeal.task_id, Assignment.user_id == appeal.user_id)
        )
        named = f"question {question}" if question else "a question"
        about = f"You asked us about {named} of the qualification."
        result = OUTCOMES[appeal.outcome]
    return " ".join(each for each in (about, result, appeal.answer) if each)
