"""Qualification before real work: the next question, and what an answer does to the attempt.

All of it happens under the lock of her membership, as every claim and submission of hers.
"""

from datetime import datetime, timedelta
from random import Random
from uuid import UUID

from sqlalchemy import func, null, select, update
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.projects.models import Membership, Project
from app.tasks import queries, rules
from app.tasks.models import (
    Assignment,
    AssignmentState,
    QualificationAttempt,
    Task,
    TaskResponse,
)
from app.tasks.schemas import Stage


def ask(
    session: Session,
    *,
    project: Project,
    user: User,
    membership: Membership,
    now: datetime,
    rng: Random,
) -> Assignment | None:
    """The next question of her attempt; begins one where she may, None where there is none.

    One that she gave back comes again before another: nobody looks through the set. An attempt
    that runs out of questions, since some were taken away, ends with those she has answered.
    """
    standing = queries.qualification_of(
        session, project=project, user=user, membership=membership, now=now
    )
    attempt = standing.attempt
    if standing.stage is Stage.READY:
        number = attempt.number + 1 if attempt else 1
        attempt = _begin(session, project=project, user=user, number=number, now=now)
    elif standing.stage is not Stage.UNDER_WAY:
        return None
    assert attempt is not None  # under way
    until = now + timedelta(minutes=project.lease_minutes)
    again = queries.unanswered(session, attempt=attempt)
    if again is not None:
        return _lend_again(session, assignment=again, until=until, now=now)
    task_id = _draw(session, membership=membership, rng=rng)
    if task_id is None:
        _cut_short(session, attempt=attempt, now=now)
        return None
    size = session.scalars(
        select(func.count()).select_from(TaskResponse).where(TaskResponse.task_id == task_id)
    ).one()
    assignment = Assignment(
        project_id=project.id,
        task_id=task_id,
        user_id=user.id,
        ordinal=membership.claimed,
        display_order=rules.shuffled(size, rng=rng),
        leased_until=until,
        created_at=now,
        attempt_id=attempt.id,
        question=attempt.answered + 1,
    )
    session.add(assignment)
    session.flush()  # a claim answers what is in the database
    assignment.is_new = True
    return assignment


def _begin(
    session: Session, *, project: Project, user: User, number: int, now: datetime
) -> QualificationAttempt:
    """An attempt by the rules of this moment: a change of settings does not touch it."""
    size = project.qualification_size
    attempt = QualificationAttempt(
        project_id=project.id,
        user_id=user.id,
        number=number,
        size=size,
        needed=rules.needed_right(size, share=project.qualification_pass),
        answered=0,
        correct=0,
        started_at=now,
    )
    session.add(attempt)
    session.flush()  # its questions refer to it
    return attempt


def _draw(session: Session, *, membership: Membership, rng: Random) -> UUID | None:
    """A question that is new to her, from a random point of the set on, wrapping round."""
    where = {"in_project": membership.project_id, "person": membership.user_id}
    start = rng.random()
    for stretch in (Task.random_key >= start, Task.random_key < start):
        task_id = session.scalar(
            queries.NEW_QUESTION.where(stretch).limit(1), where | queries.skills(membership)
        )
        if task_id is not None:
            return task_id
    return None


def _lend_again(
    session: Session, *, assignment: Assignment, until: datetime, now: datetime
) -> Assignment:
    """The same question in the same order on the screen, with its draft."""
    lent = session.scalars(
        update(Assignment)
        .where(Assignment.id == assignment.id)
        .values(
            state=AssignmentState.OPEN,
            finished_at=null(),
            leased_until=until,
            created_at=now,
            renewals=0,
        )
        .returning(Assignment),
        execution_options={"populate_existing": True},
    ).one()
    lent.is_new = True
    return lent


def score(session: Session, *, assignment: Assignment, is_right: bool, now: datetime) -> None:
    """Note an answer; the last one of an attempt decides it. One that has ended stays as it is."""
    attempt = session.scalar(
        update(QualificationAttempt)
        .where(
            QualificationAttempt.id == assignment.attempt_id,
            QualificationAttempt.finished_at.is_(None),
        )
        .values(
            answered=QualificationAttempt.answered + 1,
            correct=QualificationAttempt.correct + int(is_right),
        )
        .returning(QualificationAttempt),
        execution_options={"populate_existing": True},
    )
    if attempt is not None and attempt.answered == attempt.size:
        _decide(session, attempt=attempt, now=now)


def _decide(session: Session, *, attempt: QualificationAttempt, now: datetime) -> None:
    attempt.finished_at = attempt.finished_at or now
    attempt.passed = attempt.correct >= attempt.needed
    session.flush()  # who reads the attempt by a statement of its own sees the result
    if attempt.passed:
        session.execute(
            update(Membership)
            .where(
                Membership.project_id == attempt.project_id,
                Membership.user_id == attempt.user_id,
                Membership.qualified_at.is_(None),
            )
            .values(qualified_at=now)
        )


def _cut_short(session: Session, *, attempt: QualificationAttempt, now: datetime) -> None:
    if attempt.answered == 0:
        return  # it waits for questions
    share = attempt.needed / attempt.size
    attempt.size = attempt.answered
    attempt.needed = rules.needed_right(attempt.size, share=share)
    _decide(session, attempt=attempt, now=now)


def rescore(
    session: Session,
    *,
    attempt_id: UUID,
    answered: int,
    correct: int,
    needs: float,
    now: datetime,
) -> None:
    """Score an attempt anew: `correct` of `answered` questions that are still in force.

    A withdrawn one is neither right nor wrong; `needs` is the share that passes. An attempt under
    way goes on with other questions, one that has ended is as long as it has questions left.
    Whoever passes by it is let in, nobody who has passed fails afterwards, and an attempt with
    nothing left is given back.
    """
    attempt = session.scalars(
        select(QualificationAttempt)
        .where(QualificationAttempt.id == attempt_id)
        .with_for_update(key_share=True)
    ).one()
    if attempt.finished_at is None:
        attempt.answered = min(answered, attempt.size)
        attempt.correct = min(correct, attempt.answered)
        if attempt.answered == attempt.size:
            _decide(session, attempt=attempt, now=now)
        return
    # The rules of the attempt, not those of today: they may have changed since it began.
    share = attempt.needed / attempt.size if attempt.size else needs
    if rules.needed_right(attempt.size, share=needs) == attempt.needed:
        share = needs
    attempt.size, attempt.answered, attempt.correct = answered, answered, correct
    attempt.needed = rules.needed_right(answered, share=share)
    if attempt.passed is False and answered == 0:
        attempt.passed = None
        session.flush()
        _give_back(session, attempt=attempt)
    elif attempt.passed is False:
        _decide(session, attempt=attempt, now=now)


def _give_back(session: Session, *, attempt: QualificationAttempt) -> None:
    """Let her begin another attempt at once."""
    session.execute(
        update(Membership)
        .where(
            Membership.project_id == attempt.project_id,
            Membership.user_id == attempt.user_id,
            Membership.attempts_granted <= attempt.number,
        )
        .values(attempts_granted=attempt.number + 1)
    )
