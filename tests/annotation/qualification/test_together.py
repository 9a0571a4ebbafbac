"""Two tabs in one qualification, over real connections."""

import pytest
from sqlalchemy import func, select

from app.accounts.models import Role, User
from app.annotation import queries, service
from app.annotation.models import Annotation
from app.annotation.schemas import JudgementBody
from app.db import SessionLocal, database_now, transaction
from app.projects.models import Membership, Project
from app.tasks import service as tasks
from app.tasks.models import Assignment, AssignmentState, QualificationAttempt, Task, TaskKind
from tests.annotation.test_together import all_at_once, claim
from tests.factories import make_member, make_project, make_question, make_task, make_user

pytestmark = [pytest.mark.concurrency, pytest.mark.usefixtures("concurrency_engine")]

A_BEFORE_B = JudgementBody(ranking=[["A"], ["B"]])


@pytest.fixture
def exam(concurrency_engine):
    """Four questions of a set of twelve, and real work."""
    with transaction() as session:
        boss = make_user(session, "Boss", role=Role.ADMIN)
        project = make_project(session, "Exam", by=boss, qualification_size=4)
        ana = make_user(session, "Ana")
        make_member(session, project, ana, Role.ANNOTATOR)
        for number in range(12):
            make_question(session, project, prompt=f"question {number}")
        make_task(session, project, wanted=3)
        return project.id, ana.id, boss.id


def answer(project_id, user_id, assignment_id, *, key="k"):
    """What was recorded, and the feedback to it."""
    with transaction() as session:
        assignment = session.get_one(Assignment, assignment_id)
        done = service.submit(
            session,
            assignment=assignment,
            project=session.get_one(Project, project_id),
            user=session.get_one(User, user_id),
            judgement=A_BEFORE_B,
            key=key,
            now=database_now(session),
        )
        annotation = session.get_one(Annotation, done.annotation_id)
        feedback = queries.feedback_of(session, assignment=assignment, annotation=annotation)
        return done.annotation_id, feedback


def test_many_tabs_hold_one_question_and_an_attempt_has_no_more_than_its_size(exam):
    project_id, user_id, _ = exam
    for number in (1, 2, 3, 4):
        claims = [lambda seed=seed: claim(project_id, user_id, seed=seed) for seed in range(6)]
        held = set(all_at_once(claims))
        assert len(held) == 1
        answer(project_id, user_id, held.pop(), key=f"{number}")
    with transaction() as session:
        session.get_one(Project, project_id).qualification_wait_hours = 0
    all_at_once([lambda seed=seed: claim(project_id, user_id, seed=seed) for seed in range(6)])
    with SessionLocal() as session:
        first = select(QualificationAttempt).where(QualificationAttempt.number == 1)
        attempt = session.scalars(first).one()
        asked = select(Assignment.question).where(Assignment.attempt_id == attempt.id)
        assert session.scalars(asked.order_by(Assignment.question)).all() == [1, 2, 3, 4]
        assert (attempt.size, attempt.answered) == (4, 4)


def test_one_answer_sent_many_times_at_once_is_scored_once_and_told_alike(exam):
    project_id, user_id, _ = exam
    mine = claim(project_id, user_id)
    replies = all_at_once([lambda: answer(project_id, user_id, mine)] * 8)
    assert len({annotation_id for annotation_id, _ in replies}) == 1
    told = [feedback for _, feedback in replies]
    assert told == [told[0]] * 8
    with SessionLocal() as session:
        attempt = session.scalars(select(QualificationAttempt)).one()
        assert (attempt.answered, attempt.correct) == (1, int(told[0].right))


def test_a_question_withdrawn_while_it_is_answered_leaves_the_counters_whole(exam):
    project_id, user_id, boss_id = exam
    mine = claim(project_id, user_id)
    with SessionLocal() as session:
        task_id = session.get_one(Assignment, mine).task_id

    def withdraw():
        with transaction() as session:
            service.unset_gold(
                session,
                task=session.get_one(Task, task_id),
                project=session.get_one(Project, project_id),
                by=session.get_one(User, boss_id),
            )

    replies = all_at_once(
        [withdraw, lambda: answer(project_id, user_id, mine), lambda: claim(project_id, user_id)]
    )
    assert not [reply for reply in replies if isinstance(reply, Exception)]
    with SessionLocal() as session:
        task = session.get_one(Task, task_id)
        assert (task.kind, task.leased, task.counted) == (TaskKind.ORDINARY, 0, 0)
        attempt = session.scalars(select(QualificationAttempt)).one()
        assert attempt.answered <= 1
        is_open = Assignment.state == AssignmentState.OPEN
        assert session.scalar(select(func.count()).where(is_open)) <= 1
        assert session.scalars(select(Annotation.counted)).all() == [False]


def test_let_in_and_asking_at_once_leave_her_with_one_task(exam):
    project_id, user_id, boss_id = exam
    claim(project_id, user_id)

    def let_in():
        with transaction() as session:
            tasks.let_in(
                session,
                project=session.get_one(Project, project_id),
                user=session.get_one(User, user_id),
                by=session.get_one(User, boss_id),
                now=database_now(session),
            )

    replies = all_at_once(
        [let_in, *[lambda seed=seed: claim(project_id, user_id, seed=seed) for seed in range(5)]]
    )
    assert not [reply for reply in replies if isinstance(reply, Exception)]
    work = claim(project_id, user_id)
    with SessionLocal() as session:
        assert session.get_one(Membership, (project_id, user_id)).qualified_at is not None
        assert session.get_one(Assignment, work).attempt_id is None
        is_open = Assignment.state == AssignmentState.OPEN
        assert session.scalars(select(Assignment.id).where(is_open)).all() == [work]
